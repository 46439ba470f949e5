//! The audit chain's ends at one moment, to be kept where the hub cannot write. A chain alone does not show that its end was cut off, by
//! a restore to an older point or by somebody's hand: a checkpoint does, as long as it is younger than the cut.

use crate::{
    AuditVerdict, PARTITIONS, StoreError,
    audit::{self, Link, hex, unhex},
    vault::Vault,
};
use crossdock_canonical::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Of the record's form.
const VERSION: u32 = 1;
const PURPOSE: &[u8] = b"checkpoint";

/// About 20 KB as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub version: u32,
    /// When it was taken, by the clock of who took it: milliseconds since 1970.
    pub at: i64,
    /// By partition: its last journal offset, and its chain's last link in hex.
    pub offsets: Vec<u64>,
    pub heads: Vec<String>,
    /// A digest of all that, sealed under the hub's own key: who has not the key cannot make one.
    pub seal: String,
}

/// What a store says to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Since {
    /// It holds all that the checkpoint knew.
    Contained,
    /// It does not: its end was cut off, or it is older than the checkpoint.
    CutOff {
        /// How many partitions end too early, and the first of them.
        partitions: usize,
        partition: u16,
        /// The last offset of that one by the checkpoint, and in the store.
        known: u64,
        found: u64,
    },
    /// The checkpoint was changed, or made under another hub's key.
    Forged,
}

impl Checkpoint {
    pub(crate) fn new(vault: &Vault, at: Timestamp, offsets: Vec<u64>, heads: &[Link]) -> Result<Self, StoreError> {
        let mut taken = Self {
            version: VERSION,
            at: at.0,
            offsets,
            heads: heads.iter().map(|head| hex(head)).collect(),
            seal: String::new(),
        };
        taken.seal = hex(&vault.wrap(PURPOSE, &taken.digest())?);
        Ok(taken)
    }

    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.version.to_le_bytes());
        hash.update(self.at.to_le_bytes());
        self.offsets.iter().for_each(|offset| hash.update(offset.to_le_bytes()));
        for head in &self.heads {
            hash.update((head.len() as u64).to_le_bytes());
            hash.update(head.as_bytes());
        }
        hash.finalize().into()
    }

    pub(crate) fn is_sealed_by(&self, vault: &Vault) -> bool {
        let seal = unhex(&self.seal).and_then(|seal| vault.unwrap(PURPOSE, &seal));
        seal.as_deref() == Some(&self.digest()[..])
    }

    /// Whether its form is one that this program knows.
    fn is_whole(&self) -> bool {
        let all = usize::from(PARTITIONS);
        self.version == VERSION && self.offsets.len() == all && self.heads.len() == all
    }
}

/// Looks for a checkpoint's links while a chain is walked.
pub(crate) struct Search<'c> {
    wanted: &'c Checkpoint,
    links: Vec<Option<Vec<u8>>>,
    found: Vec<bool>,
}

impl<'c> Search<'c> {
    /// `None` when the checkpoint has no form that can be looked for.
    pub(crate) fn new(wanted: &'c Checkpoint) -> Option<Self> {
        let links: Vec<_> = wanted.heads.iter().map(|head| unhex(head)).collect();
        let found = links.iter().map(|link| link.as_deref() == Some(&audit::GENESIS[..])).collect();
        wanted.is_whole().then_some(Self { wanted, links, found })
    }

    pub(crate) fn see(&mut self, partition: u16, link: &Link) {
        let place = usize::from(partition);
        if let (Some(Some(wanted)), Some(found)) = (self.links.get(place), self.found.get_mut(place)) {
            *found |= wanted[..] == link[..];
        }
    }

    /// `ends`: the store's last offset of each partition.
    pub(crate) fn end(&self, ends: &[u64]) -> Since {
        let missing = || self.found.iter().zip(0_u16..).filter(|(found, _)| !**found).map(|(_, partition)| partition);
        match missing().next() {
            None => Since::Contained,
            Some(partition) => Since::CutOff {
                partitions: missing().count(),
                partition,
                known: self.wanted.offsets.get(usize::from(partition)).copied().unwrap_or(0),
                found: ends.get(usize::from(partition)).copied().unwrap_or(0),
            },
        }
    }
}

/// What a walk over a whole chain found, with and without a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    pub audit: AuditVerdict,
    /// `None`: no checkpoint was given, or the chain is broken before it could be looked for.
    pub since: Option<Since>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeySource;

    fn vault(key: u8) -> Vault {
        Vault::open(&KeySource::Given([key; 32]), false).expect("opens")
    }

    fn taken() -> Checkpoint {
        let mut heads = vec![audit::GENESIS; usize::from(PARTITIONS)];
        heads[3] = [9; 32];
        let mut offsets = vec![0; usize::from(PARTITIONS)];
        offsets[3] = 5;
        Checkpoint::new(&vault(1), Timestamp(7), offsets, &heads).expect("seals")
    }

    #[test]
    fn a_checkpoint_that_was_changed_or_made_by_another_is_seen() {
        let taken = taken();
        assert!(taken.is_sealed_by(&vault(1)));
        assert!(!taken.is_sealed_by(&vault(2)));
        for change in [
            |c: &mut Checkpoint| c.at += 1,
            |c: &mut Checkpoint| c.offsets[3] = 4,
            |c: &mut Checkpoint| c.heads[3] = hex(&audit::GENESIS),
            |c: &mut Checkpoint| c.seal = String::new(),
        ] {
            let mut changed = taken.clone();
            change(&mut changed);
            assert!(!changed.is_sealed_by(&vault(1)), "{changed:?}");
        }
    }

    #[test]
    fn a_chain_that_ends_before_the_checkpoint_is_cut_off() {
        let taken = taken();
        let mut ends = vec![0; usize::from(PARTITIONS)];
        ends[3] = 4;
        let mut search = Search::new(&taken).expect("a known form");
        search.see(3, &[8; 32]);
        search.see(4, &[9; 32]);
        assert_eq!(search.end(&ends), Since::CutOff { partitions: 1, partition: 3, known: 5, found: 4 });
        search.see(3, &[9; 32]);
        search.see(3, &[7; 32]);
        assert_eq!(search.end(&ends), Since::Contained);
        assert!(Search::new(&Checkpoint { heads: Vec::new(), ..taken.clone() }).is_none());
        assert!(Search::new(&Checkpoint { version: 2, ..taken }).is_none());
    }
}
