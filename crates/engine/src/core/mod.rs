//! The sans-I/O core: `step(input, now)` pushes outputs. Single-threaded; owns the lanes and the dispatcher of its partitions, which
//! are all of them on a store of one node and a share of them on one of several.
//!
//! What it never does: read a clock, draw randomness from outside, touch the network or the store. Every wait is an output, every
//! answer an input, so that one seed gives one trace.
//!
//! Files: `lane` (one process at a time, memory that advances only on the commit's reply), `fold` (what one piece of work leads to),
//! `plan` (the difference between what a flow calls for and what exists), `dispatch` (who may send now), `health` (breaker, retry
//! budget, rate), `record` (what the journal says), `tenure` (which partitions are its own, gaining and losing them).

mod dispatch;
mod fold;
mod health;
mod lane;
mod plan;
mod record;
mod tenure;
#[cfg(test)]
mod tests;

pub use dispatch::{Job, JobKind};
pub use health::BreakerState;
pub use record::{HubMessage, answer_in, intake_of, order_intake_of, row_of};

use crate::{HubError, Wiring, wiring::Pinned};
use crossdock_canonical::{Duration, Outcome, SystemName, Timestamp};
use crossdock_connect::Probe;
use crossdock_flows::Answer;
use crossdock_store::{
    Committed, DueEffect, DueTimer, InboxId, InboxRow, Lease, Loaded, Partitions, PayloadHash, ProcessKey, Release, StoreError,
    Transition, TransitionId,
};
use dispatch::Dispatcher;
use lane::Lane;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};
use tenure::Tenure;

/// The system name of the hub itself.
pub const HUB: &str = "hub";

/// Timers kept in memory; the rest wait in the store.
const TIMERS_MAX: usize = 20_000;

#[derive(Clone, Debug)]
pub struct Config {
    /// Seed of jitter.
    pub seed: u64,
    /// Lanes kept in memory while idle.
    pub lanes_max: usize,
    /// Effects of one system kept in memory; the rest wait in the store.
    pub window: usize,
    /// Inbox rows kept in memory; the rest wait in the store.
    pub inbox_window: usize,
    /// Archive requests and answers of every attempt.
    pub archive: bool,
    /// How far ahead timers are read.
    pub timer_horizon: Duration,
    /// How often reconciliation comes by, if it does: processes that have ended are asked about too, for as long as a late copy may come.
    pub reconcile_every: Option<Duration>,
    /// How long a message for an unknown record waits for its identity before a person is asked.
    pub stray_after: Duration,
    /// The store was restored to an older point: what is sent for the first time may have been sent by a run that it knows nothing of.
    pub restored: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            lanes_max: 20_000,
            window: 4_096,
            inbox_window: 16_384,
            archive: true,
            timer_horizon: Duration::minutes(10),
            reconcile_every: None,
            stray_after: Duration::seconds(50),
            restored: false,
        }
    }
}

/// What the core hears.
#[derive(Debug)]
pub enum Input {
    /// Leases that were taken: read what waits in them.
    Gained(Vec<Lease>),
    /// Partitions that another node has.
    Lost(Partitions),
    /// Partitions to hand over; answered by `GaveUp` for each.
    GiveUp(Partitions),
    /// Of so many nodes that share the systems' budgets this one is the n-th, counted from 0.
    Share {
        place: u32,
        nodes: u32,
    },
    /// Another node says that a system is not to be called for now.
    Warned(SystemName, BreakerState),
    /// A row that was just accepted.
    Inbox(InboxRow),
    /// Another node may have accepted rows.
    Arrived,
    /// The answer to `ReadInbox`.
    InboxRead {
        rows: Vec<InboxRow>,
        complete: bool,
        /// What is there already was kept back; the shell has waited a little.
        held_back: bool,
    },
    /// The answer to `Load`, with the pinned policy if the core does not hold it.
    Loaded {
        process: ProcessKey,
        result: Result<Option<Box<Loaded>>, StoreError>,
        pin: Option<Pinned>,
    },
    PinStored {
        hash: Arc<str>,
        result: Result<(), StoreError>,
    },
    Committed {
        process: ProcessKey,
        transition: TransitionId,
        result: Result<Committed, StoreError>,
    },
    /// The answer to `LookUp`: whether a commit whose reply was lost had happened.
    LookedUp {
        process: ProcessKey,
        transition: TransitionId,
        result: Result<Option<Committed>, StoreError>,
    },
    Ended(Box<Ended>),
    RequestLoaded {
        fetch: Fetch,
        bytes: Result<Option<Arc<[u8]>>, StoreError>,
    },
    Resolved {
        row: InboxRow,
        process: Result<Option<ProcessKey>, StoreError>,
    },
    Due {
        system: SystemName,
        effects: Vec<DueEffect>,
        complete: bool,
    },
    Timers {
        timers: Vec<DueTimer>,
        until: Timestamp,
        complete: bool,
    },
    /// Ask the systems about every settled effect of this process that they can tell of.
    Reconcile(ProcessKey),
    /// A person says that a system may be called again.
    Resume(SystemName),
    /// Time has passed.
    Tick,
}

/// How an attempt or a probe ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub process: ProcessKey,
    pub system: SystemName,
    pub no: u32,
    pub generation: u32,
    /// The epoch under which it was sent, see `Job`.
    pub epoch: u64,
    pub end: End,
    /// The last answer's bytes, for the archive.
    pub response: Option<Arc<[u8]>>,
    pub took: Duration,
}

#[derive(Clone, Debug)]
pub enum End {
    Attempt(Outcome),
    Probe(Probe),
    /// A reconciliation probe of an effect that is settled.
    Audit(Probe),
    /// Copies of an effect that is settled were to be taken back.
    Retract(Outcome),
    /// Nothing left: it was not sure enough that the partition is still this node's.
    NotSent,
}

/// The bytes of an effect whose slot is reserved, to be read.
#[derive(Clone, Debug)]
pub struct Fetch {
    pub process: ProcessKey,
    pub system: SystemName,
    pub no: u32,
    pub epoch: u64,
    pub hash: PayloadHash,
}

/// What the core wants done.
#[derive(Debug)]
pub enum Output {
    Load(ProcessKey),
    StorePin(Pinned),
    Commit(Box<Transition>),
    LookUp {
        process: ProcessKey,
        transition: TransitionId,
    },
    Send(Box<Job>),
    LoadRequest(Fetch),
    Resolve(InboxRow),
    ReadInbox {
        of: Partitions,
        after: InboxId,
        limit: usize,
    },
    ReadDue {
        of: Partitions,
        system: SystemName,
        before: Timestamp,
        limit: usize,
    },
    ReadTimers {
        of: Partitions,
        before: Timestamp,
        limit: usize,
    },
    /// The answer to a command, for whoever waits for its inbox row.
    Answer {
        row: InboxId,
        result: Result<Answer, HubError>,
    },
    /// Nothing of this lease is under way any more: it may be given back.
    GaveUp(Release),
    /// The store says that another node has this partition.
    Superseded(u16),
    /// A system's breaker changed; the shell stores it.
    SaveBreaker {
        system: SystemName,
        state: BreakerState,
    },
}

/// Counters that only rise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub folded: u64,
    pub commits: u64,
    pub commits_refused: u64,
    pub sent: u64,
    pub probes: u64,
    /// Copies taken back, or tried to.
    pub retracted: u64,
    pub retries: u64,
    pub unknown: u64,
    pub parked: u64,
}

/// By process: looked up at every step, so hashed by what is quick and still seeded.
type Table<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

pub struct Core {
    config: Config,
    wiring: Wiring,
    /// Boxed: a lane is taken out and put back for each piece of work.
    lanes: Table<ProcessKey, Box<Lane>>,
    pins: HashMap<Arc<str>, Pinned>,
    /// Lanes that wait for their pin to be on disk.
    unpinned: HashMap<Arc<str>, Vec<ProcessKey>>,
    dispatcher: Dispatcher,
    timers: BTreeSet<(Timestamp, ProcessKey, Arc<str>)>,
    /// Timers up to here are in memory.
    timers_until: Timestamp,
    /// A read of the timers up to then is under way.
    timers_reading: Option<Timestamp>,
    /// What that read brings is not all: partitions came since.
    timers_again: bool,
    /// Messages whose record is not known yet, by when to ask again.
    strays: BTreeMap<(Timestamp, InboxId), InboxRow>,
    inbox: InboxWindow,
    tenure: Tenure,
    /// Pending effects of processes that are not in memory, of which this tenure knows the last word.
    cleared: HashMap<ProcessKey, HashSet<u32>>,
    next_transition: u64,
    random: Random,
    pub stats: Stats,
}

/// Which inbox rows are in memory.
#[derive(Default)]
struct InboxWindow {
    queued: HashSet<InboxId, foldhash::fast::RandomState>,
    /// Rows after this one may wait in the store unseen; new ones must not overtake them. `None`: all that can go on are in memory.
    behind: Option<InboxId>,
    /// A read of the rows after this one is under way.
    reading: Option<InboxId>,
    /// Of what it brings, what lies in these partitions is still as it was read.
    reading_of: Partitions,
    /// Rows that were told of and left in the store: their partition, and after the beginning of which reading.
    left: BTreeMap<InboxId, (u16, u64)>,
    /// How many readings have begun.
    readings: u64,
    /// Everything that waited when the last partitions came has been read; and whether the reads since began at the start.
    whole: bool,
    from_start: bool,
    /// Rows by a system's own id whose process is being asked for; those asked before partitions came are read again.
    resolving: HashSet<InboxId>,
    outdated: HashSet<InboxId>,
    /// Settled since that read began: it may still show them.
    settled: HashSet<InboxId>,
    /// The last reads brought every row after the first up to the second. Whoever accepted one of them may tell of it only now.
    read: (InboxId, InboxId),
}

impl InboxWindow {
    /// All of it is read again from the start.
    fn begin_anew(&mut self) {
        self.behind = Some(InboxId(0));
        (self.whole, self.from_start) = (false, false);
    }

    /// A row stays in the store for now.
    fn leave(&mut self, row: InboxId) {
        self.queued.remove(&row);
        let before = InboxId(row.0 - 1);
        self.behind = Some(self.behind.map_or(before, |behind| behind.min(before)));
    }

    /// A row whose lane is blocked need not be in memory; it is read again when the lane is free.
    fn forget(&mut self, row: InboxId) {
        self.queued.remove(&row);
    }

    fn settle(&mut self, row: InboxId) {
        self.queued.remove(&row);
        if self.reading.is_some() {
            self.settled.insert(row);
        }
    }
}

/// SplitMix64: small, seeded, good enough for jitter.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Full jitter: anything from nothing to `most`.
    fn jitter(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.0.max(1)).unwrap_or(1);
        Duration(i64::try_from(self.next() % (most + 1)).unwrap_or(0))
    }
}

impl Core {
    pub fn new(config: Config, wiring: Wiring, started_at: Timestamp) -> Self {
        let dispatcher = Dispatcher::new(&wiring, config.window);
        let random = Random(config.seed);
        Self {
            config,
            wiring,
            lanes: Table::default(),
            pins: HashMap::new(),
            unpinned: HashMap::new(),
            dispatcher,
            timers: BTreeSet::new(),
            timers_until: started_at,
            timers_reading: None,
            timers_again: false,
            strays: BTreeMap::new(),
            inbox: InboxWindow::default(),
            tenure: Tenure::default(),
            cleared: HashMap::new(),
            next_transition: 0,
            random,
            stats: Stats::default(),
        }
    }

    /// Handles one input. Outputs are in the order in which they should begin.
    pub fn step(&mut self, input: Input, now: Timestamp, out: &mut Vec<Output>) {
        self.step_all(std::iter::once(input), now, out);
    }

    /// Handles inputs that came together; what time alone brings about is looked at once, after them.
    pub fn step_all(&mut self, inputs: impl IntoIterator<Item = Input>, now: Timestamp, out: &mut Vec<Output>) {
        for input in inputs {
            self.take(input, now, out);
        }
        self.pass_time(now, out);
    }

    fn take(&mut self, input: Input, now: Timestamp, out: &mut Vec<Output>) {
        match input {
            Input::Gained(leases) => self.gained(leases, now, out),
            Input::Lost(partitions) => self.lose(partitions, now, out),
            Input::GiveUp(partitions) => self.give_up(partitions, now),
            Input::Share { place, nodes } => self.dispatcher.share(place, nodes),
            Input::Warned(system, state) => self.dispatcher.warned(&system, state, now),
            Input::Inbox(row) => self.take_row(row, now, out),
            Input::Arrived => self.inbox.behind = Some(InboxId(0)),
            Input::InboxRead { rows, complete, held_back } => self.inbox_read(rows, complete, held_back, now, out),
            Input::Loaded { process, result, pin } => self.loaded(process, result, pin, now, out),
            Input::PinStored { hash, result } => self.pin_stored(&hash, result, now, out),
            Input::Committed { process, transition, result } => self.committed(process, transition, result, now, out),
            Input::LookedUp { process, transition, result } => self.looked_up(process, transition, result, now, out),
            Input::Ended(ended) => self.ended(*ended, now, out),
            Input::RequestLoaded { fetch, bytes } => self.fetched(fetch, bytes, now, out),
            Input::Resolved { row, process } => self.resolved(row, process, now, out),
            Input::Due { system, effects, complete } => self.due(&system, effects, complete, now),
            Input::Timers { timers, until, complete } => self.timers_read(timers, until, complete),
            Input::Reconcile(process) => self.work(process, lane::Work::Reconcile, now, out),
            Input::Resume(system) => self.dispatcher.resume(&system, now),
            Input::Tick => {}
        }
    }

    /// When the core wants to be called again even if nothing happens.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(due, ..)| *due);
        let more_timers = (self.timers_reading.is_none() && self.timers.len() < TIMERS_MAX / 2).then(|| self.read_timers_at());
        let stray = self.strays.keys().next().map(|(due, _)| *due);
        [timer, more_timers, stray, self.dispatcher.wake_at(), self.tenure.wake_at()].into_iter().flatten().min()
    }

    pub fn health(&self, now: Timestamp) -> Vec<crate::SystemView> {
        self.dispatcher.health(&self.wiring, now)
    }

    /// Inbox rows in memory and whether more wait in the store.
    pub fn inbox_depth(&self) -> (usize, bool) {
        (self.inbox.queued.len(), self.inbox.behind.is_some())
    }

    pub fn lanes_in_memory(&self) -> usize {
        self.lanes.len()
    }

    /// Nothing is queued, in flight or being committed; only timers and due times can wake it.
    pub fn is_idle(&self) -> bool {
        self.dispatcher.in_flight() == 0
            && self.inbox.queued.is_empty()
            && self.inbox.behind.is_none()
            && self.inbox.reading.is_none()
            && self.lanes.values().all(|lane| lane.is_idle())
    }

    /// Brings a breaker back as a former run stored it.
    pub fn restore_breaker(&mut self, system: &SystemName, state: BreakerState) {
        self.dispatcher.restore_breaker(system, state);
    }

    fn take_row(&mut self, row: InboxRow, now: Timestamp, out: &mut Vec<Output>) {
        if let crossdock_store::Addressee::Process(process) = &row.to
            && !self.tenure.works(process.partition())
        {
            return;
        }
        let (after, last) = self.inbox.read;
        if after < row.id && row.id <= last {
            return;
        }
        // Behind others a new row waits in the store, or it would overtake older ones of its process.
        let behind = self.inbox.behind.is_some() || self.inbox.reading.is_some();
        if behind || self.inbox.queued.len() >= self.config.inbox_window {
            if !self.inbox.queued.contains(&row.id) {
                self.inbox.leave(row.id);
                if let crossdock_store::Addressee::Process(process) = &row.to {
                    self.inbox.left.insert(row.id, (process.partition(), self.inbox.readings));
                }
                // Beyond this the whole inbox is read anew until nothing is kept back.
                if self.inbox.left.len() > self.config.inbox_window {
                    self.inbox.left.clear();
                    self.inbox.begin_anew();
                }
            }
            return;
        }
        self.queue_row(row, now, out);
    }

    fn queue_row(&mut self, row: InboxRow, now: Timestamp, out: &mut Vec<Output>) {
        self.inbox.left.remove(&row.id);
        if self.inbox.settled.contains(&row.id) || !self.inbox.queued.insert(row.id) {
            return;
        }
        match &row.to {
            crossdock_store::Addressee::Process(process) => {
                let process = process.clone();
                self.work(process, lane::Work::Inbox(row), now, out);
            }
            crossdock_store::Addressee::Theirs { .. } => self.resolve(row, out),
        }
    }

    fn resolve(&mut self, row: InboxRow, out: &mut Vec<Output>) {
        self.inbox.resolving.insert(row.id);
        out.push(Output::Resolve(row));
    }

    fn read_inbox(&mut self, out: &mut Vec<Output>) {
        let room = self.config.inbox_window.saturating_sub(self.inbox.queued.len());
        if self.inbox.reading.is_some() || room < self.config.inbox_window / 2 {
            return;
        }
        let Some(after) = self.inbox.behind.take() else { return };
        self.inbox.readings += 1;
        self.inbox.from_start |= after == InboxId(0);
        self.inbox.settled.clear();
        self.inbox.reading = Some(after);
        self.inbox.reading_of = self.tenure.working();
        out.push(Output::ReadInbox { of: self.inbox.reading_of, after, limit: room });
    }

    fn inbox_read(&mut self, rows: Vec<InboxRow>, complete: bool, held_back: bool, now: Timestamp, out: &mut Vec<Output>) {
        let Some(after) = self.inbox.reading.take() else { return };
        let last = rows.last().map_or(after, |row| row.id);
        let goes_on = self.inbox.read.1 == after;
        self.inbox.read = (if goes_on { self.inbox.read.0 } else { after }, last);
        if !complete || (held_back && !self.inbox.whole) {
            self.inbox.behind = Some(self.inbox.behind.map_or(last, |behind| behind.min(last)));
        } else if !held_back {
            self.inbox.whole |= self.inbox.from_start;
        }
        for row in rows {
            let current = match &row.to {
                crossdock_store::Addressee::Process(process) => self.inbox.reading_of.holds(process),
                crossdock_store::Addressee::Theirs { .. } => true,
            };
            if current {
                self.queue_row(row, now, out);
            }
        }
        self.inbox.settled.clear();
        if complete && !held_back {
            // What was told of before this began, and is not among what it brought, is folded.
            let readings = self.inbox.readings;
            self.inbox.left.retain(|row, (_, told)| *row <= after || *told >= readings);
        }
        // What was told of and not brought is kept back by others that are on their way: what follows it must not overtake it.
        if held_back && let Some((first, _)) = self.inbox.left.first_key_value() {
            let before = InboxId(first.0 - 1);
            self.inbox.behind = Some(self.inbox.behind.map_or(before, |behind| behind.min(before)));
        }
    }

    /// A message by a system's own id: to its process, or back in the queue until the identity is known.
    fn resolved(
        &mut self,
        row: InboxRow,
        process: Result<Option<ProcessKey>, StoreError>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        self.inbox.resolving.remove(&row.id);
        if self.inbox.outdated.remove(&row.id) {
            self.inbox.leave(row.id);
            return;
        }
        match process {
            Ok(Some(process)) => self.work(process, lane::Work::Inbox(row), now, out),
            Ok(None) if self.has_waited(&row, now) => {
                let process = fold::stray_process(&row);
                self.work(process, lane::Work::Inbox(row), now, out);
            }
            Ok(None) | Err(_) => self.ask_again(row, Duration::seconds(1), now),
        }
    }

    /// Whether a message about a record that is not known has waited long enough. Who it belongs to is often found out by asking its
    /// system, so the time while that cannot be asked does not count.
    fn has_waited(&self, row: &InboxRow, now: Timestamp) -> bool {
        let system = match &row.to {
            crossdock_store::Addressee::Theirs { system, .. } => system,
            crossdock_store::Addressee::Process(_) => &row.source,
        };
        self.dispatcher.callable_since(system).is_some_and(|since| now - row.at.max(since) >= self.config.stray_after)
    }

    /// Puts a message aside for a while.
    fn ask_again(&mut self, row: InboxRow, after: Duration, now: Timestamp) {
        self.strays.insert((now + after, row.id), row);
    }

    fn timers_read(&mut self, timers: Vec<DueTimer>, until: Timestamp, complete: bool) {
        self.timers_reading = None;
        // Of those due at the last one's instant some may be missing.
        let last = timers.last().map(|t| t.due - Duration(1));
        self.timers_until = if complete { until } else { last.unwrap_or(until).min(until) };
        let of = self.tenure.working();
        for timer in timers.into_iter().filter(|timer| of.holds(&timer.process)) {
            self.keep_timer(timer.due, timer.process, timer.name);
        }
        if std::mem::take(&mut self.timers_again) {
            self.timers_until = Timestamp(i64::MIN / 2);
        }
    }

    fn keep_timer(&mut self, due: Timestamp, process: ProcessKey, name: Arc<str>) {
        self.timers.insert((due, process, name));
        if self.timers.len() > TIMERS_MAX
            && let Some((due, ..)) = self.timers.pop_last()
        {
            self.timers_until = self.timers_until.min(due - Duration(1));
        }
    }

    /// A timer that was just committed: into memory, unless a later read will bring it.
    fn set_timer(&mut self, due: Timestamp, process: &ProcessKey, name: Arc<str>) {
        if !self.tenure.working().holds(process) {
            return;
        }
        if due <= self.timers_until.max(self.timers_reading.unwrap_or(self.timers_until)) {
            self.keep_timer(due, process.clone(), name);
        }
    }

    fn read_timers_at(&self) -> Timestamp {
        self.timers_until - Duration(self.config.timer_horizon.0 / 2)
    }

    fn read_timers(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.timers_reading.is_none() {
            let before = now + self.config.timer_horizon;
            self.timers_reading = Some(before);
            out.push(Output::ReadTimers { of: self.tenure.working(), before, limit: TIMERS_MAX });
        }
    }

    /// Everything that time alone brings about.
    fn pass_time(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while self.timers.first().is_some_and(|(due, ..)| *due <= now) {
            let Some((due, process, name)) = self.timers.pop_first() else { break };
            self.work(process, lane::Work::Timer { name, due }, now, out);
        }
        if now >= self.read_timers_at() && self.timers.len() < TIMERS_MAX / 2 {
            self.read_timers(now, out);
        }
        while self.strays.keys().next().is_some_and(|(due, _)| *due <= now) {
            let Some((_, row)) = self.strays.pop_first() else { break };
            match row.to.clone() {
                crossdock_store::Addressee::Process(process) => self.work(process, lane::Work::Inbox(row), now, out),
                crossdock_store::Addressee::Theirs { .. } => self.resolve(row, out),
            }
        }
        self.hand_over(now, out);
        self.read_inbox(out);
        self.dispatch_ready(now, out);
    }
}
