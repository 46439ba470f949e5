//! The one place of this crate that reads the system's random source: keys and nonces, nothing that decides anything.
#![expect(clippy::disallowed_methods, reason = "this is the adapter of the random source for keys and nonces")]

use crate::StoreError;
use std::cell::RefCell;

/// Random bytes asked of the system at a time: a nonce is 12, so one call serves many.
const POOL: usize = 1020;

/// Fresh key material, straight from the system.
pub(crate) fn key() -> Result<[u8; 32], StoreError> {
    let mut key = [0; 32];
    fill(&mut key)?;
    Ok(key)
}

/// A nonce. Ninety-six random bits: a key would have to seal billions of messages before two are likely to meet.
pub(crate) fn nonce() -> Result<[u8; 12], StoreError> {
    thread_local! {
        static LEFT: RefCell<([u8; POOL], usize)> = const { RefCell::new(([0; POOL], POOL)) };
    }
    LEFT.with_borrow_mut(|(pool, used)| {
        if *used == POOL {
            fill(pool)?;
            *used = 0;
        }
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&pool[*used..*used + 12]);
        *used += 12;
        Ok(nonce)
    })
}

fn fill(bytes: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(bytes).map_err(|e| StoreError::Unavailable(format!("the system gives no random bytes: {e}")))
}
