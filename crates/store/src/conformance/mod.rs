//! What every store must do, whatever it is made of: one suite, run by each implementation.
//!
//! Each case gets an empty store and panics where a promise is broken. What only a store with a disk can show (reopening, power
//! cuts, tampering with the file) is tested beside that store.

mod accepting;
mod committing;
mod due;
mod journal;
mod kit;
mod privacy;
mod viewing;

pub use kit::{Whole, wait};

/// A promise, and the function that checks it.
pub type Case = (&'static str, fn(&dyn Whole));

/// Every promise.
pub fn cases() -> Vec<Case> {
    [accepting::CASES, committing::CASES, due::CASES, journal::CASES, privacy::CASES, viewing::CASES].concat()
}

/// Runs the suite, each case on a store of its own; the names of those that failed are in the panic.
pub fn run<S: Whole>(mut empty: impl FnMut(&'static str) -> S) {
    let mut failed = Vec::new();
    for (name, case) in cases() {
        let store = empty(name);
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&store))).is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "broken promises: {failed:#?}");
}
