//! Connections for reading. What they read is the last commit, and they make no writer wait.
//!
//! A question is answered by a task of the store's own runtime, so that it can be asked from anywhere. A connection that failed or was
//! too slow is given up; the next question makes a new one, if the gate lets it (see `dial`).

use super::dial::{Dial, Role};
use crate::{StoreError, vault::Vault};
use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};
use tokio_postgres::{Client, Row, Statement, types::ToSql};

/// Questions that may wait.
const QUEUE: usize = 4_096;

/// What a statement is asked with.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A text with constants in it, put together once.
macro_rules! statement {
    ($($text:tt)+) => {{
        static SQL: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| format!($($text)+));
        SQL.as_str()
    }};
}
pub(super) use statement;

/// What a node knows of the keys that others destroyed.
pub(super) struct Erasures {
    pub(super) vault: Arc<Vault>,
    /// The last one that was heeded.
    pub(super) seen: AtomicI64,
}

impl Erasures {
    pub(super) const SQL: &str = "SELECT no, subject FROM erasure WHERE no > $1 ORDER BY no";

    pub(super) fn seen(&self) -> i64 {
        self.seen.load(Ordering::Acquire)
    }

    /// Forgets the keys of all that was erased since. Before anything that was read in the same breath is opened.
    pub(super) fn heed(&self, rows: &[Row]) -> Result<(), StoreError> {
        for row in rows {
            self.heed_one(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(())
    }

    /// In the order of their numbers, which is the order of their commits. One that was heeded is not heeded again: what was sealed
    /// since is under a key that nobody erased.
    pub(super) fn heed_one(&self, no: i64, subject: &str) {
        if no > self.seen() {
            self.vault.keys.destroy(subject);
            self.seen.fetch_max(no, Ordering::AcqRel);
        }
    }
}

/// What a question is answered with.
pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) erasures: Arc<Erasures>,
    statements: Mutex<HashMap<&'static str, Statement>>,
}

impl Reader {
    /// Asks a fixed statement, prepared once a connection.
    pub(super) async fn ask(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        let known = self.known(sql);
        let statement = match known {
            Some(statement) => statement,
            None => self.prepare(sql).await?,
        };
        Ok(self.client.query(&statement, values).await?)
    }

    /// Prepares what is not yet.
    pub(super) async fn ready(&self, all: &[&'static str]) -> Result<(), StoreError> {
        for sql in all {
            if self.known(sql).is_none() {
                self.prepare(sql).await?;
            }
        }
        Ok(())
    }

    fn known(&self, sql: &str) -> Option<Statement> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned()
    }

    async fn prepare(&self, sql: &'static str) -> Result<Statement, StoreError> {
        let made = self.client.prepare(sql).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(sql, made.clone());
        Ok(made)
    }

    pub(super) async fn ask_opt(&self, sql: &'static str, values: Values<'_>) -> Result<Option<Row>, StoreError> {
        Ok(self.ask(sql, values).await?.into_iter().next())
    }

    /// Runs `read` on one snapshot: what it sees in two statements was committed together.
    pub(super) async fn snapshot<T>(&self, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.within("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", read).await
    }

    /// The same, for walking the journal in its order: never by sorting it.
    pub(super) async fn walk<T>(&self, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; \
             SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";
        self.within(begin, read).await
    }

    async fn within<T>(&self, begin: &str, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        // Sent, and not waited for: what follows is sent behind it on the same connection.
        let begin = self.client.batch_execute(begin);
        let (begun, answer) = tokio::join!(begin, read);
        self.client.batch_execute("COMMIT").await?;
        begun?;
        answer
    }
}

pub(super) struct Pool {
    shared: Arc<Shared>,
    runtime: Handle,
    within: Duration,
}

struct Shared {
    dial: Arc<Dial>,
    role: Role,
    erasures: Arc<Erasures>,
    places: Semaphore,
    waiting: AtomicUsize,
    idle: Mutex<Vec<Arc<Reader>>>,
}

impl Pool {
    pub(super) fn new(
        runtime: Handle,
        dial: Arc<Dial>,
        role: Role,
        erasures: Arc<Erasures>,
        readers: usize,
        within: Duration,
    ) -> Self {
        let shared = Shared {
            dial,
            role,
            erasures,
            places: Semaphore::new(readers.max(1)),
            waiting: AtomicUsize::new(0),
            idle: Mutex::default(),
        };
        Self { shared: Arc::new(shared), runtime, within }
    }

    /// Asks; an answer that takes longer than this pool's limit is none.
    pub(super) fn ask<T, F>(&self, read: impl FnOnce(Arc<Reader>) -> F + Send + 'static) -> crate::Reply<'_, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.ask_within(self.within, read)
    }

    /// Asks what walks all there is: each of its statements has its limit, the whole has none.
    pub(super) fn walk<T, F>(&self, read: impl FnOnce(Arc<Reader>) -> F + Send + 'static) -> crate::Reply<'_, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.ask_within(Duration::MAX, read)
    }

    fn ask_within<T, F>(&self, limit: Duration, read: impl FnOnce(Arc<Reader>) -> F + Send + 'static) -> crate::Reply<'_, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let answer = self.runtime.spawn(async move {
            let asked = Asked::new(&shared.waiting)?;
            let answered = async {
                let place = shared.places.acquire().await;
                let _place = place.map_err(|_| StoreError::Unavailable("the store is closed".into()))?;
                drop(asked);
                let reader = shared.reader().await?;
                let answer = read(Arc::clone(&reader)).await;
                if matches!(answer, Ok(_) | Err(StoreError::Constraint(_))) {
                    shared.lock().push(reader);
                }
                answer
            };
            // What still runs when the time is over ends with its connection.
            timeout(limit, answered).await.unwrap_or_else(|_| {
                Err(StoreError::Unavailable(shared.dial.shut(format!("the database did not answer within {limit:?}"))))
            })
        });
        Box::pin(async move { answer.await.map_err(|_| StoreError::Unavailable("the store is closed".into()))? })
    }
}

/// One that waits for a connection.
struct Asked<'a>(&'a AtomicUsize);

impl<'a> Asked<'a> {
    fn new(waiting: &'a AtomicUsize) -> Result<Self, StoreError> {
        let asked = Self(waiting);
        if waiting.fetch_add(1, Ordering::AcqRel) >= QUEUE { Err(StoreError::Busy(QUEUE)) } else { Ok(asked) }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    /// A connection that waits for a question, or a new one.
    async fn reader(&self) -> Result<Arc<Reader>, StoreError> {
        loop {
            let idle = self.lock().pop();
            match idle {
                Some(reader) if reader.client.is_closed() => {}
                Some(reader) => return Ok(reader),
                None => break,
            }
        }
        let client = self.dial.client(self.role).await.map_err(StoreError::Unavailable)?;
        Ok(Arc::new(Reader { client, erasures: Arc::clone(&self.erasures), statements: Mutex::default() }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Reader>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
