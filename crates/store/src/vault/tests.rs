//! Sealing and opening, and what a destroyed key leaves.

use super::seal::KeyRow;
use super::*;
use crate::{PayloadHash, ProcessKey};
use std::sync::Arc;

fn vault(key: u8) -> Vault {
    let vault = Vault::open(&KeySource::Given([key; 32]), false).expect("a given key opens");
    vault.keys.start_after(0);
    vault
}

fn no_rows(_: u64) -> Result<Option<KeyRow>, StoreError> {
    Ok(None)
}

#[test]
fn what_was_sealed_opens_at_its_own_place_only() {
    let vault = vault(1);
    let (process, other) = (ProcessKey::new("order", "a/b/1"), ProcessKey::new("order", "a/b/2"));
    for clear in [&b""[..], b"short", "a long body that compresses well ".repeat(50).as_bytes()] {
        let hash = PayloadHash::of(clear);
        let place = Place::Payload { process: &process, hash: &hash };
        let sealed = vault.seal(&Arc::from("guest:1"), &place, clear).expect("seals").bytes;
        assert_eq!(vault.open_sealed(&place, &sealed, no_rows).expect("opens").as_deref(), Some(clear));
        if clear.len() > 16 {
            assert!(sealed.len() < clear.len(), "compressed");
            assert!(!sealed.windows(8).any(|w| clear.windows(8).any(|c| c == w)), "nothing shows through");
        }
        assert!(vault.open_sealed(&Place::Payload { process: &other, hash: &hash }, &sealed, no_rows).is_err(), "moved");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            // A changed key number names a key that is not there; everything else must fail to open.
            let opened = vault.open_sealed(&place, &changed, no_rows);
            assert!(opened.is_err() || (6..14).contains(&at) && opened == Ok(None), "byte {at}");
        }
    }
}

#[test]
fn a_key_comes_back_from_its_wrapped_row_under_the_right_hub_key_only() {
    let (writer, reader, stranger) = (vault(1), vault(1), vault(2));
    let (process, hash) = (ProcessKey::new("order", "a/b/1"), PayloadHash::of(b"x"));
    let place = Place::Payload { process: &process, hash: &hash };
    let sealed = writer.seal(&Arc::from("guest:1"), &place, b"x").expect("seals");
    let row = |_| Ok::<_, StoreError>(Some((Arc::clone(&sealed.key.subject), sealed.key.wrapped.clone())));
    assert_eq!(reader.open_sealed(&place, &sealed.bytes, row).expect("opens").as_deref(), Some(&b"x"[..]));
    assert!(matches!(stranger.open_sealed(&place, &sealed.bytes, row), Err(StoreError::Damaged(_))));
    assert_eq!(vault(1).open_sealed(&place, &sealed.bytes, no_rows), Ok(None), "its row is gone: erased");
}

#[test]
fn a_destroyed_key_is_known_as_such_to_whoever_still_holds_it() {
    let vault = vault(1);
    let subject: Arc<str> = Arc::from("guest:1");
    let key = vault.key_for(&subject).expect("a key");
    assert!(key.is_fresh());
    key.set_stored();
    vault.keys.destroy("guest:1");
    assert!(key.is_destroyed());
    key.set_stored();
    assert!(key.is_destroyed(), "and stays so");
    assert_ne!(vault.key_for(&subject).expect("a key").no, key.no, "what comes later is sealed under a new one");
}

#[test]
fn the_cache_of_keys_is_bounded_and_keeps_those_in_flight() {
    let vault = vault(1);
    let held = vault.key_for(&Arc::from("guest:held")).expect("a key");
    for n in 0..20_000 {
        let _ = vault.key_for(&Arc::from(format!("guest:{n}"))).expect("a key");
    }
    assert_eq!(vault.key_for(&held.subject).expect("a key").no, held.no);
    vault.keys.destroy("guest:held");
    assert!(held.is_destroyed());
}
