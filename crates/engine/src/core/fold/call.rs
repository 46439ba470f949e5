//! Calls: whether a due effect is sent, asked after, given up or left to a person, and with which bytes.

use super::super::{
    Core, Fetch, Output,
    dispatch::{Job, JobKind},
    lane::{Lane, Memory},
    record::{Heard, Record},
};
use super::{Draft, NO_POLICY, outcome};
use crate::driver::State;
use crossdock_canonical::{Duration, SystemName, Timestamp};
use crossdock_connect::Identity;
use crossdock_store::{EffectRow, EffectState, ProcessKey};
use crossdock_value::Value;
use std::sync::Arc;

/// What becomes of an effect that is due.
enum Go {
    Call(JobKind),
    /// Not before this.
    Wait(Timestamp),
    Nothing,
    /// Only a person may say.
    Park,
    /// It was never applied and nobody wants it any more.
    Withdraw,
}

impl Core {
    /// The dispatcher reserved a slot: send, probe, or give the slot back.
    pub(super) fn send(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        no: u32,
        system: &SystemName,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Option<Box<Draft>> {
        let audit = lane.audits.remove(&no);
        let copies = lane.copies.remove(&no);
        let memory = self.memory(lane);
        let due = |effect: &EffectRow| effect.state.is_open() && effect.due.is_some_and(|due| due <= now);
        let effect =
            memory.effect(no).filter(|effect| due(effect) || (effect.state == EffectState::Done && (audit || copies.is_some())));
        let Some(effect) = effect.filter(|_| !lane.in_flight.contains_key(&no)).cloned() else {
            self.dispatcher.release(system, now);
            return None;
        };
        let go = match self.how_to_call(process, memory, &effect, now) {
            // Nothing is taken back that is not on record as one too many.
            Go::Call(JobKind::Audit) if let Some(copies) = copies => {
                if outcome::is_applied_twice(memory, no) {
                    Go::Call(JobKind::Retract(copies))
                } else {
                    Go::Nothing
                }
            }
            // Asked without what was asked for, a system would tell of something else.
            Go::Call(JobKind::Probe) if self.args_of(process, memory, &effect).is_none() => Go::Park,
            // But a copy is a copy, see `audit_ended`.
            Go::Call(JobKind::Audit) if self.args_of(process, memory, &effect).is_none() && !self.takes_copies(&effect) => {
                Go::Nothing
            }
            go => go,
        };
        let kind = match go {
            Go::Call(kind) => kind,
            Go::Wait(until) => {
                self.dispatcher.release(system, now);
                self.dispatcher.offer(system, process, no, effect.class, until, now);
                return None;
            }
            Go::Nothing => {
                self.dispatcher.release(system, now);
                return None;
            }
            Go::Park => {
                self.dispatcher.release(system, now);
                return Some(self.never_resent(process, memory, &effect, now));
            }
            Go::Withdraw => {
                self.dispatcher.release(system, now);
                return Some(self.not_sent(process, memory, &effect, now));
            }
        };
        if kind == JobKind::Attempt {
            // On a restored store the question before a first send is no retry: there would be nothing that earns the budget for it.
            let asked_first = self.config.restored && (effect.attempts, effect.generation) == (1, 2);
            let is_first = effect.attempts == 0 || asked_first;
            let allowed = if is_first { self.dispatcher.first_call(system) } else { self.dispatcher.spend_retry(system, now) };
            if let Err(later) = allowed {
                self.dispatcher.release(system, now);
                let later = later + self.random.jitter(Duration::millis(500));
                self.dispatcher.offer(system, process, no, effect.class, later, now);
                return None;
            }
        }
        lane.in_flight.insert(no, system.clone());
        let memory = self.memory(lane);
        if let JobKind::Retract(_) = kind {
            self.send_now(process, memory, &effect, kind, Arc::from([]), out);
            return None;
        }
        match (memory.requests.get(&no).cloned(), effect.request) {
            (Some(bytes), _) => self.send_now(process, memory, &effect, kind, bytes, out),
            (None, Some(hash)) => {
                let (system, epoch) = (system.clone(), self.tenure.epoch(process.partition()));
                out.push(Output::LoadRequest(Fetch { process: process.clone(), system, no, epoch, hash }));
            }
            (None, None) => self.send_now(process, memory, &effect, kind, Arc::from([]), out),
        }
        None
    }

    /// Parks what may have been applied, can neither be asked after nor be repeated without harm.
    fn never_resent(&mut self, process: &ProcessKey, memory: &Memory, effect: &EffectRow, now: Timestamp) -> Box<Draft> {
        let mut row = effect.clone();
        row.state = EffectState::Parked;
        row.due = None;
        row.last = "unknown".into();
        let cause = format!("it is not known whether {} applied {}, and it cannot be asked", row.system, row.step);
        let mut draft = self.draft(process, memory, &"engine".into(), format!("park {}", row.step), now);
        draft.park(&row, "unknown_unresolved", cause, "look in the system; then retry, or skip if it is there", now);
        draft.transition.effects.push(row);
        draft.write_record(Record { heard: Heard { kind: "engine", name: "unknown", ..Heard::default() }, ..Record::default() });
        self.stats.parked += 1;
        draft
    }

    /// Ends what was never applied and is no longer called for.
    fn not_sent(&mut self, process: &ProcessKey, memory: &Memory, effect: &EffectRow, now: Timestamp) -> Box<Draft> {
        let mut draft = self.draft(process, memory, &"engine".into(), format!("withdraw {}", effect.step), now);
        self.withdraw(process, memory, effect.clone(), now, &mut draft);
        let heard = Heard { kind: "engine", name: EffectRow::WITHDRAWN, ..Heard::default() };
        draft.write_record(Record { heard, ..Record::default() });
        draft
    }

    /// After a restore a first send may be a repetition of what a run has sent that the store knows nothing of, at a time that nobody
    /// knows: it is asked after first, unless its key is kept for ever.
    pub(super) fn may_be_unheard_of(&self, effect: &EffectRow) -> bool {
        self.config.restored && effect.state == EffectState::Pending && effect.attempts == 0 && effect.generation == 1
    }

    /// Whether a due effect is sent or asked after.
    fn how_to_call(&self, process: &ProcessKey, memory: &Memory, effect: &EffectRow, now: Timestamp) -> Go {
        let capability = self.wiring.systems.get(&effect.system).and_then(|s| s.connector.capability(effect.operation));
        let Some(capability) = capability else { return Go::Park };
        let key_lives = capability.key_lifetime_ms.is_none_or(|ms| (now - effect.made_at).0 < ms);
        let same_key = capability.identity == Identity::NativeKey && key_lives;
        let resend = if same_key { Go::Call(JobKind::Attempt) } else { Go::Park };
        let unheard_of = self.may_be_unheard_of(effect);
        let doubtful = memory.doubtful.contains(&effect.no) || unheard_of;
        let called_off = memory.called_off.contains(&effect.no);
        // What is in part there is completed, so that its end is known.
        let in_part = &*effect.last == outcome::IN_PART;
        // To repeat what nobody wants any more would be to do it.
        let same_key = same_key && (!called_off || in_part) && (!unheard_of || capability.key_lifetime_ms.is_none());
        let resend = if called_off && !in_part { Go::Park } else { resend };
        match effect.state {
            EffectState::Pending if called_off && !doubtful && !in_part => Go::Withdraw,
            // It may have been sent by the former owner. The same key does no harm; else it is asked, once it must be visible.
            EffectState::Pending if doubtful && same_key => resend,
            EffectState::Pending if doubtful && capability.probes => {
                let visible = self.tenure.since(process.partition()) + Duration(capability.settling_ms);
                if now < visible { Go::Wait(visible) } else { Go::Call(JobKind::Probe) }
            }
            EffectState::Pending if effect.attempts > 0 && !key_lives && capability.probes => Go::Call(JobKind::Probe),
            EffectState::Pending if doubtful || (effect.attempts > 0 && !key_lives) => resend,
            EffectState::Pending => Go::Call(JobKind::Attempt),
            EffectState::Unknown if capability.probes => Go::Call(JobKind::Probe),
            EffectState::Unknown => resend,
            // Its end is late: ask, if it can be asked; else go on waiting.
            EffectState::Accepted if capability.probes => Go::Call(JobKind::Probe),
            EffectState::Done if capability.probes => Go::Call(JobKind::Audit),
            EffectState::Accepted
            | EffectState::Done
            | EffectState::Parked
            | EffectState::Refused
            | EffectState::Skipped
            | EffectState::Reversed => Go::Nothing,
        }
    }

    /// What the flow asked for. After a reload it is asked again: `decide` names an effect as long as it matters.
    pub(super) fn args_of(&self, process: &ProcessKey, memory: &Memory, effect: &EffectRow) -> Option<Value> {
        let known = memory.args.get(&effect.no).cloned();
        known.or_else(|| self.asked_for(process, memory, effect, effect.made_at).map(|effect| effect.args))
    }

    /// An effect as the flow calls for it; one that has ended, or is no longer called for, as it was before that.
    pub(super) fn asked_for(
        &self,
        process: &ProcessKey,
        memory: &Memory,
        row: &EffectRow,
        now: Timestamp,
    ) -> Option<crossdock_flows::Effect> {
        let driver = &self.wiring.drivers[&*process.kind];
        let policy = memory.pinned.as_ref().map_or(&*NO_POLICY, |p| &*p.policy);
        let named = |state: &State| {
            let plan = driver.plan(state, policy, memory.row.logic, now);
            plan.effects.into_iter().find(|e| *e.step == *row.step && *e.intent == *row.intent)
        };
        let before_its_end = || driver.reopened(&memory.state, &row.step, &row.intent);
        let before_called_off = || driver.before_called_off(&memory.state, &row.step, &row.intent);
        named(&memory.state).or_else(|| named(&before_its_end()?)).or_else(|| named(&before_called_off()?))
    }

    fn send_now(
        &mut self,
        process: &ProcessKey,
        memory: &Memory,
        effect: &EffectRow,
        kind: JobKind,
        prepared: Arc<[u8]>,
        out: &mut Vec<Output>,
    ) {
        match &kind {
            JobKind::Attempt => {
                self.stats.sent += 1;
                self.stats.retries += u64::from(effect.attempts > 0);
            }
            JobKind::Probe | JobKind::Audit => self.stats.probes += 1,
            JobKind::Retract(_) => self.stats.retracted += 1,
        }
        let call = self.call_of(
            process,
            memory,
            effect,
            self.args_of(process, memory, effect).unwrap_or_default(),
            memory.document.clone(),
        );
        let epoch = self.tenure.epoch(process.partition());
        let job = Job { process: process.clone(), no: effect.no, generation: effect.generation, epoch, kind, call, prepared };
        out.push(Output::Send(Box::new(job)));
    }

    /// The bytes of a call whose slot is reserved are there, or cannot be had.
    pub(super) fn request_loaded(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        fetch: &Fetch,
        bytes: &Result<Option<Arc<[u8]>>, crossdock_store::StoreError>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let no = fetch.no;
        let Some(system) = lane.in_flight.get(&no).cloned() else { return };
        let effect = self.memory(lane).effect(no).filter(|effect| effect.request == Some(fetch.hash)).cloned();
        let (Some(effect), Ok(Some(bytes))) = (effect, bytes) else {
            // The store is away, or the request's subject was erased: look again later.
            lane.in_flight.remove(&no);
            self.dispatcher.release(&system, now);
            if let Some(effect) = self.memory(lane).effect(no).filter(|e| e.state.is_open()) {
                self.dispatcher.offer(&system, process, no, effect.class, now + Duration::seconds(5), now);
            }
            return;
        };
        if let (Some(memory), true) = (lane.memory.as_mut(), effect.state.is_open()) {
            memory.requests.insert(no, bytes.clone());
        }
        let memory = self.memory(lane);
        if let Go::Call(kind) = self.how_to_call(process, memory, &effect, now) {
            self.send_now(process, memory, &effect, kind, bytes.clone(), out);
        } else {
            lane.in_flight.remove(&no);
            self.dispatcher.release(&system, now);
        }
    }
}
