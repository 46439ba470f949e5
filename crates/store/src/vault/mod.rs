//! Sealing: everything that may hold personal data lies on disk compressed and encrypted (AES-256-GCM) under a key of its subject, and
//! each subject's key lies there wrapped by the hub's own. Destroying the subject's key erases the person everywhere in the store at
//! once. A backup made before still holds the wrapped key: it must end with its own retention.
//!
//! Sealing happens on the caller's side, before the writer's queue, so that it costs the writer nothing. A subject may have several
//! keys: who finds none in memory makes a new one rather than wait for the disk, and erasing destroys all of them.
//!
//! It does not decide what is personal: the engine names a subject for every body.

mod compress;
mod keys;
mod seal;

pub(crate) use keys::{Keys, SubjectKey};
pub(crate) use seal::{KeyRow, Place, Sealed, key_no};

use crate::{StoreError, entropy};
use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, KeyInit, Payload as Message},
};
use std::{fs, io::Write, path::Path, path::PathBuf};

/// Where the hub's own key comes from.
#[derive(Clone)]
pub enum KeySource {
    /// A key that the caller keeps (a secret reference of the landscape).
    Given([u8; 32]),
    /// A file beside the database, made on first use, readable by its owner only.
    File(PathBuf),
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(..)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

impl KeySource {
    /// `create`: the store is new, so a key may be made for it.
    fn read(&self, create: bool) -> Result<[u8; 32], StoreError> {
        match self {
            Self::Given(key) => Ok(*key),
            Self::File(path) => match fs::read(path) {
                Ok(bytes) => <[u8; 32]>::try_from(&bytes[..]).map_err(|_| {
                    StoreError::Damaged(format!("{} is not a key file of 32 bytes; restore it from its backup", path.display()))
                }),
                Err(e) if create && e.kind() == std::io::ErrorKind::NotFound => create_key_file(path),
                Err(e) => Err(StoreError::Unavailable(format!(
                    "the key file {} cannot be read ({e}); without it nothing in the store can be, so restore it from its backup",
                    path.display()
                ))),
            },
        }
    }
}

/// Makes the key under another name first: a process that dies meanwhile must not leave a key file that is none.
fn create_key_file(path: &Path) -> Result<[u8; 32], StoreError> {
    let key = entropy::key()?;
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&unfinished).and_then(|mut file| {
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        // The name must last before anything is sealed with the key.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder)?.sync_all()
    });
    written.map_err(|e| StoreError::Unavailable(format!("the key file {} cannot be written: {e}", path.display())))?;
    Ok(key)
}

/// Wraps subjects' keys under the hub's own.
pub(crate) struct Vault {
    own: Aes256Gcm,
    pub(crate) keys: Keys,
}

impl Vault {
    /// `create`: the store is new, so a key may be made for it.
    pub(crate) fn open(source: &KeySource, create: bool) -> Result<Self, StoreError> {
        let key = source.read(create)?;
        Ok(Self { own: Aes256Gcm::new(&key.into()), keys: Keys::default() })
    }

    /// Seals a short text under the hub's own key: what proves at the next opening that the key file is the right one.
    pub(crate) fn wrap(&self, purpose: &[u8], clear: &[u8]) -> Result<Vec<u8>, StoreError> {
        let nonce = entropy::nonce()?;
        let sealed = self
            .own
            .encrypt(&Nonce::from(nonce), Message { msg: clear, aad: purpose })
            .map_err(|_| StoreError::Unavailable("a key could not be wrapped".into()))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// `None` when it was wrapped under another key, for another purpose, or was changed.
    pub(crate) fn unwrap(&self, purpose: &[u8], wrapped: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = wrapped.split_first_chunk::<12>()?;
        self.own.decrypt(&Nonce::from(*nonce), Message { msg: sealed, aad: purpose }).ok()
    }
}

#[cfg(test)]
mod tests;
