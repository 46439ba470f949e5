//! A store that answers before the call returns: the one thread waits for the disk instead of doing something else meanwhile.
//!
//! Commits come one by one and in the order of the calls, so that two lives write the same. What a commit writes is unchanged.

use crossdock_canonical::Timestamp;
use crossdock_store::{
    Accepted, Committed, CursorWrite, DueEffect, DueTimer, InboxId, InboxPage, Intake, Lease, Loaded, Partitions, PayloadHash,
    ProcessKey, Reply, SqliteStore, Store, Transition, TransitionId, conformance::wait,
};
use std::{future::ready, sync::Arc};

pub(super) struct Still(pub Arc<SqliteStore>);

macro_rules! at_once {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {$(
        fn $name(&self $(, $argument: $kind)*) -> Reply<'_, $answer> {
            Box::pin(ready(wait(self.0.$name($($argument),*))))
        }
    )*};
}

impl Store for Still {
    at_once! {
        fn accept(rows: Vec<Intake>, cursor: Option<CursorWrite>) -> Vec<Accepted>;
        fn commit(transition: Transition) -> Committed;
        fn was_committed(process: &ProcessKey, transition: TransitionId) -> Option<Committed>;
        fn lease(node: &str, now: Timestamp) -> Vec<Lease>;
        fn load(process: &ProcessKey) -> Option<Loaded>;
        fn inbox(of: Partitions, after: InboxId, limit: usize) -> InboxPage;
        fn due_effects(of: Partitions, system: &str, before: Timestamp, limit: usize) -> Vec<DueEffect>;
        fn due_timers(of: Partitions, before: Timestamp, limit: usize) -> Vec<DueTimer>;
        fn payload(process: &ProcessKey, hash: &PayloadHash) -> Option<Arc<[u8]>>;
        fn resolve(system: &str, kind: &str, theirs: &str) -> Option<ProcessKey>;
        fn cursor(name: &str) -> Option<Vec<u8>>;
        fn set_cursor(write: CursorWrite) -> ();
        fn pin(hash: &str) -> Option<Vec<u8>>;
        fn put_pin(hash: &str, body: Vec<u8>) -> ();
    }
}
