//! LZ4, only where it helps. Messages are a few kilobytes: at that size deflate spends more on its tables than on the bytes.

use crate::StoreError;
use lz4_flex::block;

/// Shorter bodies gain too little.
const WORTHWHILE: usize = 192;

/// `None` when the bytes are better left as they are.
pub(super) fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < WORTHWHILE {
        return None;
    }
    let compressed = block::compress(bytes);
    // An eighth must be saved.
    (compressed.len() <= bytes.len() - bytes.len() / 8).then_some(compressed)
}

pub(super) fn expand(bytes: &[u8], clear_len: usize) -> Result<Vec<u8>, StoreError> {
    match block::decompress(bytes, clear_len) {
        Ok(clear) if clear.len() == clear_len => Ok(clear),
        Ok(_) | Err(_) => Err(StoreError::Damaged("a sealed body opened but did not expand".into())),
    }
}
