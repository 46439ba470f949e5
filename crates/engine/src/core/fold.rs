//! What one piece of work leads to: a draft of one transition, or nothing.
//!
//! What happens on a timeout is `attempt_ended` (class *unknown*) and then `probe_ended`, both in `outcome`, below this file's messages
//! and commands.

use super::{
    Core, End, Ended, HUB, Output,
    lane::{Block, Lane, Memory, Work, refusal},
    plan,
    record::{Birth, EffectRecord, Heard, OpenedRecord, Record},
};
use crate::{
    Driver, HubError,
    driver::{EventRecord, State},
    wiring::Pinned,
};
use crossdock_canonical::{Duration, Order, OrderRef, SystemName, Timestamp, order::Delivery};
use crossdock_flows::{Answer, Input as FlowInput, Policy};
use crossdock_store::{
    Addressee, EffectRow, EffectState, ExceptionRow, InboxId, InboxRow, Payload, PayloadHash, Priority, ProcessKey, ProcessRow,
    SummaryRow, Transition, TransitionId,
};
use crossdock_value::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

mod call;
mod command;
mod outcome;

/// The exception of a message that cannot be read or begun.
pub(super) const POISON: &str = "poison";
/// The timer at or before the earliest acknowledgement deadline of a process's open effects. Kept by the engine, in the store like
/// any other, so that silence is noticed after a restart too.
pub(super) const SILENCE: &str = "~silence";
/// When a process that has ended is asked about again, for copies.
const LATE_COPIES: &str = "~late-copies";
/// How long after it was called for an effect may still reach its system a second time. No connection holds a call up for longer.
const LATE_COPIES_FOR: Duration = Duration::hours(1);

/// The engine's own timers; all others are the flow's.
pub(super) fn is_own_timer(name: &str) -> bool {
    matches!(name, SILENCE | LATE_COPIES)
}
/// An effect whose end is awaited is asked after at its deadline; only if that brings nothing is its silence news.
const GRACE: Duration = Duration::seconds(5);
/// The kind of a command's row that only waits to be settled: what it asked for is on disk.
pub(super) const TAKEN: &str = "command.taken";
/// The kind of process whose other processes share its key.
const ORDER: &str = "order";
/// When a message that waits with its order is tried again.
const ORPHAN_AGAIN: Duration = Duration::seconds(10);
/// When an effect is decided on anew that was not sent for want of a fresh lease.
const SEND_AGAIN: Duration = Duration::millis(250);
/// Room for a record; most need no more.
const RECORD_BYTES: usize = 1_024;
/// How often a starting process looks for the policy it was given.
const PIN_WAITS_MAX: u32 = 20;

/// A transition on its way to the store, with what the lane does when it is there.
pub(super) struct Draft {
    pub transition: Transition,
    pub state: Option<State>,
    pub pinned: Option<Pinned>,
    pub document: Option<Value>,
    /// Request bytes and arguments of new effects.
    pub requests: Vec<(u32, Arc<[u8]>, Value)>,
    /// Open effects that the flow no longer calls for; `None`: as before.
    pub called_off: Option<Vec<u32>>,
    pub answer: Option<(InboxId, Result<Answer, HubError>)>,
    /// What becomes of the message that blocks the lane, when this is on disk.
    pub block: Option<Block>,
    /// What is done again if the commit does not happen.
    pub work: Option<Work>,
    /// What is done next when it has happened.
    pub then: Option<Work>,
    events: Vec<EventRecord>,
    /// The highest effect on record.
    known: u32,
}

/// A process that does not exist yet.
pub(super) fn unborn(driver: &dyn Driver) -> Memory {
    Memory {
        version: 0,
        row: ProcessRow {
            state: Arc::from([]),
            schema: driver.schema(),
            logic: driver.logic(),
            policy: "".into(),
            document: None,
            subject: "".into(),
            priority: Priority::Standard,
            opened_at: Timestamp(0),
            summary: SummaryRow::default(),
        },
        state: driver.fresh(),
        pinned: None,
        document: Value::Null,
        effects: Vec::new(),
        timers: Vec::new(),
        exceptions: Vec::new(),
        identities: Vec::new(),
        requests: BTreeMap::new(),
        args: BTreeMap::new(),
        doubtful: BTreeSet::new(),
        called_off: Vec::new(),
    }
}

/// Where a message goes whose record nobody knows: in the partition of the process it is for, which is its reader's.
pub(super) fn stray_process(row: &InboxRow) -> ProcessKey {
    match &row.to {
        Addressee::Process(process) => ProcessKey::new("stray", &process.key),
        Addressee::Theirs { system, kind, id } => ProcessKey::new("stray", &format!("{system}/{kind}/{id}")),
    }
}

/// What flows without a market get.
pub(super) static NO_POLICY: LazyLock<Policy> = LazyLock::new(Policy::none);

impl Core {
    pub(super) fn fold(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        work: Work,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Option<Box<Draft>> {
        self.stats.folded += 1;
        let refused = lane.refused.take();
        let mut draft = match &work {
            Work::Inbox(row) => match &refused {
                Some(reason) => self.poison(process, lane, row, "constraint", reason.clone(), now),
                None => self.message(process, lane, row, now, out),
            },
            Work::Ended(ended) => self.end(process, lane, ended, now),
            Work::Timer { name, due } => self.timer(process, lane, name, *due, now),
            Work::Send { no, system } => self.send(process, lane, *no, system, now, out),
            Work::Request { fetch, bytes } => {
                self.request_loaded(process, lane, fetch, bytes, now, out);
                None
            }
            Work::Reconcile => {
                self.reconcile(process, lane, false, now);
                None
            }
            Work::Orphan(row) => {
                self.orphan(lane, row, now, out);
                None
            }
        }?;
        if let (Work::Ended(ended), Some(reason)) = (&work, refused) {
            draft.without_identities(ended.no, &reason, now);
        }
        let memory = self.memory(lane);
        draft.watch_silence(memory);
        if is_open(memory) && !draft.leaves_it_open() {
            self.watch_late_copies(memory, &mut draft, now);
        }
        // A slot is reserved once. If parking an effect does not get to disk, it comes due again.
        draft.work = (!matches!(work, Work::Send { .. })).then_some(work);
        Some(draft)
    }

    fn memory<'a>(&self, lane: &'a Lane) -> &'a Memory {
        lane.memory.as_ref().expect("a ready lane has its memory")
    }

    /// A draft that changes nothing yet.
    fn draft(&mut self, process: &ProcessKey, memory: &Memory, actor: &Arc<str>, action: String, now: Timestamp) -> Box<Draft> {
        self.next_transition += 1;
        let epoch = self.tenure.epoch(process.partition());
        Box::new(Draft {
            transition: Transition {
                // Named by the tenure too, so that no former owner's id of this process repeats.
                id: TransitionId((epoch << 40) | self.next_transition),
                process: process.clone(),
                version: memory.version,
                epoch,
                at: now,
                actor: actor.clone(),
                action: action.into(),
                settles: None,
                record: None,
                row: memory.row.clone(),
                effects: Vec::new(),
                timers: Vec::new(),
                exceptions: Vec::new(),
                messages: Vec::new(),
                identities: Vec::new(),
                payloads: Vec::new(),
            },
            state: None,
            pinned: None,
            document: None,
            requests: Vec::new(),
            called_off: None,
            answer: None,
            block: None,
            work: None,
            then: None,
            events: Vec::new(),
            known: memory.effects.last().map_or(0, |effect| effect.no),
        })
    }

    /// Lets the flow hear something and adds to the draft what follows from it.
    fn hear(
        &self,
        process: &ProcessKey,
        memory: &Memory,
        input: &FlowInput,
        now: Timestamp,
        draft: &mut Draft,
    ) -> Option<Answer> {
        let driver = &self.wiring.drivers[&*process.kind];
        let policy = draft.pinned.as_ref().or(memory.pinned.as_ref()).map_or(&*NO_POLICY, |p| &*p.policy);
        let step = driver.step(&memory.state, input, policy, memory.row.logic, now);
        draft.transition.row.state = step.bytes;
        draft.transition.row.schema = driver.schema();
        draft.state = Some(step.state);
        draft.events.extend(step.events);
        self.difference(process, memory, step.plan, now, draft);
        step.answer
    }

    fn message(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        row: &InboxRow,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Option<Box<Draft>> {
        match &*row.kind {
            "command" | "reply" => return self.hub_message(process, lane, row, now, out),
            TAKEN => return Some(self.settled_command(process, lane, row, now)),
            _ => {}
        }
        let memory = self.memory(lane);
        // A message may come before what starts its process; after a while a person is asked.
        let starts = self.wiring.drivers[&*process.kind].starts_with(&row.kind);
        if memory.version == 0 && !starts {
            if !self.has_waited(row, now) {
                self.ask_again(row.clone(), Duration::seconds(1), now);
            } else if &*process.kind != ORDER && self.wiring.drivers.contains_key(ORDER) {
                self.work(ProcessKey::new(ORDER, &process.key), Work::Orphan(row.clone()), now, out);
            } else {
                self.work(stray_process(row), Work::Inbox(row.clone()), now, out);
            }
            return None;
        }
        if &*row.kind == "effect.settled" && &*process.kind != "stray" {
            return self.settled_notice(process, lane, row, now, out);
        }
        let body = match self.translate(row) {
            _ if &*process.kind == "stray" => Value::Null,
            Ok(body) => body,
            Err(reason) => return self.poison(process, lane, row, "unreadable", reason, now),
        };
        if &*process.kind != "stray"
            && let Err(reason) = self.wiring.contracts.check(&row.kind, &body)
        {
            return self.poison(process, lane, row, "contract", reason, now);
        }
        let memory = self.memory(lane);
        let mut draft = self.draft(process, memory, &row.actor, format!("message {}", row.kind), now);
        draft.transition.settles = Some(row.id);
        if memory.row.policy.is_empty() && &*row.kind == "order.placed" {
            if let Err((class, reason)) = self.begin_order(process, &body, row, now, &mut draft) {
                return self.poison(process, lane, row, class, reason, now);
            }
        } else if memory.version == 0 {
            begin_plain(process, row, now, &mut draft);
        }
        let payload = self.config.archive.then(|| PayloadHash::of(&row.body));
        if let Some(hash) = payload {
            draft.transition.payloads.push(Payload { hash, bytes: row.body.clone(), message: Some(row.id) });
        }
        let input = FlowInput::Message { from: row.source.clone(), kind: row.kind.to_string(), body };
        self.hear(process, memory, &input, now, &mut draft);
        draft.close_exception(memory, POISON);
        let heard = Heard {
            kind: "message",
            name: &row.kind,
            from: row.source.as_str(),
            payload: payload.map(|h| h.to_string()),
            row: None,
        };
        draft.write_record(Record { heard, ..Record::default() });
        Some(draft)
    }

    /// A message whose process was never begun. While the order it belongs to is open it waits with it: an order that is parked begins
    /// its other processes when it goes on. Otherwise nobody will, and a person is asked.
    fn orphan(&mut self, lane: &Lane, row: &InboxRow, now: Timestamp, out: &mut Vec<Output>) {
        let order = self.memory(lane);
        if order.version > 0 && matches!(&*order.row.summary.status, "open" | "held") {
            self.ask_again(row.clone(), ORPHAN_AGAIN, now);
        } else {
            self.work(stray_process(row), Work::Inbox(row.clone()), now, out);
        }
    }

    /// What the command asked for was committed before; only its row is left.
    fn settled_command(&mut self, process: &ProcessKey, lane: &Lane, row: &InboxRow, now: Timestamp) -> Box<Draft> {
        let memory = self.memory(lane);
        let mut draft = self.draft(process, memory, &row.actor, "command settled".into(), now);
        draft.transition.settles = Some(row.id);
        draft
    }

    fn translate(&self, row: &InboxRow) -> Result<Value, String> {
        if row.source.as_str() == HUB {
            return crossdock_value::parse(&row.body, &crossdock_value::Limits::default()).map_err(|e| e.to_string());
        }
        let system = self.wiring.systems.get(&row.source).ok_or_else(|| format!("no system is called {}", row.source))?;
        system.connector.translate(&row.kind, &row.body).map_err(|e| e.to_string())
    }

    /// The first message of an order: document, policy, priority and what lists show.
    fn begin_order(
        &self,
        process: &ProcessKey,
        body: &Value,
        row: &InboxRow,
        now: Timestamp,
        draft: &mut Draft,
    ) -> Result<(), (&'static str, String)> {
        let order: Order =
            crossdock_value::from_value(body).map_err(|e| ("unreadable", format!("not a canonical order: {e}")))?;
        // The systems know an order by what its document says: under another name it could be sold twice.
        let named = format!("{}/{}/{}", order.channel, order.site, order.number);
        if named != *process.key {
            return Err(("unreadable", format!("the document is of the order {named}, it was handed over as {}", process.key)));
        }
        let pinned = self.wiring.policies.policy_for(body).map_err(|reason| ("no_policy", reason))?;
        // One copy in memory for all that pin it.
        let pinned = self.pins.get(&pinned.hash).cloned().unwrap_or(pinned);
        let bytes: Arc<[u8]> = crossdock_value::to_json(body).into();
        let hash = PayloadHash::of(&bytes);
        let to = &mut draft.transition.row;
        to.policy = pinned.hash.clone();
        to.document = Some(hash);
        to.subject = row.subject.clone();
        to.opened_at = now;
        to.priority = if order.shipments.iter().any(|s| s.delivery == Delivery::Pickup) {
            Priority::Pickup
        } else if order.shipments.iter().any(|s| s.method.as_deref().is_some_and(|m| m.to_ascii_lowercase().contains("express")))
        {
            Priority::Express
        } else {
            Priority::Standard
        };
        to.summary = SummaryRow {
            channel: order.channel.as_str().into(),
            site: order.site.as_str().into(),
            number: order.number.as_str().into(),
            market: pinned.policy.market.as_str().into(),
            total: order.totals.grand.amount.to_string().into(),
            currency: order.currency.as_str().into(),
            ..SummaryRow::default()
        };
        draft.transition.payloads.push(Payload { hash, bytes, message: None });
        draft.document = Some(body.clone());
        draft.pinned = Some(pinned);
        Ok(())
    }

    /// Parks a message in front of its lane: those of other processes flow, those of this one wait behind it.
    fn poison(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        row: &InboxRow,
        class: &str,
        reason: String,
        now: Timestamp,
    ) -> Option<Box<Draft>> {
        let memory = self.memory(lane);
        if memory.exceptions.iter().any(|(name, _)| &**name == POISON) {
            lane.blocked = Some(row.id);
            self.inbox.forget(row.id);
            return None;
        }
        self.stats.parked += 1;
        let mut draft = self.draft(process, memory, &row.actor, format!("park {}", row.kind), now);
        if memory.version == 0 {
            begin_plain(process, row, now, &mut draft);
            draft.transition.row.summary.stage = "unreadable".into();
        }
        let hash = PayloadHash::of(&row.body);
        draft.transition.payloads.push(Payload { hash, bytes: row.body.clone(), message: Some(row.id) });
        let exception = ExceptionRow {
            class: class.into(),
            step: "".into(),
            intent: "".into(),
            system: row.source.as_str().into(),
            cause: reason.into(),
            suggestion: "mend the mapping or the landscape, then retry; or skip the message with a reason".into(),
            since: now,
            payload: Some(hash.to_string()),
        };
        draft.transition.exceptions.push((POISON.into(), Some(exception)));
        draft.block = Some(Block::Close(row.id));
        let heard =
            Heard { kind: "message", name: &row.kind, from: row.source.as_str(), payload: Some(hash.to_string()), row: None };
        draft.write_record(Record { heard, ..Record::default() });
        Some(draft)
    }

    fn timer(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        name: &Arc<str>,
        due: Timestamp,
        now: Timestamp,
    ) -> Option<Box<Draft>> {
        let memory = self.memory(lane);
        // Moved or cancelled since it was put in memory.
        if !memory.timers.iter().any(|(n, d)| n == name && *d == due) {
            return None;
        }
        if &**name == SILENCE {
            return Some(self.silence(process, memory, now));
        }
        if &**name == LATE_COPIES {
            let mut draft = self.draft(process, memory, &"clock".into(), "ask for late copies".into(), now);
            draft.transition.timers.push((LATE_COPIES.into(), None));
            self.watch_late_copies(memory, &mut draft, now);
            self.reconcile(process, lane, true, now);
            return Some(draft);
        }
        let mut draft = self.draft(process, memory, &"clock".into(), format!("timer {name}"), now);
        self.hear(process, memory, &FlowInput::Timer { name: name.to_string() }, now, &mut draft);
        // It has fired; if the flow still names it at the same time it would fire for ever.
        if !draft.transition.timers.iter().any(|(n, _)| n == name) {
            draft.transition.timers.push((name.clone(), None));
        }
        draft.write_record(Record { heard: Heard { kind: "timer", name, ..Heard::default() }, ..Record::default() });
        Some(draft)
    }

    /// Silence is an exception: names the hops that have not acknowledged in time. Without any, only the timer goes.
    fn silence(&mut self, process: &ProcessKey, memory: &Memory, now: Timestamp) -> Box<Draft> {
        let mut draft = self.draft(process, memory, &"clock".into(), "acknowledgement deadline".into(), now);
        draft.transition.timers.push((SILENCE.into(), None));
        let mut named = None;
        for effect in memory.effects.iter().filter(|e| e.deadline + GRACE <= now && is_watched(e)) {
            if draft.stands(memory, &plan::effect_exception(effect.no)) {
                continue;
            }
            let waited = rounded(now - effect.made_at);
            let last = if effect.last.is_empty() { String::new() } else { format!("; last answer: {}", effect.last) };
            let cause =
                format!("{} has not acknowledged {} ({}) for {waited}{last}", effect.system, effect.step, effect.operation);
            draft.park(
                effect,
                "silent",
                cause,
                "look at the system; the hub goes on trying and closes this when it answers",
                now,
            );
            named.get_or_insert_with(|| effect.step.clone());
        }
        if let Some(step) = named {
            draft
                .write_record(Record { heard: Heard { kind: "deadline", name: &step, ..Heard::default() }, ..Record::default() });
        }
        draft
    }

    /// Asks about every settled effect that its system can tell of, behind all other calls; or only about those of which a late copy may
    /// come. What was only read or told (a quote, a status) is not asked after but for copies: nothing stays of it, or a later one rightly
    /// takes its place.
    fn reconcile(&mut self, process: &ProcessKey, lane: &mut Lane, for_copies: bool, now: Timestamp) {
        lane.retracted.clear();
        let memory = self.memory(lane);
        let settled = memory.effects.iter().filter(|e| e.state == EffectState::Done && !lane.in_flight.contains_key(&e.no));
        let told: Vec<(u32, SystemName)> = settled
            .filter(|effect| {
                self.capability(effect).is_some_and(|c| {
                    let wanted = self.takes_copies(effect) || (effect.operation.leaves_a_record() && !for_copies);
                    // Before the settling time *absent* says nothing.
                    wanted && c.probes && (now - effect.made_at).0 > c.settling_ms + c.timeout_ms
                })
            })
            .map(|effect| (effect.no, effect.system.clone()))
            .collect();
        for (no, system) in told {
            // Without room in the window this one waits for the next cycle.
            if self.dispatcher.offer(&system, process, no, super::dispatch::AUDIT, now, now) {
                lane.audits.insert(no);
            }
        }
    }

    /// An open process is asked about whenever reconciliation comes by. One that has ended goes on being asked about for as long as a call
    /// that was held up on its way may still reach a system that would take it a second time.
    fn watch_late_copies(&self, memory: &Memory, draft: &mut Draft, now: Timestamp) {
        let Some(every) = self.config.reconcile_every else { return };
        let takes_copies = |e: &&EffectRow| self.takes_copies(e);
        let last = memory.effects.iter().chain(&draft.transition.effects).filter(takes_copies).map(|e| e.made_at).max();
        if last.is_some_and(|made_at| now - made_at < LATE_COPIES_FOR) {
            draft.transition.timers.retain(|(name, _)| &**name != LATE_COPIES);
            draft.transition.timers.push((LATE_COPIES.into(), Some(now + every)));
        }
    }

    pub(super) fn ended(&mut self, ended: Ended, now: Timestamp, out: &mut Vec<Output>) {
        let process = ended.process.clone();
        if ended.epoch != self.tenure.epoch(process.partition()) {
            // A call of a former tenure: it says how the system does, and whoever owns the process now asks after it.
            self.note_health(&ended, now);
            return;
        }
        self.note_health(&ended, now);
        if let End::NotSent = ended.end {
            let class = self.lanes.get_mut(&process).and_then(|lane| {
                lane.in_flight.remove(&ended.no);
                Some(lane.memory.as_ref()?.effect(ended.no)?.class)
            });
            if let (Some(class), true) = (class, self.tenure.works(process.partition())) {
                self.dispatcher.offer(&ended.system, &process, ended.no, class, now + SEND_AGAIN, now);
            }
            return;
        }
        self.work(process, Work::Ended(Box::new(ended)), now, out);
    }

    fn end(&mut self, process: &ProcessKey, lane: &mut Lane, ended: &Ended, now: Timestamp) -> Option<Box<Draft>> {
        // Not before: what waited in front of this may be another turn of the same effect.
        lane.in_flight.remove(&ended.no);
        let memory = self.memory(lane);
        let effect = memory.effect(ended.no)?.clone();
        if effect.generation != ended.generation {
            return None;
        }
        match &ended.end {
            End::Attempt(outcome) if effect.state.is_open() => self.attempt_ended(process, lane, &effect, outcome, ended, now),
            End::Probe(probe) if effect.state.is_open() => self.probe_ended(process, lane, &effect, probe, ended, now),
            End::Audit(probe) if effect.state == EffectState::Done => self.audit_ended(process, lane, &effect, probe, ended, now),
            End::Retract(outcome) if effect.state == EffectState::Done => {
                self.retract_ended(process, lane, &effect, outcome, ended, now)
            }
            End::Attempt(_) | End::Probe(_) | End::Audit(_) | End::Retract(_) | End::NotSent => None,
        }
    }
}

/// A process that starts without an order document (a stray message, a poisoned order, a bench process).
fn begin_plain(process: &ProcessKey, row: &InboxRow, now: Timestamp, draft: &mut Draft) {
    let to = &mut draft.transition.row;
    to.subject = row.subject.clone();
    to.opened_at = now;
    to.summary.status = "open".into();
    if let Some(order) = OrderRef::parse(&process.key) {
        to.summary.channel = order.channel.as_str().into();
        to.summary.site = order.site.as_str().into();
        to.summary.number = order.number.as_str().into();
    }
}

/// A process that another process's command starts.
fn begin_born(process: &ProcessKey, birth: &Birth, pinned: Option<Pinned>, now: Timestamp, draft: &mut Draft) {
    let to = &mut draft.transition.row;
    to.policy = birth.policy.as_str().into();
    to.subject = birth.subject.as_str().into();
    to.priority = birth.priority;
    to.opened_at = now;
    to.summary.market = birth.market.as_str().into();
    to.summary.status = "open".into();
    if let Some(order) = OrderRef::parse(&process.key) {
        to.summary.channel = order.channel.as_str().into();
        to.summary.site = order.site.as_str().into();
        to.summary.number = order.number.as_str().into();
    }
    draft.pinned = pinned;
}

/// Whether a process has begun and not ended.
fn is_open(memory: &Memory) -> bool {
    matches!(&*memory.row.summary.status, "open" | "held")
}

/// Whether the silence of an effect's system would be news.
fn is_watched(effect: &EffectRow) -> bool {
    effect.state.is_open() && effect.state != EffectState::Parked
}

/// A waiting time for people: whole seconds.
fn rounded(waited: Duration) -> Duration {
    Duration(waited.0 / 1_000 * 1_000)
}

impl Draft {
    /// Keeps the silence timer at or before the earliest deadline that is watched. It may be too early: then it is set anew when it
    /// fires, which is cheaper than moving it with every effect.
    fn watch_silence(&mut self, memory: &Memory) {
        let changed = |no| self.transition.effects.iter().any(|c| c.no == no);
        let kept = memory.effects.iter().filter(|e| e.state.is_open() && !changed(e.no));
        let well = memory.exceptions.is_empty() && self.transition.exceptions.is_empty();
        let flagged = |e: &EffectRow| !well && self.stands(memory, &plan::effect_exception(e.no));
        let watched = kept.chain(&self.transition.effects).filter(|e| is_watched(e) && !flagged(e));
        let earliest = watched.map(|e| e.deadline + GRACE).min();
        let fired = self.transition.timers.iter().position(|(name, _)| &**name == SILENCE);
        let armed = memory.timers.iter().find(|(name, _)| &**name == SILENCE && fired.is_none()).map(|(_, due)| *due);
        let timer = match (earliest, armed) {
            (Some(earliest), Some(armed)) if armed <= earliest => return,
            (Some(earliest), _) => Some(earliest),
            (None, Some(_)) if !self.leaves_it_open() => None,
            (None, _) => return,
        };
        if let Some(fired) = fired {
            self.transition.timers.remove(fired);
        }
        self.transition.timers.push((SILENCE.into(), timer));
    }

    /// Whether the process is still under way when this is committed.
    fn leaves_it_open(&self) -> bool {
        matches!(&*self.transition.row.summary.status, "open" | "held")
    }

    /// Whether an exception stands when this is committed.
    fn stands(&self, memory: &Memory, exception: &str) -> bool {
        let told = self.transition.exceptions.iter().rev().find(|(name, _)| &**name == exception);
        told.map_or_else(|| memory.exceptions.iter().any(|(name, _)| &**name == exception), |(_, row)| row.is_some())
    }

    /// The store says that an id the system gave belongs to another process: the outcome stands, a person looks at the id.
    fn without_identities(&mut self, no: u32, reason: &str, now: Timestamp) {
        self.transition.identities.clear();
        if let Some(row) = self.transition.effects.iter().find(|e| e.no == no).cloned() {
            self.park(&row, "constraint", reason.to_owned(), "find out whose the id is; then skip this step with a reason", now);
        }
    }

    fn close_exception(&mut self, memory: &Memory, name: &str) {
        if memory.exceptions.iter().any(|(n, _)| &**n == name) {
            self.transition.exceptions.push((name.into(), None));
        }
    }

    /// Completes the record from what the draft holds by now and writes it into the transition.
    fn write_record(&mut self, record: Record<'_>) {
        let mut record = Record { events: std::mem::take(&mut self.events), ..record };
        record.effects = self.transition.effects.iter().map(|row| EffectRecord::of(row, row.no > self.known)).collect();
        for (name, due) in &self.transition.timers {
            match due {
                Some(due) => {
                    record.timers.set.insert(name, *due);
                }
                None => record.timers.cancelled.push(name),
            }
        }
        for (name, row) in &self.transition.exceptions {
            match row {
                Some(row) => record.exceptions.opened.push(OpenedRecord { name, class: &row.class, cause: &row.cause }),
                None => record.exceptions.closed.push(name),
            }
        }
        let mut bytes = Vec::with_capacity(RECORD_BYTES);
        serde_json::to_writer(&mut bytes, &record).expect("records are plain data with string keys");
        drop(record);
        self.transition.record = Some(bytes);
    }
}

/// Names a system in a record.
fn system_name(system: &SystemName) -> &str {
    system.as_str()
}

/// The answer of a command that came to nothing, for the waiting caller.
fn refused(code: &str, text: impl Into<String>) -> Result<Answer, HubError> {
    refusal(code, text)
}
