//! How a store is opened.

use crate::vault::KeySource;
use crossdock_canonical::Duration;
use std::{path::PathBuf, sync::Arc};

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The log is synced before any commit is answered. The only setting that keeps what the hub promises.
    Full,
    /// Synced at checkpoints only: loses answered commits at a power cut. A control for crash campaigns, never for service.
    Normal,
    /// Never synced: a power cut may damage the file. A control for crash campaigns, never for service.
    Off,
}

#[derive(Clone)]
pub struct Options {
    pub path: PathBuf,
    pub durability: Durability,
    pub key: KeySource,
    /// Page cache of the writer; each reader has a quarter of it. What is open fits in a few MiB, and the rest is in the system's cache.
    pub cache_mib: u32,
    /// Writes that may wait for the writer; the next is answered `Busy`.
    pub queue: usize,
    /// Reader threads.
    pub readers: usize,
    /// Log pages after which the writer moves them to the database.
    pub checkpoint_pages: u32,
    /// Log pages beyond which the log file is also cut back to nothing.
    pub log_pages_max: u32,
    /// How long archived payloads are kept; `None` for ever.
    pub payload_retention: Option<Duration>,
    /// Called when the disk failed under a commit. What was answered is on disk, what was not may or may not be: the process must end
    /// and start from what is there. The default aborts it.
    pub on_fatal: Arc<dyn Fn(&str) + Send + Sync>,
    /// The file system layer of SQLite, by name; `None` is the system's. Crash campaigns record through one of their own.
    pub vfs: Option<String>,
}

impl Options {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let mut key = path.clone().into_os_string();
        key.push(".key");
        Self {
            path,
            durability: Durability::Full,
            key: KeySource::File(key.into()),
            cache_mib: 8,
            queue: 8_192,
            readers: 2,
            checkpoint_pages: 4_000,
            log_pages_max: 16_000,
            payload_retention: None,
            on_fatal: Arc::new(|message| {
                eprintln!("crossdock: the store cannot go on, the process ends: {message}");
                std::process::abort();
            }),
            vfs: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("path", &self.path).field("durability", &self.durability).finish_non_exhaustive()
    }
}
