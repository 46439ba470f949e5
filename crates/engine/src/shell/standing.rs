//! What this node knows of its standing among the nodes: which partitions are its own, how fresh that knowledge is, and who else is
//! there. Read by whoever sends, polls or answers people; written by `turns` alone.

use super::clock::{self, Stopwatch};
use crate::{NodeView, core::BreakerState, nodes::About};
use crossdock_canonical::{Duration, SystemName, Timestamp};
use crossdock_store::{Partitions, ProcessKey};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock,
    atomic::{AtomicI64, Ordering},
};

/// How a node takes part.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// For people.
    pub name: Arc<str>,
    /// Makes the name unique: no two processes ever share both, or each would believe the other's leases to be its own. Where several
    /// machines run hubs of one name it is random.
    pub run: Arc<str>,
    /// Where its surfaces listen; for people.
    pub address: Arc<str>,
    /// A heartbeat that stands still for so long is a node that is gone. Beats come four times as often.
    pub lease: Duration,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self { name: "hub".into(), run: clock::run_of_this_machine().into(), address: "".into(), lease: Duration::seconds(1) }
    }
}

impl NodeOptions {
    /// As the store knows it.
    pub(super) fn id(&self) -> Arc<str> {
        format!("{}/{}", self.name, self.run).into()
    }
}

/// Partitions to begin new work in, and with them those that are being handed over.
#[derive(Clone, Copy, Default)]
struct Owned {
    working: Partitions,
    held: Partitions,
}

pub(super) struct Standing {
    shared: bool,
    lease: Duration,
    since_start: Stopwatch,
    owned: RwLock<Owned>,
    /// When the last turn began that showed it, by the monotonic clock.
    checked: AtomicI64,
    about: Mutex<About>,
    views: RwLock<Vec<NodeView>>,
}

impl Standing {
    pub fn new(node: &NodeOptions, shared: bool, now: Timestamp) -> Self {
        let about = About {
            name: node.name.to_string(),
            address: node.address.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: now.0,
            ..About::default()
        };
        Self {
            shared,
            lease: node.lease,
            since_start: Stopwatch::start(),
            owned: RwLock::default(),
            checked: AtomicI64::new(i64::MIN / 2),
            about: Mutex::new(about),
            views: RwLock::default(),
        }
    }

    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Milliseconds of the monotonic clock.
    pub fn mono(&self) -> i64 {
        self.since_start.elapsed().0
    }

    /// Whether nobody can have taken this partition: the store said so less than a lease ago.
    pub fn is_sure_of(&self, partition: u16) -> bool {
        !self.shared || (self.is_fresh() && self.owned().held.contains(partition))
    }

    fn is_fresh(&self) -> bool {
        self.mono() - self.checked.load(Ordering::Acquire) < self.lease.0
    }

    fn owned(&self) -> Owned {
        *self.owned.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what is done once over all nodes is done here: by the owner of the partition that its name falls into.
    pub fn is_in_charge_of(&self, name: &str) -> bool {
        !self.shared || (self.is_fresh() && self.owned().working.contains(ProcessKey::new("job", name).partition()))
    }

    pub fn owns(&self, process: &ProcessKey) -> bool {
        !self.shared || self.owned().working.holds(process)
    }

    pub fn set_owned(&self, working: Partitions, held: Partitions) {
        *self.owned.write().unwrap_or_else(PoisonError::into_inner) = Owned { working, held };
    }

    pub fn set_checked(&self, began: i64) {
        self.checked.store(began, Ordering::Release);
    }

    pub fn about(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was asked here that all nodes shall do.
    pub fn ask_all(&self, what: String, now: Timestamp) {
        // Twice within a millisecond is once.
        self.about().asked.insert(what, now.0);
    }

    /// A breaker of this node changed.
    pub fn tell(&self, system: &SystemName, state: &BreakerState) {
        self.about().tell(system, state);
    }

    pub fn views(&self) -> Vec<NodeView> {
        self.views.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_views(&self, views: Vec<NodeView>) {
        *self.views.write().unwrap_or_else(PoisonError::into_inner) = views;
    }
}

/// Leave for a call to go out, asked for at the last moment before its bytes do.
pub(super) struct Leave<'s> {
    of: Option<(&'s Standing, u16)>,
}

impl Leave<'static> {
    /// Always granted: what leaves can be recognized as a repeat, or changes nothing.
    pub const GRANTED: Self = Self { of: None };
}

impl<'s> Leave<'s> {
    pub fn while_sure(standing: &'s Standing, partition: u16) -> Self {
        Self { of: Some((standing, partition)) }
    }

    pub fn is_granted(&self) -> bool {
        self.of.is_none_or(|(standing, partition)| standing.is_sure_of(partition))
    }
}
