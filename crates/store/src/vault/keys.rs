//! The keys of subjects: made, wrapped, cached, destroyed. How they get to the disk is the store's business.

use super::Vault;
use crate::{StoreError, entropy};
use aes_gcm::{Aes256Gcm, aead::KeyInit};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

/// Keys kept in memory. One is about a kilobyte with its round keys.
const CACHED: usize = 4_096;

const FRESH: u8 = 0;
const STORED: u8 = 1;
const DESTROYED: u8 = 2;

/// One key of one subject.
pub(crate) struct SubjectKey {
    pub(crate) no: u64,
    pub(crate) subject: Arc<str>,
    /// Empty for a key that was read from the disk.
    pub(crate) wrapped: Vec<u8>,
    pub(super) cipher: Aes256Gcm,
    state: AtomicU8,
}

impl SubjectKey {
    /// Whether it still has to be written beside the first thing it sealed.
    pub(crate) fn is_fresh(&self) -> bool {
        self.state.load(Ordering::Acquire) == FRESH
    }

    /// A thing sealed under a destroyed key must not be stored: nobody could read it.
    pub(crate) fn is_destroyed(&self) -> bool {
        self.state.load(Ordering::Acquire) == DESTROYED
    }

    /// Its row is on disk.
    pub(crate) fn set_stored(&self) {
        // A key that was destroyed meanwhile stays so.
        let _ = self.state.compare_exchange(FRESH, STORED, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// The keys in memory, and the next number to give.
#[derive(Default)]
pub(crate) struct Keys {
    cache: Mutex<Cache>,
    next: AtomicU64,
    /// Counts destructions: a key read from the disk before one is not cached after it.
    destructions: AtomicU64,
}

#[derive(Default)]
struct Cache {
    by_subject: HashMap<Arc<str>, Arc<SubjectKey>, foldhash::fast::RandomState>,
    by_no: HashMap<u64, Arc<SubjectKey>, foldhash::fast::RandomState>,
}

impl Keys {
    /// Numbers go on after the highest on disk.
    pub(crate) fn start_after(&self, no: u64) {
        self.next.store(no + 1, Ordering::Release);
    }

    /// Forgets and invalidates every cached key of a subject, so that nothing more is sealed under one.
    pub(crate) fn destroy(&self, subject: &str) {
        let mut cache = self.lock();
        self.destructions.fetch_add(1, Ordering::AcqRel);
        cache.by_subject.remove(subject);
        cache.by_no.retain(|_, key| {
            let doomed = &*key.subject == subject;
            if doomed {
                key.state.store(DESTROYED, Ordering::Release);
            }
            !doomed
        });
    }

    /// To be taken before a key's row is read, and given to `load_key`.
    pub(crate) fn destructions(&self) -> u64 {
        self.destructions.load(Ordering::Acquire)
    }

    pub(crate) fn cached(&self, no: u64) -> Option<Arc<SubjectKey>> {
        self.lock().by_no.get(&no).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // The cache is a plain map: a panic elsewhere cannot have left it half changed in a way that matters.
        self.cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn insert(cache: &mut Cache, key: &Arc<SubjectKey>) {
        if cache.by_no.len() >= CACHED {
            // Keys in flight (held elsewhere) stay: destroying a subject must reach them. `2`: one handle in each map.
            let mut keep = CACHED / 2;
            cache.by_no.retain(|_, key| {
                let held = Arc::strong_count(key) > 2;
                let kept = held || keep > 0;
                keep = keep.saturating_sub(usize::from(kept));
                kept
            });
            let Cache { by_subject, by_no } = cache;
            by_subject.retain(|_, key| by_no.contains_key(&key.no));
        }
        cache.by_no.insert(key.no, Arc::clone(key));
    }
}

impl Vault {
    /// A key to seal with: the cached one of the subject, or a new one.
    pub(crate) fn key_for(&self, subject: &Arc<str>) -> Result<Arc<SubjectKey>, StoreError> {
        let mut cache = self.keys.lock();
        if let Some(key) = cache.by_subject.get(subject) {
            return Ok(Arc::clone(key));
        }
        let clear = entropy::key()?;
        let no = self.keys.next.fetch_add(1, Ordering::AcqRel);
        let key = Arc::new(SubjectKey {
            no,
            subject: Arc::clone(subject),
            wrapped: self.wrap(&purpose(no, subject), &clear)?,
            cipher: Aes256Gcm::new(&clear.into()),
            state: AtomicU8::new(FRESH),
        });
        Keys::insert(&mut cache, &key);
        cache.by_subject.insert(Arc::clone(subject), Arc::clone(&key));
        Ok(key)
    }

    /// Takes in a key's row from the disk, read after `destructions` had the value given.
    pub(super) fn load_key(
        &self,
        destructions: u64,
        no: u64,
        subject: &str,
        wrapped: &[u8],
    ) -> Result<Arc<SubjectKey>, StoreError> {
        let clear = self
            .unwrap(&purpose(no, subject), wrapped)
            .and_then(|clear| <[u8; 32]>::try_from(clear).ok())
            .ok_or_else(|| StoreError::Damaged(format!("subject key {no} does not open under this hub's key")))?;
        let key = Arc::new(SubjectKey {
            no,
            subject: Arc::from(subject),
            wrapped: Vec::new(),
            cipher: Aes256Gcm::new(&clear.into()),
            state: AtomicU8::new(STORED),
        });
        let mut cache = self.keys.lock();
        if self.keys.destructions() != destructions {
            return Ok(key);
        }
        Keys::insert(&mut cache, &key);
        cache.by_subject.entry(Arc::clone(&key.subject)).or_insert_with(|| Arc::clone(&key));
        Ok(key)
    }
}

fn purpose(no: u64, subject: &str) -> Vec<u8> {
    [b"subject-key".as_slice(), &no.to_le_bytes(), subject.as_bytes()].concat()
}
