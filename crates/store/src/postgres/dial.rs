//! Making connections: where to, under which settings, and how often when nobody answers.
//!
//! While the database is away no call waits for it: the first one that finds it away closes the gate for a moment, and until it opens
//! again all others hear so at once. The moments grow to a second, so the hub goes on within a second of the database coming back.

use super::{
    check, clock,
    error::text,
    options::PostgresOptions,
    tls::{Stream, Tls},
};
use crate::StoreError;
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::timeout;
use tokio_postgres::{
    Client, Config, Connection, Socket,
    config::{Host, SslMode},
};

const SHUT_MIN: Duration = Duration::from_millis(50);
const SHUT_MAX: Duration = Duration::from_secs(1);

/// A connection whose client sits idle inside a transaction (its process was stopped, its network is gone) is ended by the server, so
/// that its locks hold up nobody.
const IDLE_IN_TRANSACTION: &str = "2s";

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    /// What the engine reads.
    Reader,
    /// What people search for.
    Search,
    Listener,
}

pub(super) struct Dial {
    config: Config,
    tls: Tls,
    answer_within: Duration,
    search_within: Duration,
    unchecked: bool,
    gate: Mutex<Gate>,
}

#[derive(Default)]
struct Gate {
    shut_until: Option<Instant>,
    shut_for: Duration,
    reason: String,
}

impl Dial {
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, StoreError> {
        let mut config: Config = options.url.parse().map_err(|e| {
            StoreError::Unavailable(format!(
                "the address of the database is not one ({}): write postgresql://user@host/database",
                text(&e)
            ))
        })?;
        if config.get_ssl_mode() == SslMode::Prefer {
            // "Prefer" would go on in clear where the server, or somebody between, says that it has no TLS.
            config.ssl_mode(if stays_here(&config) { SslMode::Disable } else { SslMode::Require });
        }
        // Of several servers one may swallow everything: its share of the time, and the next is asked.
        let hosts = u32::try_from(config.get_hosts().len().max(1)).unwrap_or(u32::MAX);
        config.application_name("crossdock").connect_timeout(options.answer_within / hosts);
        // A peer that is gone without a word is noticed by the network, however long a statement may take.
        config
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(1))
            .keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(5));
        Ok(Self {
            config,
            tls: Tls::new(options.certificates.as_deref())?,
            answer_within: options.answer_within,
            search_within: options.search_within,
            unchecked: options.unchecked,
            gate: Mutex::default(),
        })
    }

    /// A connection, driven by a task of this runtime; the reason when there is none.
    pub(super) async fn client(&self, role: Role) -> Result<Client, String> {
        let (client, connection) = self.connection(role).await?;
        // It ends with the client, or ends the client.
        let driven = tokio::spawn(connection);
        match self.prepare(&client, role).await {
            Ok(()) => Ok(client),
            Err(reason) => {
                driven.abort();
                Err(self.shut(reason))
            }
        }
    }

    /// A connection that nobody drives yet, and that `prepare` was not called for.
    pub(super) async fn connection(&self, role: Role) -> Result<(Client, Connection<Socket, Stream>), String> {
        if let Some(reason) = self.reason_if_shut() {
            return Err(reason);
        }
        match timeout(self.answer_within, self.config.connect(self.tls.clone())).await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(e)) => Err(self.shut(format!("no connection to the database: {}", text(&e)))),
            Err(_) => {
                Err(self.shut(format!("the database took more than {:?} to take a connection ({role:?})", self.answer_within)))
            }
        }
    }

    async fn prepare(&self, client: &Client, role: Role) -> Result<(), String> {
        let ready = async {
            client.batch_execute(&self.settings(role)).await.map_err(|e| text(&e))?;
            if role == Role::Writer && !self.unchecked {
                check::check(client).await.map_err(|e| e.to_string())?;
            }
            Ok::<_, String>(())
        };
        timeout(self.answer_within, ready).await.unwrap_or_else(|_| Err("the database took too long to be set up".into()))?;
        *self.lock() = Gate::default();
        Ok(())
    }

    /// What this hub relies on, whatever the server or the role has for a default.
    pub(super) fn settings(&self, role: Role) -> String {
        let within = match role {
            Role::Writer | Role::Reader | Role::Listener => self.answer_within,
            Role::Search => self.search_within,
        };
        // What the engine asks goes by key, a few rows at a time: an index is right even where the statistics of a young or quickly
        // changing table do not know it yet, and one plan serves for any number of rows.
        let plans = match role {
            Role::Writer | Role::Reader => {
                "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
                 SET plan_cache_mode = force_generic_plan;"
            }
            Role::Search | Role::Listener => "SET random_page_cost = 1.1;",
        };
        format!(
            "SET search_path = {SCHEMA}; SET default_transaction_isolation = 'read committed'; SET statement_timeout = {}; \
             SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION}'; SET jit = off; SET client_min_messages = error; {plans}",
            within.as_millis()
        )
    }

    fn reason_if_shut(&self) -> Option<String> {
        let gate = self.lock();
        gate.shut_until.filter(|until| clock::now() < *until).map(|_| gate.reason.clone())
    }

    /// Closes the gate for a moment: who would make a connection hears the reason instead. A call that got no answer does it too, so
    /// that those behind it in the queue do not wait as long one after the other.
    pub(super) fn shut(&self, reason: String) -> String {
        let mut gate = self.lock();
        gate.shut_for = (gate.shut_for * 2).clamp(SHUT_MIN, SHUT_MAX);
        gate.shut_until = Some(clock::now() + gate.shut_for);
        gate.reason.clone_from(&reason);
        reason
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All tables are in a schema of their own, so that the database may hold other things.
pub(super) const SCHEMA: &str = "crossdock";

/// Whether every host of the address is this machine.
fn stays_here(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeySource;

    #[test]
    fn what_leaves_the_machine_goes_by_tls_unless_the_address_says_otherwise() {
        for (url, expected) in [
            ("postgresql://hub@127.0.0.1/crossdock", SslMode::Disable),
            ("postgresql://hub@localhost/crossdock", SslMode::Disable),
            ("postgresql://hub@db.example/crossdock", SslMode::Require),
            ("postgresql://hub@localhost,db.example/crossdock", SslMode::Require),
            ("postgresql://hub@db.example/crossdock?sslmode=disable", SslMode::Disable),
            ("postgresql://hub@localhost/crossdock?sslmode=require", SslMode::Require),
        ] {
            let dial = Dial::new(&PostgresOptions::new(url, KeySource::Given([1; 32]))).expect(url);
            assert_eq!(dial.config.get_ssl_mode(), expected, "{url}");
        }
        assert!(Dial::new(&PostgresOptions::new("postgresql://[", KeySource::Given([1; 32]))).is_err());
    }
}
