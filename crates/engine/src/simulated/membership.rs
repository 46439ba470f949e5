//! A simulated node's part among the nodes: the turns that `shell/turns` takes, and what `shell/standing` knows by them, in simulated
//! time.

use super::at_once;
use crate::{
    core::{BreakerState, Input},
    nodes::{About, BEATS, Heard, Members, News, Word},
};
use crossdock_canonical::{Duration, SystemName, Timestamp};
use crossdock_store::{Partitions, ProcessKey, Release, Store};
use std::sync::Arc;

const AT_ONCE: Duration = Duration::millis(1);

pub(super) struct Membership {
    name: Arc<str>,
    /// How often it was started: a name is never two runs'.
    runs: u32,
    lease: Duration,
    members: Members,
    about: About,
    heard: Heard,
    share: (u32, u32),
    /// When the last turn began that showed what is its own.
    checked: Option<Timestamp>,
    next: Timestamp,
    has_left: bool,
}

impl Membership {
    pub fn new(name: Arc<str>, lease: Duration, now: Timestamp) -> Self {
        Self::begin(name, 1, lease, now)
    }

    fn begin(name: Arc<str>, runs: u32, lease: Duration, now: Timestamp) -> Self {
        Self {
            members: Members::new(format!("{name}/{runs}").into(), lease),
            about: About { name: name.to_string(), started_at: now.0, ..About::default() },
            heard: Heard::default(),
            share: (0, 1),
            checked: None,
            next: now,
            has_left: false,
            name,
            runs,
            lease,
        }
    }

    /// The same node after it died: the others, and the store, take it for another.
    pub fn restart(&mut self, now: Timestamp) {
        *self = Self::begin(self.name.clone(), self.runs + 1, self.lease, now);
    }

    pub fn next_turn(&self) -> Option<Timestamp> {
        (!self.has_left).then_some(self.next)
    }

    pub fn is_leaving(&self) -> bool {
        self.about.leaving
    }

    /// Whether it has handed over what it had, and told the store that it is gone.
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        self.checked.is_some_and(|checked| now - checked < self.lease)
    }

    /// Whether nobody can have taken this partition.
    pub fn is_sure_of(&self, partition: u16, now: Timestamp) -> bool {
        self.is_fresh(now) && self.members.held().contains(partition)
    }

    /// Whether what is done once over all nodes is done here.
    pub fn is_in_charge_of(&self, name: &str, now: Timestamp) -> bool {
        self.is_fresh(now) && self.members.owned().holds(&ProcessKey::new("job", name))
    }

    pub fn tell(&mut self, system: &SystemName, state: &BreakerState) {
        self.about.tell(system, state);
    }

    pub fn ask_all(&mut self, what: String, now: Timestamp) {
        self.about.asked.insert(what, now.0);
    }

    pub fn gave_up(&mut self, release: Release, now: Timestamp) {
        self.members.gave_up(release);
        self.next = self.next.min(now + AT_ONCE);
    }

    pub fn superseded(&mut self, partition: u16, now: Timestamp) {
        self.members.superseded(partition);
        self.next = self.next.min(now + AT_ONCE);
    }

    /// From now on it hands over; the partitions to begin with.
    pub fn leave(&mut self, now: Timestamp) -> Partitions {
        self.about.leaving = true;
        self.next = now;
        self.members.leave()
    }

    /// One turn; what the core is to hear of it.
    pub fn take_turn(&mut self, store: &dyn Store, now: Timestamp) -> Vec<Input> {
        let last = self.members.has_left();
        let read = match at_once(store.turn(self.members.turn(now, self.about.to_bytes(), last))) {
            Ok(read) => read,
            Err(_) => {
                self.members.missed(now.0);
                self.next = now + self.beat();
                return Vec::new();
            }
        };
        if last {
            self.has_left = true;
            return Vec::new();
        }
        let News { gained, lost, give, alive } = self.members.heard(&read, |row| About::of(row).leaving, now.0, now.0);
        self.checked = Some(now);
        self.next = now + if self.members.is_eager() { AT_ONCE } else { self.beat() };
        let mut inputs = Vec::new();
        if !lost.is_empty() {
            inputs.push(Input::Lost(lost));
        }
        inputs.extend(self.share_among(&alive));
        if !gained.is_empty() {
            inputs.push(Input::Gained(gained));
        }
        if !give.is_empty() {
            inputs.push(Input::GiveUp(give));
        }
        for row in read.nodes.iter().filter(|row| row.node != *self.members.me()) {
            inputs.extend(self.heard.news(&row.node, &About::of(row)).into_iter().filter_map(input_of));
        }
        self.heard.keep(&read.nodes);
        inputs
    }

    fn share_among(&mut self, alive: &[Arc<str>]) -> Option<Input> {
        let place = alive.binary_search(self.members.me()).unwrap_or(0);
        let share = (u32::try_from(place).unwrap_or(0), u32::try_from(alive.len()).unwrap_or(1).max(1));
        let is_new = share != self.share;
        self.share = share;
        is_new.then_some(Input::Share { place: share.0, nodes: share.1 })
    }

    fn beat(&self) -> Duration {
        Duration((self.lease.0 / BEATS).max(1))
    }
}

/// The shell's own cycles, such as reconciliation, are not simulated.
fn input_of(word: Word) -> Option<Input> {
    match word {
        Word::Warned(system, state) => Some(Input::Warned(system, state)),
        Word::Asked(what) => what.strip_prefix("resume/").map(|system| Input::Resume(SystemName::new(system))),
    }
}
