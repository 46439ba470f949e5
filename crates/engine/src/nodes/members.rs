//! What one node knows of all: whose heart beats, which leases are its own, which it wants and which it gives away.
//!
//! A node is taken to be gone when its heartbeat stood still for the lease time, measured by the clock of whoever would take from it:
//! from the end of the turn that first showed the beat to the beginning of the turn that still shows it. The node itself sent that beat
//! before the first of these, so by then it has known for at least the lease time that it can be sure of nothing (see `shell/turns`).

use super::assign;
use crossdock_canonical::{Duration, Timestamp};
use crossdock_store::{Lease, Membership, NodeRow, NodeTurn, PARTITIONS, Partitions, Release, Taking};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// An instant of a monotonic clock, in milliseconds since an arbitrary one.
pub type Mono = i64;

/// Beats come so many times in a lease.
pub const BEATS: i64 = 4;

/// The row of a node that is gone and owns nothing stands for so long, so that people see that it is away.
const FORGET_AFTER: Duration = Duration::minutes(10);

struct Seen {
    beat: u64,
    /// When a turn had ended that first showed it.
    since: Mono,
    /// The same, or when this node last failed to look.
    still_since: Mono,
    /// It stood still for a lease, and has not moved since.
    gone: bool,
}

/// What a turn has shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Leases that are this node's now.
    pub gained: Vec<Lease>,
    /// Partitions that another node took.
    pub lost: Partitions,
    /// Partitions to hand over.
    pub give: Partitions,
    /// Everybody alive, in the order that all agree on, with this node.
    pub alive: Vec<Arc<str>>,
}

pub struct Members {
    me: Arc<str>,
    lease: Duration,
    seen: BTreeMap<Arc<str>, Seen>,
    owned: BTreeMap<u16, u64>,
    /// Being handed over by the core.
    giving: BTreeSet<u16>,
    /// Handed over; to be given back to the store, until it shows that they are.
    released: BTreeMap<u16, Release>,
    take: Vec<Taking>,
    forget: Vec<(Arc<str>, u64)>,
    leaving: bool,
}

impl Members {
    /// `me` is unique to this run; `lease` is how long a heartbeat must stand still.
    pub fn new(me: Arc<str>, lease: Duration) -> Self {
        Self {
            me,
            lease,
            seen: BTreeMap::new(),
            owned: BTreeMap::new(),
            giving: BTreeSet::new(),
            released: BTreeMap::new(),
            take: Vec::new(),
            forget: Vec::new(),
            leaving: false,
        }
    }

    /// This run of the node, as the others know it.
    pub fn me(&self) -> &Arc<str> {
        &self.me
    }

    /// The next turn of this node, which says `about` of itself; `leaves` when it is its last.
    pub fn turn(&self, at: Timestamp, about: Vec<u8>, leaves: bool) -> NodeTurn {
        NodeTurn {
            node: self.me.clone(),
            at,
            about,
            release: self.released.values().copied().collect(),
            take: self.take.clone(),
            forget: self.forget.clone(),
            leaves,
        }
    }

    /// Whether the next turn has something to do at once.
    pub fn is_eager(&self) -> bool {
        !self.take.is_empty() || !self.released.is_empty()
    }

    /// The core has nothing of this lease under way any more.
    pub fn gave_up(&mut self, release: Release) {
        let lease = release.lease;
        self.giving.remove(&lease.partition);
        if self.owned.get(&lease.partition) == Some(&lease.epoch) {
            self.owned.remove(&lease.partition);
        }
        self.released.insert(lease.partition, release);
    }

    /// The core heard from a commit that it has lost this.
    pub fn superseded(&mut self, partition: u16) {
        self.owned.remove(&partition);
        self.giving.remove(&partition);
    }

    /// From now on everything is given away and nothing taken; the partitions to hand over.
    pub fn leave(&mut self) -> Partitions {
        self.leaving = true;
        self.take.clear();
        let give = self.owned.keys().copied().filter(|partition| !self.giving.contains(partition)).collect();
        self.giving = self.owned.keys().copied().collect();
        give
    }

    /// What is its own, with what is being handed over.
    pub fn held(&self) -> Partitions {
        self.owned.keys().copied().collect()
    }

    /// What is its own to begin new work in.
    pub fn owned(&self) -> Partitions {
        self.owned.keys().copied().filter(|partition| !self.giving.contains(partition)).collect()
    }

    /// For how many milliseconds a node's heartbeat has stood still, as far as was seen.
    pub fn heard_of(&self, node: &str, now: Mono) -> i64 {
        self.seen.get(node).map_or(0, |seen| (now - seen.since).max(0))
    }

    /// Whether nothing is left to hand over.
    pub fn has_left(&self) -> bool {
        self.leaving && self.owned.is_empty()
    }

    /// A turn failed: nothing was seen meanwhile, so nobody's heart can be said to have stood still. Who was gone stays gone.
    pub fn missed(&mut self, now: Mono) {
        self.seen.values_mut().for_each(|seen| seen.still_since = now);
        self.take.clear();
    }

    /// A turn that lasted from `began` to `ended` has shown this; `leaves` tells of a row whether its node says that it is about to go.
    pub fn heard(&mut self, read: &Membership, leaves: impl Fn(&NodeRow) -> bool, began: Mono, ended: Mono) -> News {
        self.watch(read, began, ended);
        let mut news = News::default();
        let mine: BTreeMap<u16, u64> = read
            .owners
            .iter()
            .filter(|owner| owner.node == self.me)
            .map(|owner| (owner.lease.partition, owner.lease.epoch))
            .collect();
        self.released.retain(|partition, release| mine.get(partition) == Some(&release.lease.epoch));
        for (partition, epoch) in &self.owned {
            if mine.get(partition) != Some(epoch) {
                news.lost.insert(*partition);
            }
        }
        for partition in news.lost.iter() {
            self.superseded(partition);
        }
        for (partition, epoch) in mine {
            if !self.owned.contains_key(&partition) && !self.released.contains_key(&partition) {
                self.owned.insert(partition, epoch);
                news.gained.push(Lease { partition, epoch });
            }
        }
        news.alive = self.alive();
        // Who is about to go gets nothing more; what it gives back is the others' at once.
        let going: BTreeSet<&Arc<str>> = read.nodes.iter().filter(|row| leaves(row)).map(|row| &row.node).collect();
        let staying: Vec<Arc<str>> = news.alive.iter().filter(|node| !going.contains(node)).cloned().collect();
        self.decide(read, &staying, &mut news);
        news
    }

    fn watch(&mut self, read: &Membership, began: Mono, ended: Mono) {
        self.seen.retain(|node, _| read.nodes.iter().any(|row| row.node == *node));
        for row in &read.nodes {
            match self.seen.get_mut(&row.node) {
                Some(seen) if seen.beat == row.beat => {}
                Some(_) | None => {
                    let seen = Seen { beat: row.beat, since: ended, still_since: ended, gone: false };
                    self.seen.insert(row.node.clone(), seen);
                }
            }
        }
        for seen in self.seen.values_mut() {
            seen.gone |= began - seen.still_since >= self.lease.0;
        }
        let long_gone = |(node, seen): (&Arc<str>, &Seen)| {
            let goes = *node != self.me && began - seen.since >= FORGET_AFTER.0;
            (goes && read.owners.iter().all(|owner| owner.node != *node)).then(|| (node.clone(), seen.beat))
        };
        self.forget = self.seen.iter().filter_map(long_gone).collect();
    }

    fn alive(&self) -> Vec<Arc<str>> {
        let beats = |(node, seen): &(&Arc<str>, &Seen)| **node == self.me || !seen.gone;
        self.seen.iter().filter(beats).map(|(node, _)| node.clone()).collect()
    }

    fn decide(&mut self, read: &Membership, staying: &[Arc<str>], news: &mut News) {
        self.take.clear();
        if self.leaving {
            return;
        }
        let place = |node: &Arc<str>| staying.binary_search(node).ok();
        let lives = |node: &Arc<str>| news.alive.binary_search(node).is_ok();
        let mut owners = vec![None; usize::from(PARTITIONS)];
        for owner in &read.owners {
            if let Some(slot) = owners.get_mut(usize::from(owner.lease.partition)) {
                *slot = place(&owner.node);
            }
        }
        // What is on its way out is nobody's, as it will soon be for all.
        for partition in self.released.keys() {
            if let Some(slot) = owners.get_mut(usize::from(*partition)) {
                *slot = None;
            }
        }
        let shall = assign(staying.len(), &owners);
        let me = place(&self.me);
        for owner in &read.owners {
            let partition = owner.lease.partition;
            let (Some(now), Some(then)) = (owners.get(usize::from(partition)), shall.get(usize::from(partition))) else {
                continue;
            };
            if *now == me && *then != me && self.owned.contains_key(&partition) && self.giving.insert(partition) {
                news.give.insert(partition);
            }
            if now.is_none() && *then == me && !lives(&owner.node) && !self.released.contains_key(&partition) {
                let beat = self.seen.get(&owner.node).map_or(0, |seen| seen.beat);
                let gone = (!owner.node.is_empty()).then(|| (owner.node.clone(), beat));
                self.take.push(Taking { partition, epoch: owner.lease.epoch, gone });
            }
        }
    }
}

#[cfg(test)]
mod tests;
