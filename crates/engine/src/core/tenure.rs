//! Which partitions this core may work on: each with the epoch of its lease, since when, and whether it is being handed over.
//!
//! What is not owned is neither loaded nor folded nor sent. A partition that went to another node takes its lanes with it, and nothing of
//! them is remembered; one that is gained is read from the store, as after a restart. Who owns what is decided outside (`nodes`).

use super::{Core, Fetch, Output, lane::Work};
use crossdock_canonical::{Duration, Timestamp};
use crossdock_store::{Addressee, Lease, PARTITIONS, Partitions, ProcessKey, Release, StoreError};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

/// How long a partition that is handed over waits for the calls that are under way, so that the next owner need not ask after them.
const HAND_OVER: Duration = Duration::seconds(2);

#[derive(Clone, Copy, Default)]
struct Term {
    /// 0: not owned.
    epoch: u64,
    since: Timestamp,
}

pub(super) struct Tenure {
    terms: Vec<Term>,
    /// Owned and not being handed over.
    working: Partitions,
    /// Until when each that is handed over waits.
    leaving: BTreeMap<u16, Timestamp>,
    /// Lanes of those that have something under way.
    busy: HashSet<ProcessKey>,
    /// Of those, which have a call whose end could not be heard.
    in_doubt: HashSet<u16>,
}

impl Default for Tenure {
    fn default() -> Self {
        Self {
            terms: vec![Term::default(); usize::from(PARTITIONS)],
            working: Partitions::NONE,
            leaving: BTreeMap::new(),
            busy: HashSet::new(),
            in_doubt: HashSet::new(),
        }
    }
}

impl Tenure {
    /// The epoch that commits of this partition name; 0 when it is not owned.
    pub fn epoch(&self, partition: u16) -> u64 {
        self.terms.get(usize::from(partition)).map_or(0, |term| term.epoch)
    }

    /// Since when this core owns it, by its own clock.
    pub fn since(&self, partition: u16) -> Timestamp {
        self.terms.get(usize::from(partition)).map_or(Timestamp(i64::MAX), |term| term.since)
    }

    /// Whether new work of this partition may begin.
    pub fn works(&self, partition: u16) -> bool {
        self.working.contains(partition)
    }

    pub fn working(&self) -> Partitions {
        self.working
    }

    pub fn wake_at(&self) -> Option<Timestamp> {
        self.leaving.values().min().copied()
    }

    fn begin(&mut self, lease: Lease, now: Timestamp) {
        if let Some(term) = self.terms.get_mut(usize::from(lease.partition)) {
            *term = Term { epoch: lease.epoch, since: now };
            self.working.insert(lease.partition);
        }
    }

    fn end(&mut self, partition: u16) {
        if let Some(term) = self.terms.get_mut(usize::from(partition)) {
            *term = Term::default();
        }
        self.working.remove(partition);
        self.leaving.remove(&partition);
        self.in_doubt.remove(&partition);
    }
}

impl Core {
    /// Whether transitions of this partition may be committed.
    pub fn owns(&self, partition: u16) -> bool {
        self.tenure.epoch(partition) != 0
    }

    /// Leases that were taken: reads what waits in them, as the former owner left it.
    pub(super) fn gained(&mut self, leases: Vec<Lease>, now: Timestamp, out: &mut Vec<Output>) {
        let again: Partitions = leases.iter().filter(|lease| self.owns(lease.partition)).map(|lease| lease.partition).collect();
        self.lose(again, now, out);
        for lease in leases {
            self.tenure.begin(lease, now);
        }
        self.inbox.begin_anew();
        self.forget_unresolved();
        self.read_inbox(out);
        self.timers_until = self.timers_until.min(now);
        self.timers_again = self.timers_reading.is_some();
        self.read_timers(now, out);
        self.dispatcher.read_all(self.tenure.working(), now, out);
    }

    /// A message whose process only the identity map knows was read by every node; whoever owned its process may have folded it since.
    fn forget_unresolved(&mut self) {
        let inbox = &mut self.inbox;
        self.strays.retain(|_, row| {
            let known = matches!(row.to, Addressee::Process(_));
            if !known {
                inbox.queued.remove(&row.id);
            }
            known
        });
        inbox.outdated.extend(inbox.resolving.iter().copied());
    }

    /// Partitions that went to another node. Nothing of them is committed or sent any more; calls under way end unheard.
    pub(super) fn lose(&mut self, lost: Partitions, now: Timestamp, out: &mut Vec<Output>) {
        if lost.is_empty() {
            return;
        }
        lost.iter().for_each(|partition| self.tenure.end(partition));
        let mut unsent = Vec::new();
        out.retain(|output| match output {
            Output::Send(job) if lost.holds(&job.process) => {
                unsent.push(job.call.system.clone());
                false
            }
            Output::Commit(transition) => !lost.holds(&transition.process),
            Output::LoadRequest(Fetch { process, system, .. }) if lost.holds(process) => {
                unsent.push(system.clone());
                false
            }
            _ => true,
        });
        unsent.iter().for_each(|system| self.dispatcher.release(system, now));
        let gone: Vec<ProcessKey> =
            self.lanes.iter().filter(|(_, lane)| lost.contains(lane.partition)).map(|(process, _)| process.clone()).collect();
        for process in gone {
            self.tenure.busy.remove(&process);
            let Some(lane) = self.lanes.remove(&process) else { continue };
            for work in lane.let_go() {
                self.decline(work, now);
            }
        }
        self.forget_waiting(lost);
        self.cleared.retain(|process, _| !lost.holds(process));
    }

    /// Whatever of these partitions waits for its time or its turn; the store has it.
    fn forget_waiting(&mut self, partitions: Partitions) {
        self.dispatcher.forget(partitions);
        self.timers.retain(|(_, process, _)| !partitions.holds(process));
        let inbox = &mut self.inbox;
        self.strays.retain(|_, row| {
            let goes = matches!(&row.to, Addressee::Process(process) if partitions.holds(process));
            if goes {
                inbox.queued.remove(&row.id);
            }
            !goes
        });
        partitions.iter().for_each(|partition| inbox.reading_of.remove(partition));
        inbox.left.retain(|_, (partition, _)| !partitions.contains(*partition));
    }

    /// The store refuses a commit because another node has the partition.
    pub(super) fn superseded(&mut self, partition: u16, now: Timestamp, out: &mut Vec<Output>) {
        self.lose([partition].into_iter().collect(), now, out);
        out.push(Output::Superseded(partition));
    }

    /// The bytes of a call whose slot is reserved are there, if it is still to be made.
    pub(super) fn fetched(
        &mut self,
        fetch: Fetch,
        bytes: Result<Option<Arc<[u8]>>, StoreError>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let partition = fetch.process.partition();
        if fetch.epoch == self.tenure.epoch(partition) && self.tenure.works(partition) {
            self.work(fetch.process.clone(), Work::Request { fetch, bytes }, now, out);
            return;
        }
        if let Some(lane) = self.lanes.get_mut(&fetch.process)
            && fetch.epoch == self.tenure.epoch(partition)
        {
            lane.in_flight.remove(&fetch.no);
        }
        self.dispatcher.release(&fetch.system, now);
    }

    /// Work that is not for this core, or not any more.
    pub(super) fn decline(&mut self, work: Work, now: Timestamp) {
        match work {
            Work::Inbox(row) | Work::Orphan(row) => self.inbox.forget(row.id),
            Work::Send { system, .. } => self.dispatcher.release(&system, now),
            Work::Request { fetch, .. } => self.dispatcher.release(&fetch.system, now),
            Work::Ended(_) | Work::Timer { .. } | Work::Reconcile => {}
        }
    }

    /// Partitions to hand over: nothing new begins in them; each is told of when what is under way has ended, or after a while.
    pub(super) fn give_up(&mut self, given: Partitions, now: Timestamp) {
        let given: Partitions = given.iter().filter(|partition| self.tenure.works(*partition)).collect();
        for partition in given.iter() {
            self.tenure.working.remove(partition);
            self.tenure.leaving.insert(partition, now + HAND_OVER);
        }
        self.forget_waiting(given);
        let of_them: Vec<ProcessKey> =
            self.lanes.iter().filter(|(_, lane)| given.contains(lane.partition)).map(|(process, _)| process.clone()).collect();
        for process in of_them {
            let Some(lane) = self.lanes.get_mut(&process) else { continue };
            let waiting = lane.keep_ends();
            for work in &waiting {
                if let Work::Request { fetch, .. } = work {
                    lane.in_flight.remove(&fetch.no);
                }
            }
            waiting.into_iter().for_each(|work| self.decline(work, now));
            self.tenure.busy.insert(process);
        }
    }

    /// Tells of partitions whose hand-over is complete. Commits that are still under way then find their epoch taken, or are in time.
    pub(super) fn hand_over(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.tenure.leaving.is_empty() {
            return;
        }
        let (lanes, in_doubt) = (&mut self.lanes, &mut self.tenure.in_doubt);
        self.tenure.busy.retain(|process| {
            let rests = lanes.get(process).is_none_or(|lane| lane.has_ended());
            if rests && let Some(lane) = lanes.remove(process) {
                in_doubt.extend(lane.is_in_doubt().then_some(lane.partition));
            }
            !rests
        });
        let waited_for: Partitions = self.tenure.busy.iter().map(ProcessKey::partition).collect();
        let done =
            |(partition, until): (&u16, &Timestamp)| (!waited_for.contains(*partition) || *until <= now).then_some(*partition);
        let done: Partitions = self.tenure.leaving.iter().filter_map(done).collect();
        for partition in done.iter() {
            // What was waited for in vain has no end on disk.
            let clean = !waited_for.contains(partition) && !self.tenure.in_doubt.contains(&partition);
            out.push(Output::GaveUp(Release { lease: Lease { partition, epoch: self.tenure.epoch(partition) }, clean }));
        }
        self.lose(done, now, out);
    }

    /// A hub of which only some partitions are left goes on with them.
    pub fn working(&self) -> Partitions {
        self.tenure.working()
    }
}
