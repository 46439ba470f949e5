//! Every store keeps every promise.

use crate::folder::Folder;
use crossdock_store::{MemoryStore, conformance};

#[test]
fn the_embedded_store_keeps_every_promise() {
    let mut folders = Vec::new();
    conformance::run(|_| {
        folders.push(Folder::new());
        folders.last().expect("just made").open()
    });
}

#[test]
fn the_memory_store_keeps_every_promise() {
    conformance::run(|_| MemoryStore::new());
}
