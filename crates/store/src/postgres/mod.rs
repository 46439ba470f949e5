//! The store for production: PostgreSQL 15 or newer, for one hub or several on one database.
//!
//! Each node has one task that writes, a few connections for reading, and one to hear of what other nodes took in. They run on a small
//! runtime of the store's own, so that calls may come from anywhere, with or without one. Nothing is kept in memory that the database
//! has not acknowledged: while it is away every call fails, quickly and by name, and when it is back all goes on.
//!
//! It does not decide which node owns which partition: a turn does as it is told, unless what it was told on no longer holds.

mod check;
mod clock;
mod dial;
mod error;
mod import;
mod listen;
mod members;
mod migrate;
mod options;
mod place;
mod pool;
mod reads;
mod rows;
mod tls;
mod verify;
mod views;
mod writer;

pub(crate) use import::{Import, Mark as ImportMark};
pub use options::PostgresOptions;

use crate::{
    Accepted, AuditRow, AuditVerdict, Committed, Counts, CursorWrite, DueEffect, DueTimer, ExceptionQuery, ExceptionView,
    InboxId, InboxPage, Intake, JournalRow, Lease, Loaded, Membership, NodeTurn, Partitions, PayloadHash, ProcessDetail,
    ProcessKey, ProcessQuery, ProcessView, ReadStore, Reply, Store, StoreError, Transition, TransitionId,
    checkpoint::{Checkpoint, Walked},
    request::{Answer, Op, Request, SealedIntake, SealedTransition},
    vault::Vault,
};
use crossdock_canonical::Timestamp;
use dial::{Dial, Role};
use error::text;
use members::Members;
use pool::{Erasures, Pool};
use std::{
    sync::{Arc, atomic::AtomicI64},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    runtime::{self, Handle},
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};
use writer::{Settings, Writer};

/// The tally is spread over so many shards: two nodes rarely share one, and they may.
const SHARDS: i64 = 64;

/// What opening may take: it makes the schema, or waits for another node that does.
const OPEN_WITHIN: Duration = Duration::from_secs(120);

pub struct PostgresStore {
    vault: Arc<Vault>,
    /// `None` once closing.
    requests: Option<mpsc::Sender<Request>>,
    queue: usize,
    pool: Pool,
    /// Apart, so that people who search take no connection from the engine.
    searches: Pool,
    handle: Handle,
    dial: Arc<Dial>,
    members: Arc<Members>,
    arrived: Arc<Notify>,
    look_every: Duration,
    /// The thread that owns the runtime and ends when all that waits is written.
    thread: Option<JoinHandle<()>>,
}

/// What opening found.
struct Opened {
    vault: Vault,
    last_erasure: i64,
    block: i64,
}

impl PostgresStore {
    /// Opens the store, making its schema in an empty database. Blocks: call it before serving.
    pub fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        Self::open_for(options, false)
    }

    /// `moving`: by the program that moves another store into it.
    fn open_for(options: &PostgresOptions, moving: bool) -> Result<Self, StoreError> {
        let dial = Arc::new(Dial::new(options)?);
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("store-postgres")
            .enable_all()
            .build()
            .map_err(|e| StoreError::Unavailable(format!("no runtime for the store: {e}")))?;
        let handle = runtime.handle().clone();
        let (requests, receiver) = mpsc::channel(options.queue.max(1));
        let (ready, opened) = std::sync::mpsc::channel();
        let (stored, arrived) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (key, settings) = (options.key.clone(), options.clone());
        let (dialed, heard) = (Arc::clone(&dial), Arc::clone(&arrived));
        let thread = thread::Builder::new()
            .name("store-postgres".into())
            .spawn(move || {
                runtime.block_on(async move {
                    let (erasures, shard) = match open(&dialed, &key, moving).await {
                        Ok(Opened { vault, last_erasure, block }) => {
                            // Numbers of keys are out of this block, which is this store's alone.
                            vault.keys.start_after((block << 32).cast_unsigned());
                            let erasures = Erasures { vault: Arc::new(vault), seen: AtomicI64::new(last_erasure) };
                            (Arc::new(erasures), (block % SHARDS) as i16)
                        }
                        Err(e) => {
                            let _ = ready.send(Err(e));
                            return;
                        }
                    };
                    let listening = tokio::spawn(listen::run(Arc::clone(&dialed), Arc::clone(&stored), heard));
                    let _ = ready.send(Ok(Arc::clone(&erasures)));
                    let settings = Settings {
                        payload_retention: settings.payload_retention,
                        answer_within: settings.answer_within,
                        commit_within: settings.commit_within,
                        shard,
                    };
                    Writer::new(dialed, erasures, settings, stored).serve(receiver).await;
                    listening.abort();
                });
            })
            .map_err(|e| StoreError::Unavailable(format!("no thread for the store: {e}")))?;
        let erasures =
            opened.recv().unwrap_or_else(|_| Err(StoreError::Unavailable("the store ended while it was opened".into())))?;
        let vault = Arc::clone(&erasures.vault);
        let pool =
            |role, within| Pool::new(handle.clone(), Arc::clone(&dial), role, Arc::clone(&erasures), options.readers, within);
        let (pool, searches) = (pool(Role::Reader, options.answer_within), pool(Role::Search, options.search_within));
        let members = Arc::new(Members::new(Arc::clone(&dial), options.answer_within));
        Ok(Self {
            vault,
            requests: Some(requests),
            queue: options.queue,
            pool,
            searches,
            handle,
            dial,
            members,
            arrived,
            look_every: options.look_every,
            thread: Some(thread),
        })
    }

    /// The ends of the audit chain now; hubs may run.
    pub fn checkpoint(&self, at: Timestamp) -> Reply<'_, Checkpoint> {
        let vault = Arc::clone(&self.vault);
        self.searches.ask(move |reader| async move {
            let (offsets, heads) = reader.ends().await?;
            Checkpoint::new(&vault, at, offsets, &heads)
        })
    }

    /// Verifies the audit chain, and that it holds what a checkpoint knew.
    pub fn verify_since(&self, wanted: Checkpoint) -> Reply<'_, Walked> {
        let vault = Arc::clone(&self.vault);
        self.searches.walk(move |reader| async move { reader.walk_since(&vault, &wanted).await })
    }

    /// Puts a write before the writer, at once: writes are made in the order of these calls. The reply comes when it is on disk.
    fn write<'a, T: Send + 'a>(&'a self, op: Result<Op, StoreError>, read: fn(Answer) -> Option<T>) -> Reply<'a, T> {
        let waiting = op.and_then(|op| {
            let (reply, answer) = oneshot::channel();
            match self.requests.as_ref().map(|requests| requests.try_send(Request { op, reply })) {
                Some(Ok(())) => Ok(answer),
                Some(Err(mpsc::error::TrySendError::Full(_))) => Err(StoreError::Busy(self.queue)),
                Some(Err(mpsc::error::TrySendError::Closed(_))) | None => {
                    Err(StoreError::Unavailable("the store has stopped".into()))
                }
            }
        });
        Box::pin(async move {
            let answer = waiting?.await.map_err(|_| StoreError::Unknown("the writer ended".into()))??;
            read(answer).ok_or_else(|| StoreError::Damaged("the writer gave another answer than was asked for".into()))
        })
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        // The writer ends when it has done all that waits.
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn open(dial: &Dial, key: &crate::KeySource, moving: bool) -> Result<Opened, StoreError> {
    let client = dial.client(Role::Writer).await.map_err(StoreError::Unavailable)?;
    let opening = async {
        let vault = migrate::migrate(&client, key).await?;
        if !moving {
            import::guard(&client).await?;
        }
        let row = client.query_one("SELECT (SELECT coalesce(max(no), 0) FROM erasure), nextval('key_block')", &[]).await;
        let row = row.map_err(|e| StoreError::Unavailable(text(&e)))?;
        Ok(Opened { vault, last_erasure: row.try_get(0)?, block: row.try_get(1)? })
    };
    timeout(OPEN_WITHIN, opening).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable("the schema was not ready in time; another node may be making it".into()))
    })
}

impl Store for PostgresStore {
    fn accept(&self, rows: Vec<Intake>, cursor: Option<CursorWrite>) -> Reply<'_, Vec<Accepted>> {
        let rows = rows.into_iter().map(|intake| SealedIntake::new(&self.vault, intake)).collect::<Result<_, _>>();
        self.write(rows.map(|rows| Op::Accept { rows, cursor }), Answer::accepted)
    }

    fn commit(&self, transition: Transition) -> Reply<'_, Committed> {
        let sealed = SealedTransition::new(&self.vault, transition);
        self.write(sealed.map(|sealed| Op::Commit(Box::new(sealed))), Answer::committed)
    }

    /// Asked of the writer, so that the answer comes after everything that was sent before.
    fn was_committed(&self, process: &ProcessKey, transition: TransitionId) -> Reply<'_, Option<Committed>> {
        self.write(Ok(Op::WasCommitted { process: process.clone(), transition }), Answer::found)
    }

    fn lease(&self, node: &str, now: Timestamp) -> Reply<'_, Vec<Lease>> {
        self.write(Ok(Op::Lease { node: Arc::from(node), now }), Answer::leased)
    }

    fn load(&self, process: &ProcessKey) -> Reply<'_, Option<Loaded>> {
        let process = process.clone();
        self.pool.ask(move |reader| async move { reader.load(&process).await })
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn turn(&self, turn: NodeTurn) -> Reply<'_, Membership> {
        let members = Arc::clone(&self.members);
        let turning = self.handle.spawn(async move { members.turn(turn).await });
        Box::pin(async move { turning.await.map_err(|_| StoreError::Unavailable("the store is closed".into()))? })
    }

    fn inbox(&self, of: Partitions, after: InboxId, limit: usize) -> Reply<'_, InboxPage> {
        self.pool.ask(move |reader| async move { reader.inbox(of, after, limit).await })
    }

    fn arrivals(&self) -> Reply<'_, ()> {
        let (arrived, look_every) = (Arc::clone(&self.arrived), self.look_every);
        let waiting = self.handle.spawn(async move {
            // Past it the caller looks for himself.
            let _ = timeout(look_every, arrived.notified()).await;
        });
        Box::pin(async move { waiting.await.map_err(|_| StoreError::Unavailable("the store is closed".into())) })
    }

    fn due_effects(&self, of: Partitions, system: &str, before: Timestamp, limit: usize) -> Reply<'_, Vec<DueEffect>> {
        let system = system.to_owned();
        self.pool.ask(move |reader| async move { reader.due_effects(of, &system, before, limit).await })
    }

    fn due_timers(&self, of: Partitions, before: Timestamp, limit: usize) -> Reply<'_, Vec<DueTimer>> {
        self.pool.ask(move |reader| async move { reader.due_timers(of, before, limit).await })
    }

    fn payload(&self, process: &ProcessKey, hash: &PayloadHash) -> Reply<'_, Option<Arc<[u8]>>> {
        let (process, hash) = (process.clone(), *hash);
        self.pool.ask(move |reader| async move { reader.payload(&process, &hash).await })
    }

    fn resolve(&self, system: &str, kind: &str, theirs: &str) -> Reply<'_, Option<ProcessKey>> {
        let (system, kind, theirs) = (system.to_owned(), kind.to_owned(), theirs.to_owned());
        self.pool.ask(move |reader| async move { reader.resolve(&system, &kind, &theirs).await })
    }

    fn cursor(&self, name: &str) -> Reply<'_, Option<Vec<u8>>> {
        let name = name.to_owned();
        self.pool.ask(move |reader| async move { reader.blob("SELECT body FROM cursor WHERE name = $1", &name).await })
    }

    fn set_cursor(&self, write: CursorWrite) -> Reply<'_, ()> {
        self.write(Ok(Op::SetCursor(write)), done)
    }

    fn pin(&self, hash: &str) -> Reply<'_, Option<Vec<u8>>> {
        let hash = hash.to_owned();
        self.pool.ask(move |reader| async move { reader.blob("SELECT body FROM pin WHERE hash = $1", &hash).await })
    }

    fn put_pin(&self, hash: &str, body: Vec<u8>) -> Reply<'_, ()> {
        self.write(Ok(Op::PutPin { hash: hash.to_owned(), body }), done)
    }

    fn sweep(&self, now: Timestamp, folded_before: Timestamp, limit: usize) -> Reply<'_, usize> {
        self.write(Ok(Op::Sweep { now, folded_before, limit }), Answer::swept)
    }

    /// It takes its time, on a connection of its own, and gives up rather than keep others waiting.
    fn drop_journal(&self, before: Timestamp) -> Reply<'_, u64> {
        let dial = Arc::clone(&self.dial);
        let dropping = self.handle.spawn(async move {
            let client = dial.client(Role::Search).await.map_err(StoreError::Unavailable)?;
            client.batch_execute("SET statement_timeout = 0; SET lock_timeout = '1s'").await?;
            let dropped: i64 = client.query_one("SELECT journal_drop($1)", &[&before.0]).await?.try_get(0)?;
            Ok(dropped.cast_unsigned())
        });
        Box::pin(async move { dropping.await.map_err(|_| StoreError::Unavailable("the store is closed".into()))? })
    }
}

impl ReadStore for PostgresStore {
    fn processes(&self, query: ProcessQuery) -> Reply<'_, Vec<ProcessView>> {
        self.searches.ask(move |reader| async move { reader.processes(&query).await })
    }

    fn process(&self, key: &ProcessKey) -> Reply<'_, Option<ProcessDetail>> {
        let key = key.clone();
        self.pool.ask(move |reader| async move { reader.process(&key).await })
    }

    fn journal(&self, key: &ProcessKey) -> Reply<'_, Vec<JournalRow>> {
        let key = key.clone();
        self.searches.ask(move |reader| async move { reader.journal(&key).await })
    }

    fn exceptions(&self, query: ExceptionQuery) -> Reply<'_, Vec<ExceptionView>> {
        self.searches.ask(move |reader| async move { reader.exceptions(&query).await })
    }

    fn counts(&self) -> Reply<'_, Counts> {
        self.searches.ask(move |reader| async move { reader.counts().await })
    }

    fn stream(&self, cursor: &str, limit: usize) -> Reply<'_, (Vec<JournalRow>, String)> {
        let cursor = cursor.to_owned();
        self.searches.ask(move |reader| async move { reader.stream(&cursor, limit).await })
    }

    fn inbox_depth(&self) -> Reply<'_, u64> {
        self.pool.ask(move |reader| async move { reader.inbox_depth().await })
    }

    fn verify_audit(&self) -> Reply<'_, AuditVerdict> {
        self.searches.walk(move |reader| async move { reader.verify_audit().await })
    }

    fn audit(&self, limit: usize) -> Reply<'_, Vec<AuditRow>> {
        self.searches.ask(move |reader| async move { reader.audit(limit).await })
    }

    fn record_audit(&self, at: Timestamp, actor: &str, action: &str, subject: &str) -> Reply<'_, ()> {
        self.write(Ok(Op::Audit { at, actor: actor.to_owned(), action: format!("{action} {subject}") }), done)
    }

    fn erase_subject(&self, at: Timestamp, actor: &str, subject: &str) -> Reply<'_, bool> {
        self.write(Ok(Op::Erase { at, actor: actor.to_owned(), subject: subject.to_owned() }), Answer::erased)
    }
}

fn done(answer: Answer) -> Option<()> {
    matches!(answer, Answer::Done).then_some(())
}
