//! What several nodes on one store tell each other through it: who is there, who owns which partition, and a word of each to all.
//!
//! Nothing is decided here: who is taken to be gone and whose turn a partition is, the engine says (`engine/src/nodes`).

use crate::{Lease, PARTITIONS, ProcessKey};
use crossdock_canonical::Timestamp;
use std::{fmt, sync::Arc};

const WORDS: usize = PARTITIONS as usize / 64;

/// A set of partitions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Partitions([u64; WORDS]);

impl Partitions {
    pub const ALL: Self = Self([u64::MAX; WORDS]);
    pub const NONE: Self = Self([0; WORDS]);

    pub fn contains(&self, partition: u16) -> bool {
        self.0.get(usize::from(partition) / 64).is_some_and(|word| word & (1 << (partition % 64)) != 0)
    }

    /// Whether the process lies in one of them.
    pub fn holds(&self, process: &ProcessKey) -> bool {
        *self == Self::ALL || self.contains(process.partition())
    }

    pub fn insert(&mut self, partition: u16) {
        if let Some(word) = self.0.get_mut(usize::from(partition) / 64) {
            *word |= 1 << (partition % 64);
        }
    }

    pub fn remove(&mut self, partition: u16) {
        if let Some(word) = self.0.get_mut(usize::from(partition) / 64) {
            *word &= !(1 << (partition % 64));
        }
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    pub fn iter(&self) -> impl Iterator<Item = u16> + use<> {
        let set = *self;
        (0..PARTITIONS).filter(move |partition| set.contains(*partition))
    }

    /// One bit a partition, the lowest first.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}

impl FromIterator<u16> for Partitions {
    fn from_iter<I: IntoIterator<Item = u16>>(partitions: I) -> Self {
        let mut set = Self::NONE;
        partitions.into_iter().for_each(|partition| set.insert(partition));
        set
    }
}

impl fmt::Debug for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What a node does and says in one turn; all of it is one transaction, in this order.
#[derive(Clone, Debug)]
pub struct NodeTurn {
    /// Unique to this run of the node: a name is never two processes' at once.
    pub node: Arc<str>,
    /// For people; decides nothing.
    pub at: Timestamp,
    /// What all nodes shall know of this one: bounded, JSON, no personal data.
    pub about: Vec<u8>,
    /// Leases to give back, as far as they are still this node's in the epoch named.
    pub release: Vec<Release>,
    /// Leases to take, as far as epoch and owner are still as they were seen.
    pub take: Vec<Taking>,
    /// Rows of nodes that are gone and own nothing, to be removed as far as their heartbeat still stands as it was seen.
    pub forget: Vec<(Arc<str>, u64)>,
    /// The node goes: its row is removed instead of written, and whatever it still owns is free at once.
    pub leaves: bool,
}

/// A lease to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    pub lease: Lease,
    /// Nothing that this node sent in it is without its end on disk: the next owner need not doubt what is pending.
    pub clean: bool,
}

/// A lease to take, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taking {
    pub partition: u16,
    /// The epoch before it is taken.
    pub epoch: u64,
    /// Its owner, who is taken to be gone, with the heartbeat that stood still; `None`: nobody owns it.
    pub gone: Option<(Arc<str>, u64)>,
}

/// All nodes and leases, as they were at the end of a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    pub nodes: Vec<NodeRow>,
    /// One a partition, in their order.
    pub owners: Vec<Owner>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    pub node: Arc<str>,
    /// Rises with each of its turns.
    pub beat: u64,
    /// By its own wall clock; for people.
    pub seen_at: Timestamp,
    pub about: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub lease: Lease,
    /// Empty: nobody.
    pub node: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set: Partitions = [0, 63, 64, 255].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 255]);
        set.remove(64);
        assert_eq!((set.len(), set.contains(64), set.contains(63), set.contains(300)), (3, false, true, false));
        assert_eq!(Partitions::ALL.len(), usize::from(PARTITIONS));
        assert_eq!((0..PARTITIONS).collect::<Partitions>(), Partitions::ALL);
        assert!(Partitions::NONE.is_empty() && !set.is_empty());
        assert_eq!(set.to_bytes()[..9], [1, 0, 0, 0, 0, 0, 0, 128, 0]);
    }
}
