//! Who may send now. Per system: what is ready by urgency and age, what is due later, how much is in flight, how well it answers.
//!
//! Memory holds a bounded window; the rows in the store are the truth, and are read again whenever the window has room.

use super::{
    BreakerState, Core, Output, Table,
    health::{Answered, Health},
    lane::Work,
};
use crate::{SystemView, Wiring};
use crossdock_canonical::{Duration, SystemName, Timestamp};
use crossdock_connect::Call;
use crossdock_store::{DueEffect, Partitions, ProcessKey};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What is due within this is kept in memory; the rest is read when its time comes.
const HORIZON: Duration = Duration::seconds(30);
const READ_AGAIN: Duration = Duration::seconds(10);
/// How much earlier an effect stands for each class it is more urgent by. Bounded, so that nothing starves.
const HEAD_START: Duration = Duration::seconds(20);
/// The class of reconciliation: behind everything else.
pub(super) const AUDIT: u8 = 12;

/// One call for the shell to make.
#[derive(Clone, Debug)]
pub struct Job {
    pub process: ProcessKey,
    pub no: u32,
    pub generation: u32,
    /// The epoch of its partition's lease: its end is heard only as long as that stands.
    pub epoch: u64,
    pub kind: JobKind,
    pub call: Call,
    /// The exact bytes of the intent.
    pub prepared: Arc<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobKind {
    Attempt,
    Probe,
    /// A probe of a settled effect, for reconciliation.
    Audit,
    /// Takes back these copies of a settled effect, which are on record.
    Retract(Arc<[String]>),
}

pub(super) struct Dispatcher {
    /// Ordered, so that one seed gives one trace.
    queues: BTreeMap<SystemName, Queue>,
    window: usize,
}

struct Queue {
    health: Health,
    /// By score: due time less the head start of its class.
    ready: BTreeSet<(i64, ProcessKey, u32)>,
    later: BTreeSet<(Timestamp, ProcessKey, u32)>,
    places: Table<(ProcessKey, u32), Place>,
    in_flight: u32,
    /// More is due in the store than the window holds.
    overflow: bool,
    reading: bool,
    /// Something was left out since the read began.
    left_out: bool,
    read_again_at: Timestamp,
    /// No call may leave before this (breaker, rate, pause).
    asleep_until: Option<Timestamp>,
}

#[derive(Clone, Copy)]
enum Place {
    Ready(i64),
    Later(Timestamp, u8),
}

impl Queue {
    fn remove(&mut self, process: &ProcessKey, no: u32) {
        match self.places.remove(&(process.clone(), no)) {
            Some(Place::Ready(score)) => {
                self.ready.remove(&(score, process.clone(), no));
            }
            Some(Place::Later(due, _)) => {
                self.later.remove(&(due, process.clone(), no));
            }
            None => {}
        }
    }

    fn insert(&mut self, process: &ProcessKey, no: u32, class: u8, due: Timestamp, now: Timestamp) {
        let place = if due <= now {
            let score = (due + Duration(HEAD_START.0 * i64::from(class))).0;
            self.ready.insert((score, process.clone(), no));
            Place::Ready(score)
        } else {
            self.later.insert((due, process.clone(), no));
            Place::Later(due, class)
        };
        self.places.insert((process.clone(), no), place);
    }

    fn begin_read(&mut self, now: Timestamp) {
        self.reading = true;
        self.left_out = false;
        self.read_again_at = now + READ_AGAIN;
    }

    fn wake(&mut self, now: Timestamp) {
        while self.later.first().is_some_and(|(due, ..)| *due <= now) {
            let Some((due, process, no)) = self.later.pop_first() else { break };
            if let Some(Place::Later(_, class)) = self.places.remove(&(process.clone(), no)) {
                self.insert(&process, no, class, due, now);
            }
        }
    }
}

impl Dispatcher {
    pub fn new(wiring: &Wiring, window: usize) -> Self {
        let queues = wiring
            .systems
            .values()
            .map(|system| {
                let queue = Queue {
                    health: Health::new(system.limits),
                    ready: BTreeSet::new(),
                    later: BTreeSet::new(),
                    places: Table::default(),
                    in_flight: 0,
                    overflow: false,
                    reading: false,
                    left_out: false,
                    read_again_at: Timestamp(i64::MIN),
                    asleep_until: None,
                };
                (system.name.clone(), queue)
            })
            .collect();
        Self { queues, window }
    }

    /// An open effect is due at `due`. A known one moves. Whether it is in memory now; else a later read brings it.
    pub fn offer(
        &mut self,
        system: &SystemName,
        process: &ProcessKey,
        no: u32,
        class: u8,
        due: Timestamp,
        now: Timestamp,
    ) -> bool {
        let Some(queue) = self.queues.get_mut(system) else { return false };
        queue.remove(process, no);
        if due - now > HORIZON {
            return false;
        }
        if queue.places.len() >= self.window {
            queue.overflow = true;
            queue.left_out = true;
            return false;
        }
        queue.insert(process, no, class, due, now);
        true
    }

    /// Reads what is due in partitions that came. Of a read that is under way nothing of them can be expected: another follows it.
    pub fn read_all(&mut self, of: Partitions, now: Timestamp, out: &mut Vec<Output>) {
        for (name, queue) in &mut self.queues {
            if queue.reading {
                queue.left_out = true;
                continue;
            }
            queue.begin_read(now);
            out.push(Output::ReadDue { of, system: name.clone(), before: now + HORIZON, limit: self.window });
        }
    }

    /// Nothing of these partitions is due here any more.
    pub fn forget(&mut self, partitions: Partitions) {
        for queue in self.queues.values_mut() {
            queue.ready.retain(|(_, process, _)| !partitions.holds(process));
            queue.later.retain(|(_, process, _)| !partitions.holds(process));
            queue.places.retain(|(process, _), _| !partitions.holds(process));
        }
    }

    /// This node is the n-th of so many that share every system's budget.
    pub fn share(&mut self, place: u32, nodes: u32) {
        for queue in self.queues.values_mut() {
            queue.health.share(place, nodes);
            queue.asleep_until = None;
        }
    }

    /// Another node found that a system is not to be called.
    pub fn warned(&mut self, system: &SystemName, state: BreakerState, now: Timestamp) {
        if let Some(queue) = self.queues.get_mut(system) {
            queue.health.warned(state, now);
            queue.asleep_until = None;
        }
    }

    /// A call that was reserved left, or did not.
    pub fn release(&mut self, system: &SystemName, now: Timestamp) {
        let Some(queue) = self.queues.get_mut(system) else { return };
        queue.in_flight = queue.in_flight.saturating_sub(1);
        if let BreakerState::HalfOpen { pause, reason, since } = queue.health.breaker().clone() {
            queue.health.restore(BreakerState::Open { until: now, pause, reason, since });
        }
        queue.asleep_until = None;
    }

    /// A known effect is no longer due.
    pub fn withdraw(&mut self, system: &SystemName, process: &ProcessKey, no: u32) {
        if let Some(queue) = self.queues.get_mut(system) {
            queue.remove(process, no);
        }
    }

    /// A first call leaves; it pays for retries.
    pub fn first_call(&mut self, system: &SystemName) -> Result<(), Timestamp> {
        if let Some(queue) = self.queues.get_mut(system) {
            queue.health.first_call();
        }
        Ok(())
    }

    /// A retry leaves if the budget allows, else the time to ask again.
    pub fn spend_retry(&mut self, system: &SystemName, now: Timestamp) -> Result<(), Timestamp> {
        self.queues.get_mut(system).map_or(Ok(()), |queue| queue.health.spend_retry(now))
    }

    pub fn answered(&mut self, system: &SystemName, answered: Answered, took: Duration, reason: &str, now: Timestamp) {
        let Some(queue) = self.queues.get_mut(system) else { return };
        queue.in_flight = queue.in_flight.saturating_sub(1);
        queue.health.answered(answered, took, reason, now);
        queue.asleep_until = None;
    }

    pub fn resume(&mut self, system: &SystemName, now: Timestamp) {
        if let Some(queue) = self.queues.get_mut(system) {
            queue.health.resume(now);
            queue.asleep_until = None;
        }
    }

    pub fn restore_breaker(&mut self, system: &SystemName, state: BreakerState) {
        if let Some(queue) = self.queues.get_mut(system) {
            queue.health.restore(state);
        }
    }

    /// Since when a system can be called; `None` while it cannot.
    pub fn callable_since(&self, system: &SystemName) -> Option<Timestamp> {
        self.queues.get(system).map_or(Some(Timestamp(i64::MIN)), |queue| queue.health.callable_since())
    }

    pub fn in_flight(&self) -> u32 {
        self.queues.values().map(|queue| queue.in_flight).sum()
    }

    pub fn wake_at(&self) -> Option<Timestamp> {
        self.queues
            .values()
            .flat_map(|queue| {
                let later = queue.later.first().map(|(due, ..)| *due);
                let asleep = if queue.ready.is_empty() { None } else { queue.asleep_until };
                [later, asleep, (!queue.reading).then_some(queue.read_again_at)]
            })
            .flatten()
            .min()
    }

    pub fn health(&self, wiring: &Wiring, now: Timestamp) -> Vec<SystemView> {
        let mut views: Vec<SystemView> = wiring
            .systems
            .values()
            .filter_map(|system| {
                let queue = self.queues.get(&system.name)?;
                let (breaker, trouble, trouble_since) = match queue.health.breaker() {
                    BreakerState::Closed => ("closed", String::new(), None),
                    BreakerState::Open { reason, since, .. } => ("open", reason.to_string(), Some(*since)),
                    BreakerState::HalfOpen { reason, since, .. } => ("half_open", reason.to_string(), Some(*since)),
                    BreakerState::Misconfigured { reason, since, .. } => ("misconfigured", reason.to_string(), Some(*since)),
                };
                let (calls, failures) = queue.health.last_minute(now);
                Some(SystemView {
                    name: system.name.to_string(),
                    roles: system.roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect(),
                    connector: system.product.clone(),
                    breaker: breaker.into(),
                    trouble,
                    trouble_since,
                    in_flight: queue.in_flight,
                    concurrency: queue.health.limits().concurrency,
                    waiting: queue.ready.len() as u64,
                    oldest_waiting: queue.ready.first().map(|(score, ..)| Timestamp(*score)),
                    last_success: queue.health.last_success(),
                    calls_last_minute: calls,
                    failures_last_minute: failures,
                    p50_ms: queue.health.latency(50),
                    p99_ms: queue.health.latency(99),
                })
            })
            .collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }
}

impl Core {
    /// Rows that are due, as the store has them.
    pub(super) fn due(&mut self, system: &SystemName, effects: Vec<DueEffect>, complete: bool, now: Timestamp) {
        let of = self.tenure.working();
        let Some(queue) = self.dispatcher.queues.get_mut(system) else { return };
        queue.reading = false;
        // What was left out while the read was under way is still out there.
        queue.overflow = !complete || queue.left_out;
        for effect in effects {
            let known = queue.places.contains_key(&(effect.process.clone(), effect.no));
            let busy = self.lanes.get(&effect.process).is_some_and(|lane| lane.in_flight.contains_key(&effect.no));
            if !known && !busy && of.holds(&effect.process) {
                queue.insert(&effect.process, effect.no, effect.class, effect.due, now);
            }
        }
    }

    /// Reserves slots for whatever may leave now, most urgent first. Slots that are given back at once go to the next.
    pub(super) fn dispatch_ready(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while self.dispatch_once(now, out) {}
    }

    fn dispatch_once(&mut self, now: Timestamp, out: &mut Vec<Output>) -> bool {
        let mut go: Vec<(ProcessKey, u32, SystemName)> = Vec::new();
        let of = self.tenure.working();
        for (name, queue) in &mut self.dispatcher.queues {
            queue.wake(now);
            while !queue.ready.is_empty() {
                if queue.asleep_until.is_some_and(|until| now < until) {
                    break;
                }
                match queue.health.may_call(now, queue.in_flight) {
                    Ok(()) => {}
                    Err(until) => {
                        queue.asleep_until = until;
                        break;
                    }
                }
                let Some((_, process, no)) = queue.ready.pop_first() else { break };
                queue.places.remove(&(process.clone(), no));
                queue.in_flight += 1;
                queue.health.called(now);
                go.push((process, no, name.clone()));
            }
            let room = queue.places.len() < self.dispatcher.window / 2;
            if !queue.reading && ((queue.overflow && room) || queue.read_again_at <= now) {
                queue.begin_read(now);
                out.push(Output::ReadDue { of, system: name.clone(), before: now + HORIZON, limit: self.dispatcher.window });
            }
            if let Some(state) = queue.health.take_change() {
                out.push(Output::SaveBreaker { system: name.clone(), state });
            }
        }
        let any = !go.is_empty();
        for (process, no, system) in go {
            self.work(process, Work::Send { no, system }, now, out);
        }
        any
    }
}

/// The class of an effect: the more urgent of what the order is and what the effect does.
pub(super) fn class(priority: crossdock_store::Priority, operation: crossdock_canonical::Operation) -> u8 {
    use crossdock_canonical::operation::Urgency;
    use crossdock_store::Priority;
    let order = match priority {
        Priority::Pickup => 1,
        Priority::Express => 2,
        Priority::Standard => 4,
        Priority::Bulk => 6,
    };
    // Between them, so that of two standard orders the one to be created stands before the one to be told about.
    let effect = match operation.urgency() {
        Urgency::Undo => 0,
        Urgency::Do => 3,
        Urgency::Tell => 5,
    };
    order.min(effect)
}
