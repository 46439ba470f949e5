//! How a PostgreSQL store is opened.

use crate::vault::KeySource;
use crossdock_canonical::Duration;
use std::{path::PathBuf, time};

#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgresql://user@host:port/database`; several hosts with `?target_session_attrs=read-write` where one of them is the primary. Without `sslmode` a connection that leaves the machine is made by TLS, always verified;
    /// `sslmode=disable` says that the network may be trusted.
    pub url: String,
    /// Certificates to trust, PEM; `None`: the public ones.
    pub certificates: Option<PathBuf>,
    pub key: KeySource,
    /// Takes a database whose settings lose what was acknowledged. A control for crash campaigns, never for service.
    pub unchecked: bool,
    /// Writes that may wait for the writer; the next is answered `Busy`.
    pub queue: usize,
    /// Connections for the engine's reading, and as many for searches; so many questions are answered at once.
    pub readers: usize,
    /// How long archived payloads are kept; `None` for ever.
    pub payload_retention: Option<Duration>,
    /// To make a connection, and to answer: past it a call is `Unavailable`. Not for searches, which may take `search_within`.
    pub answer_within: time::Duration,
    pub search_within: time::Duration,
    /// For the commit itself: past it a write is `Unknown`.
    pub commit_within: time::Duration,
    /// How long `arrivals` waits for word of another node before it lets the caller look for itself.
    pub look_every: time::Duration,
}

impl PostgresOptions {
    pub fn new(url: impl Into<String>, key: KeySource) -> Self {
        Self {
            url: url.into(),
            certificates: None,
            key,
            unchecked: false,
            queue: 8_192,
            readers: 4,
            payload_retention: None,
            answer_within: time::Duration::from_millis(900),
            search_within: time::Duration::from_secs(30),
            commit_within: time::Duration::from_secs(5),
            look_every: time::Duration::from_secs(2),
        }
    }
}

impl std::fmt::Debug for PostgresOptions {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions").field("key", &self.key).finish_non_exhaustive()
    }
}
