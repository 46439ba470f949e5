//! What a PostgreSQL error means to the caller.

use crate::StoreError;
use tokio_postgres::{Error, error::DbError};

/// How a failed statement ends its group.
#[derive(Debug)]
pub(super) enum Failure {
    /// One of the group is at fault; the others may go on without it.
    Offender(StoreError),
    /// Another node was quicker, or in the way: nothing was written, and the same group may be tried again.
    Raced(String),
    /// Nothing was written.
    Unavailable(String),
    /// The commit was sent and its reply was lost.
    Unknown(String),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        let Some(said) = e.as_db_error() else {
            return match StoreError::from(e) {
                StoreError::Unavailable(reason) => Self::Unavailable(reason),
                other => Self::Offender(other),
            };
        };
        match said.code().code().get(..2).unwrap_or_default() {
            // Constraints, values that do not fit, one row twice in a statement.
            "23" | "22" | "21" => Self::Offender(StoreError::Constraint(words(said))),
            // Deadlock, serialization.
            "40" => Self::Raced(words(said)),
            _ => Self::Unavailable(words(said)),
        }
    }
}

impl Failure {
    /// What an error at the commit means. Only a refusal in so many words says that nothing was written; a connection that ended says
    /// nothing at all, nor does a server that is told to stop.
    pub(super) fn at_commit(e: Error) -> Self {
        match e.as_db_error().map(|said| said.code().code().get(..2).unwrap_or_default().to_owned()) {
            Some(class) if ["23", "22", "40"].contains(&class.as_str()) => Self::from(e),
            _ => Self::Unknown(text(&e)),
        }
    }
}

/// On the reading side, where nothing can be half done.
impl From<Error> for StoreError {
    fn from(e: Error) -> Self {
        // The driver does not tell its kinds apart otherwise.
        let unread = e.as_db_error().is_none() && e.to_string().starts_with("error deserializing column");
        let unsent = e.as_db_error().is_none() && e.to_string().starts_with("error serializing parameter");
        match (unread, unsent) {
            (true, _) => Self::Damaged(text(&e)),
            (_, true) => Self::Constraint(text(&e)),
            _ => Self::Unavailable(text(&e)),
        }
    }
}

/// Without the detail line, which quotes values.
fn words(said: &DbError) -> String {
    let constraint = said.constraint().map(|name| format!(", {name}")).unwrap_or_default();
    format!("{} ({}{constraint})", said.message(), said.code().code())
}

pub(super) fn text(e: &Error) -> String {
    match e.as_db_error() {
        Some(said) => words(said),
        None => {
            let cause = std::error::Error::source(e).map(|cause| format!(": {cause}")).unwrap_or_default();
            let said = e.to_string();
            if said.ends_with(&cause) { said } else { said + &cause }
        }
    }
}
