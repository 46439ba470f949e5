//! Deflate at its fastest, only where it helps. The state of a compressor is large, so each thread keeps one.

use crate::StoreError;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::cell::RefCell;

/// Shorter bodies gain too little.
const WORTHWHILE: usize = 192;

/// `None` when the bytes are better left as they are.
pub(super) fn deflate(bytes: &[u8]) -> Option<Vec<u8>> {
    thread_local! {
        static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
    }
    if bytes.len() < WORTHWHILE {
        return None;
    }
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        // An eighth must be saved; output that would be longer does not fit and ends the attempt.
        let mut out = Vec::with_capacity(bytes.len() - bytes.len() / 8);
        let status = compress.compress_vec(bytes, &mut out, FlushCompress::Finish);
        matches!(status, Ok(Status::StreamEnd)).then_some(out)
    })
}

pub(super) fn inflate(bytes: &[u8], clear_len: usize) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::with_capacity(clear_len);
    let status = Decompress::new(false).decompress_vec(bytes, &mut out, FlushDecompress::Finish);
    match status {
        Ok(Status::StreamEnd) if out.len() == clear_len => Ok(out),
        _ => Err(StoreError::Damaged("a sealed body opened but did not inflate".into())),
    }
}
