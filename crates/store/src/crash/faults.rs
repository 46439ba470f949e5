//! A disk that fails on demand: a sync that does not come back good, a disk that is full.

use super::{record::Recorder, vfs};
use crate::StoreError;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

/// What the disk shall do from now on.
#[derive(Debug)]
pub struct Faults {
    syncs_left: AtomicI64,
    full: AtomicBool,
}

impl Default for Faults {
    fn default() -> Self {
        Self { syncs_left: AtomicI64::new(i64::MAX), full: AtomicBool::new(false) }
    }
}

impl Faults {
    /// Registers a file system layer of this name, for `Options::vfs`, that fails as told by what is returned.
    pub fn register(name: &str) -> Result<Arc<Self>, StoreError> {
        let faults = Arc::new(Self::default());
        vfs::register(name, Recorder::default(), Arc::clone(&faults))?;
        Ok(faults)
    }

    /// After this many good syncs one fails. Later ones succeed again, as they do on a real disk that has dropped the data.
    pub fn fail_sync_after(&self, good: i64) {
        self.syncs_left.store(good, Ordering::SeqCst);
    }

    /// Whether writes find no room.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    pub(super) fn sync_fails(&self) -> bool {
        self.syncs_left.fetch_sub(1, Ordering::SeqCst) == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::SeqCst)
    }
}
