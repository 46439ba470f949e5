//! The one thread that writes. It takes all that waits and commits it together: the queue that forms during one sync is the next
//! group, so nothing ever lingers to make a group larger.
//!
//! A write that is refused by its version or epoch is found before anything of it is written and costs the others nothing. One that
//! a constraint refuses undoes its group, which is run again without it. When the disk itself fails, the process must end: what is
//! on disk then is only known by reading it anew.

mod accept;
mod admin;
mod journal;
mod log;
mod statements;
mod tail;
mod transition;

pub(super) use tail::{MARK_EVERY, own_rows};

use super::error::Failure;
use crate::{
    ProcessKey, StoreError,
    request::{Answer, Op, Request},
    vault::{SubjectKey, Vault},
};
use log::Log;
use rusqlite::{Connection, OptionalExtension};
use statements::Statements;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, mpsc::Receiver},
    thread,
};
use tail::Tail;

/// Writes that share a commit. More would make the first wait for the last.
const GROUP_MAX: usize = 1_024;

/// When an effect is due that is open and not to be called.
pub(super) const NOT_DUE: i64 = i64::MAX;

/// Open processes whose number and version are remembered.
const CACHED: usize = 65_536;

/// After so many offenders in a group, the rest of it is committed one by one.
const OFFENDERS_MAX: usize = 4;

pub(super) struct Settings {
    pub(super) checkpoint_pages: i32,
    pub(super) log_pages_max: i32,
    pub(super) payload_retention: Option<crossdock_canonical::Duration>,
    pub(super) on_fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What the writer remembers of a process.
#[derive(Clone)]
struct Known {
    no: i64,
    /// 0: its key is taken, its first transition has not come.
    version: u64,
    /// Its last journal row.
    journal: i64,
    /// Its last payload.
    payload: i64,
    /// Its effects, packed.
    effects: Arc<[u8]>,
    status: Arc<str>,
    stage: Arc<str>,
    /// Digest of what is told once of it; 0 when that is not known, and must be told again.
    told: i64,
}

impl Known {
    /// A key just taken.
    fn new(no: i64) -> Self {
        Self {
            no,
            version: 0,
            journal: 0,
            payload: 0,
            effects: Arc::default(),
            status: Arc::default(),
            stage: Arc::default(),
            told: 0,
        }
    }

    /// It is hardly written any more.
    fn has_ended(&self) -> bool {
        self.version > 0 && !matches!(&*self.status, "open" | "held")
    }
}

/// Looked up at every write, so hashed by what is quick and still seeded.
type KnownByKey = HashMap<ProcessKey, Known, foldhash::fast::RandomState>;

/// What a group of writes would change in memory; put in place only when the group is on disk.
struct Staged {
    tail: Tail,
    known: KnownByKey,
    /// By kind, status and stage.
    tally: BTreeMap<[Arc<str>; 3], i64>,
    keys: HashSet<u64>,
    stored_keys: Vec<Arc<SubjectKey>>,
    erased: Vec<String>,
}

struct Writer<'c> {
    conn: &'c Connection,
    sql: Statements<'c>,
    vault: Arc<Vault>,
    settings: Settings,
    tail: Tail,
    known: KnownByKey,
    log: Log,
}

/// What the disk failed under: who waits may or may not have been written.
struct Unanswered {
    message: String,
    group: Vec<Request>,
}

/// Runs until every sender is gone or the disk fails. `ready` hears whether the store could be opened.
pub(super) fn run(
    mut conn: Connection,
    mover: Connection,
    vault: Arc<Vault>,
    settings: Settings,
    requests: Receiver<Request>,
    ready: std::sync::mpsc::Sender<Result<(), StoreError>>,
) {
    let opened = Log::watch(&mut conn, mover, &settings).and_then(|log| {
        let tail = Tail::read(&conn)?;
        let sql = Statements::prepare(&conn)?;
        Ok(Writer { conn: &conn, sql, vault, settings, tail, known: KnownByKey::default(), log })
    });
    match opened {
        Ok(mut writer) => {
            // Who opens waits for this; were he gone, nobody could write either.
            let _ = ready.send(Ok(()));
            writer.serve(&requests);
        }
        Err(e) => {
            let _ = ready.send(Err(e));
        }
    }
}

impl Writer<'_> {
    fn serve(&mut self, requests: &Receiver<Request>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        let mut busy = false;
        while let Ok(first) = requests.recv() {
            group.push(first);
            if busy {
                // Who sent it is about to send more: he gets to, rather than have each of them synced alone.
                thread::yield_now();
            }
            group.extend(requests.try_iter().take(GROUP_MAX - 1));
            busy = group.len() > 1;
            if let Err(unanswered) = self.commit_group(std::mem::take(&mut group)) {
                return self.stop(unanswered, requests);
            }
            if let Err(message) = self.log.move_if_due(self.conn) {
                return self.stop(Unanswered { message, group: Vec::new() }, requests);
            }
        }
        // Closed in order: the next opening finds an empty log. If that fails the log is simply read again.
        let _ = self.log.cut(self.conn);
    }

    /// The disk failed. The process is told to end before anybody hears anything; if it lives on, nothing is known of the group.
    fn stop(&self, unanswered: Unanswered, requests: &Receiver<Request>) {
        let Unanswered { message, group } = unanswered;
        (self.settings.on_fatal)(&message);
        for request in group {
            let _ = request.reply.send(Err(StoreError::Unknown(message.clone())));
        }
        for request in requests.try_iter() {
            let _ = request.reply.send(Err(StoreError::Unavailable(format!("the store has stopped: {message}"))));
        }
    }

    /// Commits a group, setting offenders apart. An error is fatal.
    fn commit_group(&mut self, mut group: Vec<Request>) -> Result<(), Unanswered> {
        let mut offenders = 0;
        while !group.is_empty() {
            // One by one after too many offenders: a group that has to be undone for each of many would never end.
            let rest = if offenders > OFFENDERS_MAX { group.split_off(1) } else { Vec::new() };
            match self.attempt(&group) {
                Ok(answers) => {
                    for (request, answer) in group.drain(..).zip(answers) {
                        // Who asked may have gone; it is on disk all the same.
                        let _ = request.reply.send(answer);
                    }
                }
                Err((at, Failure::Offender(e))) => {
                    offenders += 1;
                    let _ = group.remove(at).reply.send(Err(e));
                }
                Err((_, Failure::Unavailable(message))) => {
                    for request in group.drain(..) {
                        let _ = request.reply.send(Err(StoreError::Unavailable(message.clone())));
                    }
                }
                Err((_, Failure::Fatal(message))) => {
                    group.extend(rest);
                    return Err(Unanswered { message, group });
                }
            }
            group.extend(rest);
        }
        Ok(())
    }

    /// Writes a whole group and commits it, or undoes it and tells which write was at fault.
    fn attempt(&mut self, group: &[Request]) -> Result<Vec<Result<Answer, StoreError>>, (usize, Failure)> {
        let mut staged = Staged {
            tail: self.tail.clone(),
            known: KnownByKey::default(),
            tally: BTreeMap::new(),
            keys: HashSet::new(),
            stored_keys: Vec::new(),
            erased: Vec::new(),
        };
        let mut answers = Vec::with_capacity(group.len());
        let mut failed = self.sql.begin.raw_execute().map(|_| ()).map_err(|e| (0, Failure::from(e))).err();
        if failed.is_none() {
            for (at, request) in group.iter().enumerate() {
                match self.write(&mut staged, &request.op) {
                    Ok(answer) => answers.push(answer),
                    Err(failure) => {
                        failed = Some((at, failure));
                        break;
                    }
                }
            }
        }
        if failed.is_none() {
            failed = self.finish(&staged).map_err(|failure| (0, failure)).err();
        }
        if let Some((at, failure)) = failed {
            // Some failures have undone the transaction already.
            if !self.conn.is_autocommit() {
                self.conn
                    .execute_batch("ROLLBACK")
                    .map_err(|e| (at, Failure::Fatal(format!("a group could not be undone: {e}"))))?;
            }
            return Err((at, failure));
        }
        self.put_in_place(staged);
        Ok(answers)
    }

    /// One write of a group. The inner result is the answer; an outer error undoes the group.
    fn write(&mut self, staged: &mut Staged, op: &Op) -> Result<Result<Answer, StoreError>, Failure> {
        if op.keys().any(|key| key.is_destroyed()) {
            return Ok(Err(StoreError::Unavailable("the subject was erased while this was on its way; send it again".into())));
        }
        match op {
            Op::Accept { rows, cursor } => self.accept(staged, rows, cursor.as_ref()).map(Ok),
            Op::Commit(transition) => self.transition(staged, transition),
            Op::WasCommitted { process, transition } => {
                self.was_committed(staged, process, *transition).map(|found| Ok(Answer::Found(found)))
            }
            Op::Lease { node, now } => self.lease(staged, node, *now).map(Ok),
            Op::SetCursor(write) => self.set_cursor(write).map(|()| Ok(Answer::Done)),
            Op::PutPin { hash, body } => self.put_pin(hash, body).map(|()| Ok(Answer::Done)),
            Op::Audit { at, actor, action } => self.audit(staged, *at, actor, action).map(|()| Ok(Answer::Done)),
            Op::Erase { at, actor, subject } => self.erase(staged, *at, actor, subject).map(Ok),
            Op::Sweep { now, folded_before, limit } => self.sweep(*now, *folded_before, *limit).map(Ok),
        }
    }

    /// What a group changes once, then the commit itself.
    fn finish(&mut self, staged: &Staged) -> Result<(), Failure> {
        for ([kind, status, stage], change) in &staged.tally {
            if *change != 0 && self.sql.update_tally.execute((kind, status, stage, change))? == 0 {
                self.sql.insert_tally.execute((kind, status, stage, change))?;
            }
        }
        match self.sql.commit.raw_execute() {
            Ok(_) => Ok(()),
            // A disk that is full refused the log's next pages: nothing of the group counts, and the log is as it was.
            Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => Err(Failure::Unavailable(e.to_string())),
            Err(e) => Err(Failure::Fatal(format!("a commit failed: {e}"))),
        }
    }

    fn put_in_place(&mut self, staged: Staged) {
        self.tail = staged.tail;
        if self.known.len() + staged.known.len() > CACHED {
            self.known.clear();
        }
        for (process, known) in staged.known {
            if known.has_ended() {
                self.known.remove(&process);
            } else {
                self.known.insert(process, known);
            }
        }
        for key in staged.stored_keys {
            key.set_stored();
        }
        for subject in staged.erased {
            // Again, now that the row is gone: a reader may have cached it meanwhile.
            self.vault.keys.destroy(&subject);
            // The log still holds the wrapped key. If it cannot be cut now, the next checkpoint does it.
            self.log.cut_soon();
        }
    }

    /// What is known of a process, by this group, earlier groups, or the disk. `None`: nobody has heard of it.
    fn find(&mut self, staged: &Staged, process: &ProcessKey) -> Result<Option<Known>, Failure> {
        if let Some(known) = staged.known.get(process).or_else(|| self.known.get(process)) {
            return Ok(Some(known.clone()));
        }
        let found = self
            .sql
            .find_process
            .query_row((&process.kind, &process.key), |row| {
                Ok(Known {
                    no: row.get(0)?,
                    version: row.get::<_, Option<i64>>(1)?.map_or(0, i64::cast_unsigned),
                    journal: row.get::<_, Option<i64>>(2)?.unwrap_or(0),
                    payload: row.get::<_, Option<i64>>(3)?.unwrap_or(0),
                    status: row.get::<_, Option<Arc<str>>>(4)?.unwrap_or_default(),
                    stage: row.get::<_, Option<Arc<str>>>(5)?.unwrap_or_default(),
                    effects: row.get::<_, Option<Arc<[u8]>>>(6)?.unwrap_or_default(),
                    told: 0,
                })
            })
            .optional()?;
        Ok(found)
    }

    /// Writes the row of a key that is used for the first time.
    fn keep_key(&mut self, staged: &mut Staged, key: &Arc<SubjectKey>) -> Result<(), Failure> {
        if key.is_fresh() && staged.keys.insert(key.no) {
            self.sql.insert_key.execute((key.no.cast_signed(), &key.subject, &key.wrapped))?;
            staged.stored_keys.push(Arc::clone(key));
        }
        Ok(())
    }
}
