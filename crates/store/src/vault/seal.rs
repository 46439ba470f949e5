//! The sealed form of a body: version, flags, key number, nonce, then ciphertext and tag. The header is bound by the tag, and so is
//! what the body belongs to: bytes moved to another process or message do not open.

use super::{SubjectKey, Vault, compress};
use crate::{Addressee, Intake, PayloadHash, ProcessKey, StoreError, entropy};
use aes_gcm::{Nonce, Tag, aead::AeadInOut};
use std::sync::Arc;

/// Of the format; stored in every body for ever.
const VERSION: u8 = 1;
const COMPRESSED: u8 = 1;
const HEADER: usize = 1 + 1 + 4 + 8 + 12;
const TAG: usize = 16;

/// A body on its way to the disk, with the key it needs there.
pub(crate) struct Sealed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) key: Arc<SubjectKey>,
}

/// A subject's key as the disk holds it: whose it is, and its wrapped form.
pub(crate) type KeyRow = (Arc<str>, Vec<u8>);

/// What a sealed body belongs to.
pub(crate) enum Place<'a> {
    Payload { process: &'a ProcessKey, hash: &'a PayloadHash },
    Inbox { to: &'a Addressee, source: &'a str, kind: &'a str },
}

impl Place<'_> {
    fn bind(&self, header: &[u8]) -> Vec<u8> {
        let mut bound = Vec::with_capacity(160);
        bound.extend_from_slice(header);
        let mut text = |text: &str| {
            bound.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bound.extend_from_slice(text.as_bytes());
        };
        match self {
            Self::Payload { process, hash } => {
                text("payload");
                text(&process.kind);
                text(&process.key);
                bound.extend_from_slice(&hash.0);
            }
            Self::Inbox { to, source, kind } => {
                text("inbox");
                text(source);
                text(kind);
                match to {
                    Addressee::Process(process) => [&process.kind, &process.key].map(|part| text(part)),
                    Addressee::Theirs { system, kind, id } => {
                        text(system.as_str());
                        [kind, id].map(|part| text(part))
                    }
                };
            }
        }
        bound
    }
}

impl<'a> From<&'a Intake> for Place<'a> {
    fn from(intake: &'a Intake) -> Self {
        Place::Inbox { to: &intake.to, source: intake.source.as_str(), kind: &intake.kind }
    }
}

/// The number of the key that a body was sealed under, when it has to be fetched.
pub(crate) fn key_no(sealed: &[u8]) -> Option<u64> {
    let bytes = sealed.get(6..14)?;
    Some(bytes.iter().rev().fold(0_u64, |no, byte| no << 8 | u64::from(*byte)))
}

impl Vault {
    pub(crate) fn seal(&self, subject: &Arc<str>, place: &Place<'_>, clear: &[u8]) -> Result<Sealed, StoreError> {
        let key = self.key_for(subject)?;
        let compressed = compress::compress(clear);
        let (flags, body) = compressed.as_deref().map_or((0, clear), |compressed| (COMPRESSED, compressed));
        let clear_len = u32::try_from(clear.len())
            .map_err(|_| StoreError::Constraint(format!("a body of {} bytes is too large to archive", clear.len())))?;
        let nonce = entropy::nonce()?;

        let mut bytes = Vec::with_capacity(HEADER + body.len() + TAG);
        bytes.extend_from_slice(&[VERSION, flags]);
        bytes.extend_from_slice(&clear_len.to_le_bytes());
        bytes.extend_from_slice(&key.no.to_le_bytes());
        bytes.extend_from_slice(&nonce);
        let bound = place.bind(&bytes);
        bytes.extend_from_slice(body);
        let tag = key
            .cipher
            .encrypt_inout_detached(&Nonce::from(nonce), &bound, (&mut bytes[HEADER..]).into())
            .map_err(|_| StoreError::Constraint("a body is too large to seal".into()))?;
        bytes.extend_from_slice(&tag);
        Ok(Sealed { bytes, key })
    }

    /// Opens a sealed body. `row` gives the subject and wrapped form of a key by number; `None` from it, or from here, means that the
    /// key was destroyed.
    pub(crate) fn open_sealed<E>(
        &self,
        place: &Place<'_>,
        sealed: &[u8],
        row: impl FnOnce(u64) -> Result<Option<KeyRow>, E>,
    ) -> Result<Option<Arc<[u8]>>, StoreError>
    where
        StoreError: From<E>,
    {
        self.open_fetched(self.keys.destructions(), place, sealed, row)
    }

    /// The same, with key rows that were fetched before: after `destructions` had the value given.
    pub(crate) fn open_fetched<E>(
        &self,
        destructions: u64,
        place: &Place<'_>,
        sealed: &[u8],
        row: impl FnOnce(u64) -> Result<Option<KeyRow>, E>,
    ) -> Result<Option<Arc<[u8]>>, StoreError>
    where
        StoreError: From<E>,
    {
        let damaged = || StoreError::Damaged("a sealed body does not open: it was changed or moved".into());
        let (header, rest) = sealed.split_at_checked(HEADER).ok_or_else(damaged)?;
        if header[0] != VERSION {
            return Err(StoreError::Damaged(format!("a body is sealed in form {}, this hub reads {VERSION}", header[0])));
        }
        let number = |range: std::ops::Range<usize>| header[range].iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        let (clear_len, no) = (number(2..6) as usize, number(6..14));
        let key = match self.keys.cached(no) {
            Some(key) => key,
            None => match row(no)? {
                Some((subject, wrapped)) => self.load_key(destructions, no, &subject, &wrapped)?,
                None => return Ok(None),
            },
        };
        let (body, tag) = rest.split_last_chunk::<TAG>().ok_or_else(damaged)?;
        let nonce = <[u8; 12]>::try_from(&header[14..]).map_err(|_| damaged())?;
        let mut body = body.to_vec();
        key.cipher
            .decrypt_inout_detached(&Nonce::from(nonce), &place.bind(header), body.as_mut_slice().into(), &Tag::from(*tag))
            .map_err(|_| damaged())?;
        let clear = if header[1] & COMPRESSED == 0 { body } else { compress::expand(&body, clear_len)? };
        Ok(Some(Arc::from(clear)))
    }
}
