//! What an SQLite error means to the caller.

use crate::StoreError;
use rusqlite::{Error, ErrorCode};

/// How a failed statement ends its group.
#[derive(Debug)]
pub(super) enum Failure {
    /// This one write is at fault; the others may go on without it.
    Offender(StoreError),
    /// None was written and all may be tried again (disk full, out of memory).
    Unavailable(String),
    /// The disk failed: what is on it is no longer known.
    Fatal(String),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        match e.sqlite_error_code() {
            Some(
                ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig | ErrorCode::ParameterOutOfRange,
            ) => Self::Offender(StoreError::Constraint(e.to_string())),
            Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Fatal(e.to_string()),
            Some(_) => Self::Unavailable(e.to_string()),
            // Not from SQLite: a value that could not be bound or read.
            None => Self::Offender(StoreError::Constraint(e.to_string())),
        }
    }
}

/// On the reading side, where nothing can be half done.
impl From<Error> for StoreError {
    fn from(e: Error) -> Self {
        match e.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(e.to_string()),
            Some(_) => Self::Unavailable(e.to_string()),
            None => Self::Damaged(e.to_string()),
        }
    }
}
