//! What the disk was told, and what callers were told, in one order.

use std::sync::{Arc, Mutex, PoisonError};

/// One thing that happened.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Write {
        file: Arc<str>,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    Truncate {
        file: Arc<str>,
        size: u64,
    },
    Sync {
        file: Arc<str>,
    },
    Delete {
        file: Arc<str>,
    },
    /// A caller was answered: this order is accepted (version 0), or its transition committed.
    Answered {
        order: u32,
        version: u64,
    },
}

/// Everything that happened under a workload.
#[derive(Clone, Debug)]
pub struct Log {
    pub(super) events: Vec<Event>,
}

impl Log {
    /// How many things happened: an image may be cut after each.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many answers were given.
    pub fn answers(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Answered { .. })).count()
    }

    pub fn syncs(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Sync { .. })).count()
    }
}

/// Where events are gathered, by the file system's threads and the workload's.
#[derive(Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Vec<Event>>>);

impl Recorder {
    pub(super) fn push(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    pub(super) fn take(&self) -> Log {
        Log { events: std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)) }
    }
}
