//! A lane: one process, one piece of work at a time. Its memory advances only when the store says that the transition is on disk;
//! on any doubt it is dropped and read again.

use super::{Core, Ended, Fetch, Output, fold::Draft};
use crate::{HubError, driver::State, wiring::Pinned};
use crossdock_canonical::{Duration, SystemName, Timestamp};
use crossdock_flows::Answer;
use crossdock_store::{
    Committed, EffectRow, EffectState, ExceptionRow, IdentityRow, InboxId, InboxRow, Intake, Loaded, ProcessKey, ProcessRow,
    StoreError, Transition, TransitionId,
};
use crossdock_value::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque, hash_map::Entry},
    sync::Arc,
};

/// What a lane can be asked to do.
#[derive(Debug)]
pub(super) enum Work {
    Inbox(InboxRow),
    Ended(Box<Ended>),
    Timer {
        name: Arc<str>,
        due: Timestamp,
    },
    /// The dispatcher reserved a slot of this system for this effect.
    Send {
        no: u32,
        system: SystemName,
    },
    /// The bytes of an effect whose slot is reserved.
    Request {
        fetch: Fetch,
        bytes: Result<Option<Arc<[u8]>>, StoreError>,
    },
    Reconcile,
    /// A message for another process of this order, which nobody has begun yet.
    Orphan(InboxRow),
}

/// How often a piece of work is done again that the store refuses for what is in it.
const REFUSALS_MAX: u32 = 3;
/// When a process that cannot be loaded is tried again.
const LOAD_AGAIN: Duration = Duration::seconds(5);

#[derive(Default)]
pub(super) struct Lane {
    pub(super) partition: u16,
    stage: Stage,
    pub(super) memory: Option<Memory>,
    queue: VecDeque<Work>,
    /// A message that cannot be folded stands in front; later messages wait behind it in the store, commands pass.
    pub(super) blocked: Option<InboxId>,
    /// Effects with a call under way, or whose end waits its turn. Kept apart from memory: a reload does not call them back.
    pub(super) in_flight: BTreeMap<u32, SystemName>,
    /// Settled effects that reconciliation asks about when they get a slot.
    pub(super) audits: BTreeSet<u32>,
    /// Copies that such a question found, to be taken back when their effect gets a slot.
    pub(super) copies: BTreeMap<u32, Arc<[String]>>,
    /// Effects whose copies were to be taken back since reconciliation last came by. One that is still found then waits for the next time.
    pub(super) retracted: BTreeSet<u32>,
    /// Effects whose call ended without the process being able to hear it, and of which nothing was written since.
    unheard: BTreeSet<u32>,
    /// Why the store refused the last draft for what was in it, and how often in a row.
    pub(super) refused: Option<String>,
    refusals: u32,
    /// How often a starting process waited for its policy.
    pub(super) pin_waits: u32,
    /// Messages to other processes that the last commit stored.
    sent: Vec<(Intake, InboxId)>,
}

/// What a committed draft does to what blocks its lane.
pub(super) enum Block {
    /// This message cannot be folded: those behind it wait.
    Close(InboxId),
    /// The messages behind may come, from the blocking one on.
    Open,
}

#[derive(Default)]
enum Stage {
    /// Nothing in memory, nothing asked.
    #[default]
    Cold,
    Loading,
    Ready,
    /// The draft's policy must be on disk first.
    Pinning(Box<Draft>),
    Committing(Box<Draft>),
    /// The commit's reply was lost; the store is being asked.
    InDoubt(Box<Draft>),
}

/// What a lane knows of its process. All of it is on disk.
pub(super) struct Memory {
    pub version: u64,
    pub row: ProcessRow,
    pub state: State,
    pub pinned: Option<Pinned>,
    /// The canonical document, `Null` if there is none.
    pub document: Value,
    pub effects: Vec<EffectRow>,
    pub timers: Vec<(Arc<str>, Timestamp)>,
    pub exceptions: Vec<(Arc<str>, ExceptionRow)>,
    /// What systems call this process's records.
    pub identities: Vec<IdentityRow>,
    /// Request bytes of open effects, while they are at hand.
    pub requests: BTreeMap<u32, Arc<[u8]>>,
    /// Arguments of open effects, while they are at hand.
    pub args: BTreeMap<u32, Value>,
    /// Effects whose last word is from a former run: they may have been sent since.
    pub doubtful: BTreeSet<u32>,
    /// Open effects that the flow no longer calls for: they are not sent anew.
    pub called_off: Vec<u32>,
}

impl Memory {
    pub fn effect(&self, no: u32) -> Option<&EffectRow> {
        self.effects.get(usize::try_from(no).ok()?.checked_sub(1)?)
    }

    pub fn effect_named(&self, step: &str, intent: &str) -> Option<&EffectRow> {
        self.effects.iter().find(|e| &*e.step == step && &*e.intent == intent)
    }

    pub fn effect_with_key(&self, key: &str) -> Option<&EffectRow> {
        self.effects.iter().find(|e| &*e.key == key)
    }

    /// Takes over what a committed draft changed.
    fn advance(&mut self, draft: &mut Draft, version: u64) {
        self.version = version;
        self.row = draft.transition.row.clone();
        if let Some(state) = draft.state.take() {
            self.state = state;
        }
        if let Some(pinned) = draft.pinned.take() {
            self.pinned = Some(pinned);
        }
        if let Some(document) = draft.document.take() {
            self.document = document;
        }
        for row in draft.transition.effects.drain(..) {
            self.doubtful.remove(&row.no);
            if !row.state.is_open() {
                self.requests.remove(&row.no);
                self.args.remove(&row.no);
            }
            match self.effects.get_mut(row.no as usize - 1) {
                Some(slot) => *slot = row,
                None => self.effects.push(row),
            }
        }
        if let Some(called_off) = draft.called_off.take() {
            self.called_off = called_off;
        }
        for (no, bytes, args) in draft.requests.drain(..) {
            self.requests.insert(no, bytes);
            self.args.insert(no, args);
        }
        for identity in draft.transition.identities.drain(..) {
            if !self.identities.contains(&identity) {
                self.identities.push(identity);
            }
        }
        for (name, due) in draft.transition.timers.drain(..) {
            self.timers.retain(|(n, _)| *n != name);
            if let Some(due) = due {
                self.timers.push((name, due));
            }
        }
        for (name, row) in draft.transition.exceptions.drain(..) {
            self.exceptions.retain(|(n, _)| *n != name);
            if let Some(row) = row {
                self.exceptions.push((name, row));
            }
        }
    }
}

impl Lane {
    pub(super) fn is_idle(&self) -> bool {
        self.is_resting() && self.queue.is_empty() && self.in_flight.is_empty()
    }

    fn is_resting(&self) -> bool {
        matches!(self.stage, Stage::Cold | Stage::Ready)
    }

    /// May be forgotten without loss.
    fn is_disposable(&self) -> bool {
        self.is_idle() && self.blocked.is_none() && self.audits.is_empty() && self.copies.is_empty() && self.unheard.is_empty()
    }

    /// Nothing of it is under way that a next owner would have to ask after, or that has yet to be written down.
    pub(super) fn has_ended(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty() && matches!(self.stage, Stage::Cold | Stage::Ready | Stage::Loading)
    }

    /// A call of it ended without the process being able to hear it.
    pub(super) fn is_in_doubt(&self) -> bool {
        !self.unheard.is_empty()
    }

    /// Takes out all that it has to do but hear how its calls ended.
    pub(super) fn keep_ends(&mut self) -> Vec<Work> {
        let (ends, rest) = std::mem::take(&mut self.queue).into_iter().partition(|work| matches!(work, Work::Ended(_)));
        self.queue = ends;
        Vec::from(rest)
    }

    /// All that it had to do, what it was doing with it.
    pub(super) fn let_go(mut self) -> Vec<Work> {
        let mut work = Vec::from(std::mem::take(&mut self.queue));
        if let Stage::Pinning(draft) | Stage::Committing(draft) | Stage::InDoubt(draft) = self.stage {
            work.extend([draft.work, draft.then].into_iter().flatten());
        }
        work
    }

    /// Takes out the messages that wait behind a blocking one: the store keeps them.
    fn waiting_messages(&mut self) -> Vec<InboxId> {
        let mut waiting = Vec::new();
        self.queue.retain(|work| match work {
            Work::Inbox(row) if !matches!(&*row.kind, "command" | "reply" | super::fold::TAKEN) => {
                waiting.push(row.id);
                false
            }
            Work::Inbox(_)
            | Work::Ended(_)
            | Work::Timer { .. }
            | Work::Send { .. }
            | Work::Request { .. }
            | Work::Reconcile
            | Work::Orphan(_) => true,
        });
        waiting
    }
}

impl Core {
    /// Gives a lane something to do and lets it run.
    pub(super) fn work(&mut self, process: ProcessKey, work: Work, now: Timestamp, out: &mut Vec<Output>) {
        let (lane, new) = match self.lanes.entry(process.clone()) {
            Entry::Occupied(known) => (known.into_mut(), false),
            Entry::Vacant(free) => {
                let partition = process.partition();
                (free.insert(Box::new(Lane { partition, ..Lane::default() })), true)
            }
        };
        let partition = lane.partition;
        let welcome = if let Work::Ended(_) = work { self.tenure.epoch(partition) != 0 } else { self.tenure.works(partition) };
        if welcome {
            lane.queue.push_back(work);
            self.run(&process, now, out);
        } else {
            if new {
                self.lanes.remove(&process);
            }
            self.decline(work, now);
        }
    }

    /// Runs a lane until it waits for something.
    pub(super) fn run(&mut self, process: &ProcessKey, now: Timestamp, out: &mut Vec<Output>) {
        // A lane taken out of the map can be folded while the rest of the core is borrowed.
        let Some(mut lane) = self.lanes.remove(process) else { return };
        loop {
            match lane.stage {
                Stage::Cold => {
                    if lane.queue.is_empty() {
                        break;
                    }
                    if self.seems_unborn(process, &lane) {
                        lane.memory = Some(super::fold::unborn(&*self.wiring.drivers[&*process.kind]));
                        lane.stage = Stage::Ready;
                        continue;
                    }
                    lane.stage = Stage::Loading;
                    out.push(Output::Load(process.clone()));
                    break;
                }
                Stage::Loading | Stage::Pinning(_) | Stage::Committing(_) | Stage::InDoubt(_) => break,
                Stage::Ready => {
                    if lane.blocked.is_some() {
                        for row in lane.waiting_messages() {
                            self.inbox.forget(row);
                        }
                    }
                    let Some(work) = lane.queue.pop_front() else { break };
                    if let Some(draft) = self.fold(process, &mut lane, work, now, out) {
                        self.submit(process, &mut lane, draft, out);
                    }
                }
            }
        }
        let over = self.lanes.len() >= self.config.lanes_max;
        let ended = lane
            .memory
            .as_ref()
            .is_none_or(|m| m.version == 0 || (&*m.row.summary.status != "open" && &*m.row.summary.status != "held"));
        if lane.is_disposable() && (over || ended) {
            self.forget(process, &mut lane);
            return;
        }
        // Of a blocked lane only what blocks it must be known.
        if over && lane.is_idle() {
            self.forget(process, &mut lane);
            lane.stage = Stage::Cold;
        }
        self.lanes.insert(process.clone(), lane);
    }

    /// Drops what a lane knows, but for which pending effects were made or answered in this tenure: read again, those are in no doubt.
    pub(super) fn forget(&mut self, process: &ProcessKey, lane: &mut Lane) {
        let Some(memory) = lane.memory.take() else { return };
        let pending = memory.effects.iter().filter(|e| e.state == EffectState::Pending && !memory.doubtful.contains(&e.no));
        let sure: HashSet<u32> = pending.map(|e| e.no).collect();
        if sure.is_empty() {
            self.cleared.remove(process);
        } else {
            self.cleared.insert(process.clone(), sure);
        }
    }

    /// Lets a lane do this before anything else, when what it needs for it has been read.
    pub(super) fn read_first(&mut self, process: &ProcessKey, lane: &mut Lane, work: Work) {
        lane.queue.push_front(work);
        self.forget(process, lane);
        lane.stage = Stage::Loading;
    }

    /// Whether a lane's process is taken to be new without a look: nobody knows its lane, and it has heard what begins a process. If it
    /// is there all the same, the store refuses version 0 and the lane reads it.
    fn seems_unborn(&self, process: &ProcessKey, lane: &Lane) -> bool {
        let begins = |row: &InboxRow| self.wiring.drivers.get(&*process.kind).is_some_and(|driver| driver.starts_with(&row.kind));
        lane.blocked.is_none() && matches!(lane.queue.front(), Some(Work::Inbox(row)) if begins(row))
    }

    fn submit(&mut self, process: &ProcessKey, lane: &mut Lane, draft: Box<Draft>, out: &mut Vec<Output>) {
        if let Some(pinned) = &draft.pinned
            && !self.pins.contains_key(&pinned.hash)
        {
            let waiting = self.unpinned.entry(pinned.hash.clone()).or_default();
            if waiting.is_empty() {
                out.push(Output::StorePin(pinned.clone()));
            }
            waiting.push(process.clone());
            lane.stage = Stage::Pinning(draft);
        } else {
            self.commit(lane, draft, out);
        }
    }

    fn commit(&mut self, lane: &mut Lane, mut draft: Box<Draft>, out: &mut Vec<Output>) {
        self.stats.commits += 1;
        // The lane needs neither of them again.
        let (record, payloads) = (draft.transition.record.take(), std::mem::take(&mut draft.transition.payloads));
        out.push(Output::Commit(Box::new(Transition { record, payloads, ..draft.transition.clone() })));
        lane.stage = Stage::Committing(draft);
    }

    pub(super) fn pin_stored(&mut self, hash: &Arc<str>, result: Result<(), StoreError>, now: Timestamp, out: &mut Vec<Output>) {
        let waiting = self.unpinned.remove(hash).unwrap_or_default();
        for process in waiting {
            let Some(mut lane) = self.lanes.remove(&process) else { continue };
            match std::mem::take(&mut lane.stage) {
                Stage::Pinning(draft) if result.is_ok() => {
                    if let Some(pinned) = &draft.pinned {
                        self.pins.insert(pinned.hash.clone(), pinned.clone());
                    }
                    self.commit(&mut lane, draft, out);
                }
                Stage::Pinning(draft) => self.reload(&process, &mut lane, draft, out),
                stage @ (Stage::Cold | Stage::Loading | Stage::Ready | Stage::Committing(_) | Stage::InDoubt(_)) => {
                    lane.stage = stage
                }
            }
            self.lanes.insert(process.clone(), lane);
            self.run(&process, now, out);
        }
    }

    pub(super) fn loaded(
        &mut self,
        process: ProcessKey,
        result: Result<Option<Box<Loaded>>, StoreError>,
        pin: Option<Pinned>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        if let Some(pin) = pin {
            self.pins.insert(pin.hash.clone(), pin);
        }
        let Some(mut lane) = self.lanes.remove(&process) else { return };
        if !matches!(lane.stage, Stage::Loading) {
            // An answer nobody waits for any more must not replace what is newer.
            self.lanes.insert(process, lane);
            return;
        }
        match result {
            Ok(loaded) => match self.remember(&process, loaded) {
                Ok(mut memory) => {
                    self.cleared.remove(&process);
                    memory.doubtful.extend(&lane.unheard);
                    lane.memory = Some(memory);
                    lane.stage = Stage::Ready;
                }
                Err(reason) => self.unreadable(&process, &mut lane, &reason, now, out),
            },
            // The store is away: ask again. The shell paces this by answering only when it has tried.
            Err(_) => {
                lane.stage = Stage::Loading;
                out.push(Output::Load(process.clone()));
            }
        }
        self.lanes.insert(process.clone(), lane);
        self.run(&process, now, out);
    }

    /// What is on disk cannot be read by this program: nothing may be done to it. Its messages wait, commands are told so.
    fn unreadable(&mut self, process: &ProcessKey, lane: &mut Lane, reason: &str, now: Timestamp, out: &mut Vec<Output>) {
        tracing::error!(%process, reason, "process cannot be loaded");
        lane.stage = Stage::Cold;
        for work in std::mem::take(&mut lane.queue) {
            match work {
                Work::Inbox(row) => {
                    out.push(Output::Answer { row: row.id, result: Err(HubError::Malformed(reason.to_owned())) });
                    self.ask_again(row, LOAD_AGAIN, now);
                }
                Work::Orphan(row) => self.ask_again(row, LOAD_AGAIN, now),
                Work::Ended(ended) => {
                    lane.in_flight.remove(&ended.no);
                    lane.unheard.insert(ended.no);
                }
                Work::Send { system, .. } => self.dispatcher.release(&system, now),
                // Nothing was sent yet.
                Work::Request { fetch, .. } => {
                    if let Some(system) = lane.in_flight.remove(&fetch.no) {
                        self.dispatcher.release(&system, now);
                    }
                }
                // The store has them still.
                Work::Timer { .. } | Work::Reconcile => {}
            }
        }
    }

    fn remember(&self, process: &ProcessKey, loaded: Option<Box<Loaded>>) -> Result<Memory, String> {
        let driver = self.wiring.drivers.get(&*process.kind).ok_or_else(|| format!("no flow is called {}", process.kind))?;
        let Some(loaded) = loaded else { return Ok(super::fold::unborn(&**driver)) };
        let Loaded { version, row, document, effects, timers, exceptions, identities, doubtful: told } = *loaded;
        let document = match document {
            Some(bytes) => {
                crossdock_value::parse(&bytes, &crossdock_value::Limits::default()).map_err(|e| format!("document: {e}"))?
            }
            None => Value::Null,
        };
        let pinned = self.pins.get(&row.policy).cloned();
        if pinned.is_none() && !row.policy.is_empty() {
            return Err(format!("its policy {} is not in the store", row.policy));
        }
        let state = if row.state.is_empty() { driver.fresh() } else { driver.read(row.schema, &row.state)? };
        // Whatever is open from before this tenure may have been sent without a word of it reaching the disk.
        let cleared = self.cleared.get(process);
        let of_former_run = |e: &&EffectRow| match &told {
            Some(doubtful) => doubtful.contains(&e.no),
            None => e.state == EffectState::Pending && !cleared.is_some_and(|cleared| cleared.contains(&e.no)),
        };
        let doubtful = effects.iter().filter(of_former_run).map(|e| e.no).collect();
        let called_off = if effects.iter().any(super::plan::is_calling_out) {
            let policy = pinned.as_ref().map_or(&*super::fold::NO_POLICY, |p| &*p.policy);
            let plan = driver.plan(&state, policy, row.logic, row.opened_at);
            super::plan::called_off(&**driver, &state, &effects, &plan)
        } else {
            Vec::new()
        };
        Ok(Memory {
            version,
            row,
            state,
            pinned,
            document,
            effects,
            timers,
            exceptions,
            identities,
            requests: BTreeMap::new(),
            args: BTreeMap::new(),
            doubtful,
            called_off,
        })
    }

    pub(super) fn committed(
        &mut self,
        process: ProcessKey,
        transition: TransitionId,
        result: Result<Committed, StoreError>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let Some(mut lane) = self.lanes.remove(&process) else { return };
        match std::mem::take(&mut lane.stage) {
            // The answer to one of a former tenure is nobody's.
            Stage::Committing(draft) if draft.transition.id != transition => lane.stage = Stage::Committing(draft),
            Stage::Committing(draft) => match result {
                Ok(committed) => self.advance(&process, &mut lane, draft, committed, now, out),
                Err(StoreError::Unknown(_)) => {
                    out.push(Output::LookUp { process: process.clone(), transition: draft.transition.id });
                    lane.stage = Stage::InDoubt(draft);
                }
                Err(error) => {
                    self.stats.commits_refused += 1;
                    tracing::debug!(%process, %error, "commit refused, reading again");
                    match error {
                        StoreError::StaleEpoch { partition, .. } => {
                            lane.stage = Stage::Committing(draft);
                            self.lanes.insert(process, lane);
                            self.superseded(partition, now, out);
                            return;
                        }
                        StoreError::Constraint(reason) | StoreError::Damaged(reason) => lane.refused = Some(reason),
                        StoreError::StaleVersion { .. }
                        | StoreError::Unavailable(_)
                        | StoreError::Busy(_)
                        | StoreError::Unknown(_) => {}
                    }
                    self.reload(&process, &mut lane, draft, out);
                }
            },
            stage @ (Stage::Cold | Stage::Loading | Stage::Ready | Stage::Pinning(_) | Stage::InDoubt(_)) => lane.stage = stage,
        }
        self.go_on(&process, lane, now, out);
    }

    /// Puts a lane back, hands over the messages its last commit sent, and lets it run.
    fn go_on(&mut self, process: &ProcessKey, mut lane: Box<Lane>, now: Timestamp, out: &mut Vec<Output>) {
        let sent = std::mem::take(&mut lane.sent);
        self.lanes.insert(process.clone(), lane);
        for (intake, id) in sent {
            self.take_row(super::record::row_of(intake, id), now, out);
        }
        self.run(process, now, out);
    }

    pub(super) fn looked_up(
        &mut self,
        process: ProcessKey,
        transition: TransitionId,
        result: Result<Option<Committed>, StoreError>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let Some(mut lane) = self.lanes.remove(&process) else { return };
        match std::mem::take(&mut lane.stage) {
            Stage::InDoubt(draft) if draft.transition.id != transition => lane.stage = Stage::InDoubt(draft),
            Stage::InDoubt(draft) => match result {
                Ok(Some(committed)) => self.advance(&process, &mut lane, draft, committed, now, out),
                Ok(None) => self.reload(&process, &mut lane, draft, out),
                Err(_) => {
                    out.push(Output::LookUp { process: process.clone(), transition: draft.transition.id });
                    lane.stage = Stage::InDoubt(draft);
                }
            },
            stage @ (Stage::Cold | Stage::Loading | Stage::Ready | Stage::Pinning(_) | Stage::Committing(_)) => {
                lane.stage = stage
            }
        }
        self.go_on(&process, lane, now, out);
    }

    /// The transition is on disk: memory takes it over, and only now does anything leave the hub.
    fn advance(
        &mut self,
        process: &ProcessKey,
        lane: &mut Lane,
        mut draft: Box<Draft>,
        committed: Committed,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        lane.stage = Stage::Ready;
        lane.refusals = 0;
        if let Some(row) = draft.transition.settles {
            self.inbox.settle(row);
        }
        match draft.block.take() {
            Some(Block::Close(row)) => {
                lane.blocked = Some(row);
                self.inbox.forget(row);
            }
            Some(Block::Open) => {
                if let Some(row) = lane.blocked.take() {
                    self.inbox.leave(row);
                }
            }
            None => {}
        }
        if let Some((row, answer)) = draft.answer.take() {
            out.push(Output::Answer { row, result: answer });
        }
        if let Some(work) = draft.then.take() {
            lane.queue.push_front(work);
        }
        let changed: Vec<u32> = draft.transition.effects.iter().map(|e| e.no).collect();
        lane.unheard.retain(|no| !changed.contains(no));
        lane.sent = std::mem::take(&mut draft.transition.messages).into_iter().zip(committed.messages).collect();
        let timers = draft.transition.timers.clone();
        let Some(memory) = lane.memory.as_mut() else { return };
        for (name, due) in &memory.timers {
            if timers.iter().any(|(n, _)| n == name) {
                self.timers.remove(&(*due, process.clone(), name.clone()));
            }
        }
        memory.advance(&mut draft, committed.version);
        for (name, due) in timers {
            if let Some(due) = due {
                self.set_timer(due, process, name);
            }
        }
        for no in changed {
            self.offer(process, memory, no, now);
        }
    }

    /// Nothing of the draft happened, as far as the lane may assume: forget the memory, do the work again on what the store says.
    fn reload(&mut self, process: &ProcessKey, lane: &mut Lane, draft: Box<Draft>, out: &mut Vec<Output>) {
        self.forget(process, lane);
        lane.stage = Stage::Loading;
        out.push(Output::Load(process.clone()));
        let Some(work) = draft.work else { return };
        lane.refusals = if lane.refused.is_some() { lane.refusals + 1 } else { 0 };
        if lane.refusals <= REFUSALS_MAX {
            lane.queue.push_front(work);
            return;
        }
        // A bug: it must not spin. What was heard stays unheard, and its effect in doubt.
        tracing::error!(%process, reason = lane.refused.take(), "the store refuses what follows from this");
        lane.refusals = 0;
        match work {
            Work::Inbox(row) => self.inbox.forget(row.id),
            Work::Ended(ended) => {
                lane.unheard.insert(ended.no);
            }
            Work::Timer { .. } | Work::Send { .. } | Work::Request { .. } | Work::Reconcile | Work::Orphan(_) => {}
        }
    }

    /// Tells the dispatcher of one changed effect.
    fn offer(&mut self, process: &ProcessKey, memory: &Memory, no: u32, now: Timestamp) {
        let Some(effect) = memory.effect(no).filter(|_| self.tenure.working().holds(process)) else { return };
        match effect.due {
            Some(due) => {
                self.dispatcher.offer(&effect.system, process, no, effect.class, due, now);
            }
            None => self.dispatcher.withdraw(&effect.system, process, no),
        }
    }
}

/// The answer to a command whose lane cannot take it.
pub(super) fn refusal(code: &str, text: impl Into<String>) -> Result<Answer, HubError> {
    Ok(Answer::Refused { code: code.into(), text: text.into() })
}
