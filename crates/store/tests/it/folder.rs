//! A folder for one test, removed with it.

use crossdock_store::{Durability, Options, SqliteStore};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("crossdock-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("hub.db")
    }

    /// Options for a small store in this folder. Without syncs: these tests cut no power, and those that do say so.
    pub(crate) fn options(&self) -> Options {
        Options { durability: Durability::Off, readers: 1, cache_mib: 4, ..Options::new(self.file()) }
    }

    pub(crate) fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.options()).expect("opens")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
