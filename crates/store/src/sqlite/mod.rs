//! The embedded store: one SQLite file, one writer thread, a few reader threads.
//!
//! The writer owns the only connection that writes, and makes all checkpoints. Readers see the last commit. Nothing here decides
//! what to write; see the crate's head for what is promised.

mod backup;
mod error;
mod export;
mod migrate;
mod open;
mod options;
mod pool;
mod reads;
mod rows;
mod verify;
mod views;
mod writer;

pub use backup::{Checked, backup, check_backup, checkpoint, checkpoint_of_backup, restore};
pub(crate) use export::{Export, Mark as ExportMark};
pub use options::{Durability, Options};

use crate::{
    Accepted, AuditRow, AuditVerdict, Committed, Counts, CursorWrite, DueEffect, DueTimer, ExceptionQuery, ExceptionView,
    InboxId, InboxPage, Intake, JournalRow, Lease, Loaded, PARTITIONS, Partitions, PayloadHash, ProcessDetail, ProcessKey,
    ProcessQuery, ProcessView, ReadStore, Reply, Store, StoreError, Transition, TransitionId,
    request::{Answer, Op, Request, SealedIntake, SealedTransition},
    vault::Vault,
};
use crossdock_canonical::Timestamp;
use pool::{Pool, Reader};
use rusqlite::{Connection, OptionalExtension};
use std::{
    fs::File,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};
use tokio::sync::oneshot;

/// Says under the hub's key what opening expects to read.
const KEY_PROOF: &[u8] = b"crossdock store";

pub struct SqliteStore {
    vault: Arc<Vault>,
    /// `None` once closing.
    requests: Option<mpsc::SyncSender<Request>>,
    queue: usize,
    writer: Option<JoinHandle<()>>,
    readers: Pool,
    /// Last, so that the file is free only when nothing of it is open.
    _lock: File,
}

impl SqliteStore {
    /// Opens or creates the store. Blocks: call it before serving.
    pub fn open(options: &Options) -> Result<Self, StoreError> {
        Self::open_if(options, export::guard)
    }

    /// `may` is asked as soon as the file can be read.
    fn open_if(options: &Options, may: fn(&Connection) -> Result<(), StoreError>) -> Result<Self, StoreError> {
        open::check_version(rusqlite::version_number())?;
        let lock = open::lock(&options.path)?;
        let conn = open::writer(options)?;
        migrate::migrate(&conn)?;
        may(&conn)?;
        let vault = Arc::new(unlock(&conn, options)?);
        let last_key: i64 = conn.query_row("SELECT coalesce(max(no), 0) FROM subject_key", [], |row| row.get(0))?;
        vault.keys.start_after(last_key.cast_unsigned());
        open::sync_directory(&options.path)?;

        let (requests, receiver) = mpsc::sync_channel(options.queue);
        let (ready, opened) = mpsc::channel();
        let settings = writer::Settings {
            checkpoint_pages: i32::try_from(options.checkpoint_pages).unwrap_or(i32::MAX),
            log_pages_max: i32::try_from(options.log_pages_max).unwrap_or(i32::MAX),
            payload_retention: options.payload_retention,
            on_fatal: Arc::clone(&options.on_fatal),
        };
        let (writing, mover) = (Arc::clone(&vault), open::mover(options)?);
        let writer = thread::Builder::new()
            .name("store-write".into())
            .spawn(move || writer::run(conn, mover, writing, settings, receiver, ready))
            .map_err(|e| StoreError::Unavailable(format!("no thread for writing: {e}")))?;
        let ready = opened.recv().unwrap_or_else(|_| Err(StoreError::Unavailable("the writer ended while it was opened".into())));
        match ready.and_then(|_| Pool::start(options, &vault)) {
            Ok(readers) => {
                Ok(Self { vault, requests: Some(requests), queue: options.queue, writer: Some(writer), readers, _lock: lock })
            }
            Err(error) => {
                // The file must be closed before the lock is given back, or the next to open it meets a connection that is ending.
                drop(requests);
                let _ = writer.join();
                Err(error)
            }
        }
    }

    /// Puts a write before the writer, at once: writes are made in the order of these calls. The reply comes when it is on disk.
    fn write<'a, T: Send + 'a>(&'a self, op: Result<Op, StoreError>, read: fn(Answer) -> Option<T>) -> Reply<'a, T> {
        let waiting = op.and_then(|op| {
            let (reply, answer) = oneshot::channel();
            match self.requests.as_ref().map(|requests| requests.try_send(Request { op, reply })) {
                Some(Ok(())) => Ok(answer),
                Some(Err(mpsc::TrySendError::Full(_))) => Err(StoreError::Busy(self.queue)),
                Some(Err(mpsc::TrySendError::Disconnected(_))) | None => {
                    Err(StoreError::Unavailable("the store has stopped".into()))
                }
            }
        });
        Box::pin(async move {
            let answer = waiting?.await.map_err(|_| StoreError::Unknown("the writer ended".into()))??;
            read(answer).ok_or_else(|| StoreError::Damaged("the writer gave another answer than was asked for".into()))
        })
    }

    fn read<'a, T: Send + 'static>(
        &'a self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<'a, T> {
        let waiting = self.readers.ask(read);
        Box::pin(async move { waiting?.await.map_err(|_| StoreError::Unavailable("the store is closed".into()))? })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The writer ends when it has done all that waits.
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Refuses the wrong key file at once, rather than fail on the first body.
fn unlock(conn: &Connection, options: &Options) -> Result<Vault, StoreError> {
    let stored: Option<Vec<u8>> =
        conn.query_row("SELECT value FROM meta WHERE name = 'key_proof'", [], |row| row.get(0)).optional()?;
    let vault = Vault::open(&options.key, stored.is_none())?;
    match stored {
        Some(proof) if vault.unwrap(b"proof", &proof).as_deref() == Some(KEY_PROOF) => Ok(vault),
        Some(_) => Err(StoreError::Unavailable(format!(
            "the key ({:?}) is not the one that {} was made with; give it the right one, without it nothing in it can be read",
            options.key,
            options.path.display()
        ))),
        None => {
            let proof = vault.wrap(b"proof", KEY_PROOF)?;
            conn.execute(
                "INSERT INTO meta (name, value) VALUES ('key_proof', ?1), ('partitions', ?2)",
                (proof, PARTITIONS.to_le_bytes()),
            )?;
            Ok(vault)
        }
    }
}

impl Store for SqliteStore {
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
        self.read(move |reader| reader.load(&process))
    }

    fn inbox(&self, _of: Partitions, after: InboxId, limit: usize) -> Reply<'_, InboxPage> {
        self.read(move |reader| reader.inbox(after, limit).map(InboxPage::from))
    }

    fn due_effects(&self, _of: Partitions, system: &str, before: Timestamp, limit: usize) -> Reply<'_, Vec<DueEffect>> {
        let system = system.to_owned();
        self.read(move |reader| reader.due_effects(&system, before, limit))
    }

    fn due_timers(&self, _of: Partitions, before: Timestamp, limit: usize) -> Reply<'_, Vec<DueTimer>> {
        self.read(move |reader| reader.due_timers(before, limit))
    }

    fn payload(&self, process: &ProcessKey, hash: &PayloadHash) -> Reply<'_, Option<Arc<[u8]>>> {
        let (process, hash) = (process.clone(), *hash);
        self.read(move |reader| reader.payload(&process, &hash))
    }

    fn resolve(&self, system: &str, kind: &str, theirs: &str) -> Reply<'_, Option<ProcessKey>> {
        let (system, kind, theirs) = (system.to_owned(), kind.to_owned(), theirs.to_owned());
        self.read(move |reader| reader.resolve(&system, &kind, &theirs))
    }

    fn cursor(&self, name: &str) -> Reply<'_, Option<Vec<u8>>> {
        let name = name.to_owned();
        self.read(move |reader| reader.blob("SELECT body FROM cursor WHERE name = ?1", &name))
    }

    fn set_cursor(&self, write: CursorWrite) -> Reply<'_, ()> {
        self.write(Ok(Op::SetCursor(write)), done)
    }

    fn pin(&self, hash: &str) -> Reply<'_, Option<Vec<u8>>> {
        let hash = hash.to_owned();
        self.read(move |reader| reader.blob("SELECT body FROM pin WHERE hash = ?1", &hash))
    }

    fn put_pin(&self, hash: &str, body: Vec<u8>) -> Reply<'_, ()> {
        self.write(Ok(Op::PutPin { hash: hash.to_owned(), body }), done)
    }

    fn sweep(&self, now: Timestamp, folded_before: Timestamp, limit: usize) -> Reply<'_, usize> {
        self.write(Ok(Op::Sweep { now, folded_before, limit }), Answer::swept)
    }
}

impl ReadStore for SqliteStore {
    fn processes(&self, query: ProcessQuery) -> Reply<'_, Vec<ProcessView>> {
        self.read(move |reader| reader.processes(&query))
    }

    fn process(&self, key: &ProcessKey) -> Reply<'_, Option<ProcessDetail>> {
        let key = key.clone();
        self.read(move |reader| reader.process(&key))
    }

    fn journal(&self, key: &ProcessKey) -> Reply<'_, Vec<JournalRow>> {
        let key = key.clone();
        self.read(move |reader| reader.journal(&key))
    }

    fn exceptions(&self, query: ExceptionQuery) -> Reply<'_, Vec<ExceptionView>> {
        self.read(move |reader| reader.exceptions(&query))
    }

    fn counts(&self) -> Reply<'_, Counts> {
        self.read(Reader::counts)
    }

    fn stream(&self, cursor: &str, limit: usize) -> Reply<'_, (Vec<JournalRow>, String)> {
        let cursor = cursor.to_owned();
        self.read(move |reader| reader.stream(&cursor, limit))
    }

    fn inbox_depth(&self) -> Reply<'_, u64> {
        self.read(Reader::inbox_depth)
    }

    fn verify_audit(&self) -> Reply<'_, AuditVerdict> {
        self.read(Reader::verify_audit)
    }

    fn audit(&self, limit: usize) -> Reply<'_, Vec<AuditRow>> {
        self.read(move |reader| reader.audit(limit))
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
