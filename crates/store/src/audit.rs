//! The audit chain: every transition is one link of its partition's chain, and a link is a hash over the one before it and over what
//! was done, by whom, when. Changing, removing, adding or moving a row breaks every link after it.
//!
//! A chain alone cannot show that its end was cut off. For that each process names its newest link, and `verify` returns the heads'
//! digest, to be kept outside.

use crate::{PARTITIONS, ProcessKey};
use crossdock_canonical::Timestamp;
use sha2::{Digest, Sha256};

pub(crate) type Link = [u8; 32];

/// Where every chain begins.
pub(crate) const GENESIS: Link = [0; 32];

/// Where the number of the hub's own rows and the last of them are kept.
pub(crate) const OWN_ROWS: &str = "own_rows";

/// Stored for ever: a chain made under another name could not be verified any more.
const DOMAIN: &[u8] = b"crossdock-audit-v1";

/// What a link vouches for.
pub(crate) struct Deed<'a> {
    pub partition: u16,
    /// The journal offset; `None` for bookkeeping without a record.
    pub offset: Option<u64>,
    /// `None`: done by the hub to no process (sign-in, erasure).
    pub process: Option<&'a ProcessKey>,
    pub version: u64,
    pub at: Timestamp,
    pub actor: &'a str,
    pub action: &'a str,
    /// SHA-256 of the journal record.
    pub record: Option<[u8; 32]>,
}

impl Deed<'_> {
    pub(crate) fn link(&self, previous: &Link) -> Link {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(previous);
        hash.update(self.partition.to_le_bytes());
        hash.update(self.offset.map_or(u64::MAX, |offset| offset).to_le_bytes());
        hash.update(self.version.to_le_bytes());
        hash.update(self.at.0.to_le_bytes());
        let (kind, key) = self.process.map_or(("", ""), |process| (&*process.kind, &*process.key));
        for text in [kind, key, self.actor, self.action] {
            // The length keeps a character from wandering into the neighboring field unseen.
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(self.record.unwrap_or(GENESIS));
        hash.finalize().into()
    }
}

/// One digest over all chain heads, to be kept where the hub cannot write.
pub(crate) fn head_digest(heads: &[Link]) -> String {
    debug_assert_eq!(heads.len(), usize::from(PARTITIONS));
    let mut hash = Sha256::new();
    heads.iter().for_each(|head| hash.update(head));
    hex(&hash.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads lower-case hex; `None` for any other text, so that what it takes is written back the same.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for [high, low] in text.as_bytes().as_chunks::<2>().0 {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_deed_changes_its_link() {
        let process = ProcessKey::new("order", "a/b/1");
        let other = ProcessKey::new("order", "a/b/2");
        let deed = || Deed {
            partition: 7,
            offset: Some(3),
            process: Some(&process),
            version: 2,
            at: Timestamp(5),
            actor: "key:shop",
            action: "fold",
            record: Some([9; 32]),
        };
        let base = deed().link(&GENESIS);
        for (what, changed) in [
            ("partition", Deed { partition: 8, ..deed() }),
            ("offset", Deed { offset: Some(4), ..deed() }),
            ("no offset", Deed { offset: None, ..deed() }),
            ("process", Deed { process: Some(&other), ..deed() }),
            ("version", Deed { version: 3, ..deed() }),
            ("time", Deed { at: Timestamp(6), ..deed() }),
            ("actor", Deed { actor: "key:shopf", action: "old", ..deed() }),
            ("action", Deed { action: "folded", ..deed() }),
            ("record", Deed { record: Some([8; 32]), ..deed() }),
        ] {
            assert_ne!(changed.link(&GENESIS), base, "{what}");
        }
        assert_ne!(deed().link(&base), base, "the link before it");
        assert_eq!(deed().link(&GENESIS), base);
    }

    #[test]
    fn hex_is_read_back_and_anything_else_is_not_hex() {
        assert_eq!(unhex(&hex(&[0, 15, 160, 255])), Some(vec![0, 15, 160, 255]));
        for text in ["0", "0G", "AB", "é"] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }
}
