//! How values stand in columns, the same in every store that writes columns.

use crate::{
    Addressee, EffectState, InboxId, Priority, ProcessRow, SummaryRow,
    audit::{hex, unhex},
};
use sha2::{Digest, Sha256};
use std::sync::Arc;

pub(crate) fn priority_code(priority: Priority) -> i64 {
    match priority {
        Priority::Pickup => 0,
        Priority::Express => 1,
        Priority::Standard => 2,
        Priority::Bulk => 3,
    }
}

pub(crate) fn priority_of(code: i64) -> Priority {
    match code {
        0 => Priority::Pickup,
        1 => Priority::Express,
        2 => Priority::Standard,
        _ => Priority::Bulk,
    }
}

/// The open states are the codes below 4; the schema's index counts on it.
pub(crate) fn state_code(state: EffectState) -> i64 {
    match state {
        EffectState::Pending => 0,
        EffectState::Accepted => 1,
        EffectState::Unknown => 2,
        EffectState::Parked => 3,
        EffectState::Done => 4,
        EffectState::Refused => 5,
        EffectState::Skipped => 6,
        EffectState::Reversed => 7,
    }
}

pub(crate) fn state_of(code: i64) -> Option<EffectState> {
    usize::try_from(code).ok().and_then(|code| EffectState::ALL.get(code)).copied()
}

/// `(to_system, to_kind, to_key)`.
pub(crate) fn addressee_columns(to: &Addressee) -> (Option<&str>, &str, &str) {
    match to {
        Addressee::Process(process) => (None, &process.kind, &process.key),
        Addressee::Theirs { system, kind, id } => (Some(system.as_str()), kind, id),
    }
}

/// What stands in place of an archived body that is kept as a message, in bytes.
pub(crate) const REFERENCE: usize = 9;
/// A sealed body begins with the number of its form, which is never 0.
const REFERS: u8 = 0;

pub(crate) fn reference(InboxId(id): InboxId) -> [u8; REFERENCE] {
    let mut bytes = [REFERS; REFERENCE];
    bytes[1..].copy_from_slice(&id.to_le_bytes());
    bytes
}

/// The message that an archived body refers to; `None` when it is a body.
pub(crate) fn referred(archived: &[u8]) -> Option<InboxId> {
    let id = archived.strip_prefix(&[REFERS])?;
    Some(InboxId(i64::from_le_bytes(id.try_into().ok()?)))
}

const TEXT: u8 = 0;
const HASH: u8 = 1;

/// A hash written as hex takes half the room as bytes; any other text stays text. The first byte says which.
pub(crate) fn compact(text: &str) -> Vec<u8> {
    match unhex(text).filter(|bytes| bytes.len() >= 8) {
        Some(bytes) => compact_hash(&bytes),
        None => [&[TEXT][..], text.as_bytes()].concat(),
    }
}

pub(crate) fn compact_hash(bytes: &[u8]) -> Vec<u8> {
    [&[HASH][..], bytes].concat()
}

/// `None` when `compact` cannot have made it.
pub(crate) fn expand(bytes: &[u8]) -> Option<Arc<str>> {
    match bytes.split_first() {
        Some((&HASH, bytes)) => Some(hex(bytes).into()),
        Some((&TEXT, text)) => std::str::from_utf8(text).ok().map(Arc::from),
        _ => None,
    }
}

/// A digest of what is told once of a process, to see when it has changed after all. Never 0.
pub(crate) fn told(row: &ProcessRow) -> i64 {
    let ProcessRow { state: _, schema: _, logic, policy, document: _, subject, priority, opened_at, summary } = row;
    let SummaryRow { channel, site, number, market, stage: _, status: _, waiting_for: _, total, currency } = summary;
    let mut hash = Sha256::new();
    hash.update(logic.to_le_bytes());
    hash.update(priority_code(*priority).to_le_bytes());
    hash.update(opened_at.0.to_le_bytes());
    for text in [policy, subject, channel, site, number, market, total, currency] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    match i64::from_le_bytes(first) {
        0 => 1,
        digest => digest,
    }
}

/// Message ids up to this long are kept as they are, so that ids that rise stay neighbors in the index and few pages change.
const ID_WHOLE: usize = 40;
const ID_BEGINNING: usize = 24;

/// The form a message id is remembered in. A shortened one is longer than any whole one, so the two never meet.
pub(crate) fn dedup_id(id: &str) -> Vec<u8> {
    let bytes = id.as_bytes();
    if bytes.len() <= ID_WHOLE {
        return bytes.to_vec();
    }
    let mut short = Vec::with_capacity(ID_WHOLE + 1);
    short.extend_from_slice(&bytes[..ID_BEGINNING]);
    short.push(0);
    short.extend_from_slice(&Sha256::digest(bytes)[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_states_are_their_places_and_open_ones_come_first() {
        for (place, of) in EffectState::ALL.into_iter().enumerate() {
            assert_eq!(state_code(of), place as i64);
            assert_eq!(state_of(place as i64), Some(of));
            assert_eq!(of.is_open(), place < 4, "{of:?}");
        }
        assert!(state_of(8).is_none());
    }

    #[test]
    fn compact_texts_are_read_back_as_they_were() {
        for text in ["", "policy-1", "abcd", &"ab".repeat(32), "0123456789abcdef", "0123456789ABCDEF", "ÄÖ"] {
            assert_eq!(expand(&compact(text)).as_deref(), Some(text));
        }
        assert_eq!(compact(&"ab".repeat(32)).len(), 33);
        assert!(expand(&[]).is_none() && expand(&[7, 1]).is_none());
    }

    #[test]
    fn a_reference_is_read_back_and_no_body_is_taken_for_one() {
        for id in [0, 1, i64::MAX, -1] {
            assert_eq!(referred(&reference(InboxId(id))), Some(InboxId(id)));
        }
        for body in [&[][..], &[0], &[1, 0, 0, 0, 0, 0, 0, 0, 0], &[0; 10]] {
            assert_eq!(referred(body), None, "{body:?}");
        }
    }

    #[test]
    fn every_priority_is_read_back() {
        for of in [Priority::Pickup, Priority::Express, Priority::Standard, Priority::Bulk] {
            assert_eq!(priority_of(priority_code(of)), of);
        }
    }

    #[test]
    fn long_message_ids_are_told_apart_and_never_taken_for_short_ones() {
        let long = |end: &str| format!("{}{end}", "x".repeat(60));
        assert_ne!(dedup_id(&long("a")), dedup_id(&long("b")));
        assert_eq!(dedup_id(&long("a")).len(), ID_WHOLE + 1);
        assert_eq!(dedup_id("evt_1"), b"evt_1");
        assert_eq!(dedup_id(&"y".repeat(ID_WHOLE)).len(), ID_WHOLE);
    }
}
