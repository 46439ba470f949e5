//! The one task of this node that writes. It takes all that waits and commits it together, a statement a table: what comes in during
//! one commit is the next group.
//!
//! Three steps a group, each sent whole before any answer is waited for: what must be locked, drawn and looked up; the rows; the
//! commit. Between the first two the group is worked out in memory (`stage`), and what is refused there by its version or epoch costs
//! the others nothing. A group that the database refuses is undone and run again in halves, down to the one at fault.
//!
//! **No stale node commits anything.** The first step locks the lease rows of the partitions of all its transitions (`FOR NO KEY
//! UPDATE`) and reads their epochs with the lock; taking a lease updates the same rows. Both need the same row lock, and hold it to
//! their end, so one comes wholly before the other. If the group was first, the taker waits until its commit is done, and what was
//! committed was committed by the owner. If the taker was first, the group waits, and at READ COMMITTED a row that was waited for is
//! read in its newest version: it finds the new epoch and refuses. Between check and commit nothing can come in between, however long
//! the node was paused there; and when the server gives it up meanwhile (`idle_in_transaction_session_timeout`), its commit fails. The
//! same lock gives out the partition's offsets and the places in its audit chain, so they have no gap and no fork.

mod alone;
mod batch;
mod finish;
mod stage;
mod statements;

use super::{
    clock,
    dial::{Dial, Role},
    error::{Failure, text},
    pool::{Erasures, Values},
};
use crate::{
    ProcessKey, StoreError,
    request::{Answer, Op, Request},
};
use stage::{Found, Known, Questions, Stage, Tail};
use statements::Statements;
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};
use tokio_postgres::{Client, Row};

/// Writes that share a commit. More would make the first wait for the last.
const GROUP_MAX: usize = 1_024;

/// Bodies that share a commit, in bytes; one larger than this goes alone.
const GROUP_BYTES: usize = 16 << 20;

/// Said before a commit: one that waits for a standby must not be cut short, the server would answer as if it were done.
const UNTIL_DONE: &str = "SET LOCAL statement_timeout = 0";

/// How often a group is run again because another node was quicker.
const RACES_MAX: usize = 5;

/// Rows of one piece of the journal, as a power of two; see `journal_piece`.
const PIECE_BITS: u32 = 22;

pub(super) struct Settings {
    pub(super) payload_retention: Option<crossdock_canonical::Duration>,
    pub(super) answer_within: Duration,
    pub(super) commit_within: Duration,
    /// This store's rows of the tally.
    pub(super) shard: i16,
}

/// How many audit rows the hub wrote of its own, and the last of them.
#[derive(Clone, Copy, Default)]
pub(super) struct OwnRows {
    pub(super) count: u64,
    pub(super) last: i64,
}

impl OwnRows {
    pub(super) const SQL: &str = "SELECT value FROM meta WHERE name = 'own_rows'";

    pub(super) fn read(bytes: &[u8]) -> Self {
        match bytes.as_chunks::<8>().0 {
            [count, last] => Self { count: u64::from_le_bytes(*count), last: i64::from_le_bytes(*last) },
            _ => Self::default(),
        }
    }

    fn bytes(self) -> Vec<u8> {
        [self.count.to_le_bytes(), self.last.to_le_bytes()].concat()
    }
}

/// A connection and what was prepared on it.
struct Link {
    client: Client,
    sql: Statements,
}

pub(super) struct Writer {
    dial: Arc<Dial>,
    erasures: Arc<Erasures>,
    settings: Settings,
    /// Told when messages were stored, so that other nodes hear of it.
    stored: Arc<Notify>,
    /// `None` while there is none; the next group makes one.
    link: Option<Link>,
    /// The newest piece of the journal that is known to be there.
    piece: i64,
    /// Fewer than `GROUP_MAX` after a group was too slow: one that can never be in time would be tried for ever.
    group_max: usize,
}

impl Writer {
    pub(super) fn new(dial: Arc<Dial>, erasures: Arc<Erasures>, settings: Settings, stored: Arc<Notify>) -> Self {
        Self { dial, erasures, settings, stored, link: None, piece: 0, group_max: GROUP_MAX }
    }

    /// Runs until every sender is gone.
    pub(super) async fn serve(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut waiting = Vec::with_capacity(GROUP_MAX);
        while requests.recv_many(&mut waiting, GROUP_MAX).await > 0 {
            let mut rest = std::mem::take(&mut waiting);
            while !rest.is_empty() {
                let after = rest.split_off(first_group(&rest, self.group_max));
                self.commit_group(std::mem::replace(&mut rest, after)).await;
            }
        }
    }

    /// Commits a group, setting offenders apart.
    async fn commit_group(&mut self, group: Vec<Request>) {
        // What is still to be done, the next on top.
        let mut groups = vec![group];
        let mut races = 0;
        while let Some(mut group) = groups.pop() {
            match self.attempt(&group).await {
                Ok(answers) => {
                    races = 0;
                    for (request, answer) in group.into_iter().zip(answers) {
                        // Who asked may have gone; what was written stays written.
                        let _ = request.reply.send(answer);
                    }
                }
                Err(Failure::Offender(e)) if group.len() == 1 => answer_all(group, &e),
                Err(Failure::Offender(_)) => {
                    let second = group.split_off(group.len() / 2);
                    groups.extend([second, group]);
                }
                Err(Failure::Raced(reason)) if races == RACES_MAX => answer_all(group, &StoreError::Unavailable(reason)),
                Err(Failure::Raced(_)) => {
                    races += 1;
                    groups.push(group);
                }
                Err(Failure::Unavailable(reason)) => answer_all(group, &StoreError::Unavailable(reason)),
                Err(Failure::Unknown(reason)) => answer_all(group, &StoreError::Unknown(reason)),
            }
        }
    }

    /// Writes a whole group and commits it, or undoes it.
    async fn attempt(&mut self, group: &[Request]) -> Result<Vec<Result<Answer, StoreError>>, Failure> {
        let start = clock::now();
        let link = match self.link.take() {
            Some(link) if !link.client.is_closed() => link,
            Some(_) | None => timeout(self.settings.answer_within, self.connect()).await.map_err(|_| self.slow())??,
        };
        let left = self.settings.answer_within.saturating_sub(start.elapsed());
        let written = match timeout(left, self.write(&link, group)).await {
            Ok(Ok(written)) => written,
            Ok(Err(failure)) => {
                // Undone by the server at once when it can be told, and with the connection when not.
                if let Failure::Unavailable(_) = failure {
                    self.lower(group.len());
                } else if let Ok(Ok(())) = timeout(left, link.client.batch_execute("ROLLBACK")).await {
                    self.link = Some(link);
                }
                return Err(failure);
            }
            Err(_) => {
                self.lower(group.len());
                return Err(self.slow());
            }
        };
        self.group_max = (self.group_max * 2).min(GROUP_MAX);
        match timeout(self.settings.commit_within, link.client.batch_execute("COMMIT")).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(Failure::at_commit(e)),
            Err(_) => {
                return Err(Failure::Unknown(format!("the commit took more than {:?}", self.settings.commit_within)));
            }
        }
        self.link = Some(link);
        written.keys.iter().for_each(|key| key.set_stored());
        if let Some((no, subject)) = written.erased {
            // Again, now that it is on disk: a reader may have cached it meanwhile.
            self.erasures.heed_one(no, &subject);
        }
        if written.messages {
            self.stored.notify_one();
        }
        if let Some(seq) = written.seq {
            self.make_piece(seq).await;
        }
        Ok(written.answers)
    }

    async fn connect(&self) -> Result<Link, Failure> {
        let client = self.dial.client(Role::Writer).await.map_err(Failure::Unavailable)?;
        let sql = Statements::prepare(&client).await.map_err(|e| Failure::Unavailable(text(&e)))?;
        Ok(Link { client, sql })
    }

    fn lower(&mut self, tried: usize) {
        self.group_max = (self.group_max.min(tried) / 2).max(1);
    }

    /// No answer in time. The connection is given up, and with it whatever still runs on it.
    fn slow(&self) -> Failure {
        let reason = format!("the database did not answer within {:?}", self.settings.answer_within);
        Failure::Unavailable(self.dial.shut(reason))
    }

    /// All of a group but its commit.
    async fn write(&self, link: &Link, group: &[Request]) -> Result<Written, Failure> {
        match group {
            [Request { op, .. }] if !is_grouped(op) => {
                let written = self.alone(link, op).await?;
                link.client.batch_execute(UNTIL_DONE).await?;
                Ok(written)
            }
            _ => {
                let questions = Questions::of(group);
                let found = self.look_up(link, &questions).await?;
                let mut stage = Stage::new(found, self.settings.payload_retention);
                let mut answers = Vec::with_capacity(group.len());
                for request in group {
                    answers.push(stage.write(&request.op)?);
                }
                self.finish(link, stage, answers).await
            }
        }
    }

    /// Begins a transaction: locks, draws and looks up what a group needs.
    async fn look_up(&self, link: &Link, questions: &Questions<'_>) -> Result<Found, Failure> {
        let Link { client, sql } = link;
        let seen = self.erasures.seen();
        let [inbox, journal, payloads] = questions.numbers;
        let partitions = &questions.partitions;
        let (seen, drawn): (Values<'_>, Values<'_>) = (&[&seen], &[&inbox, &journal, &payloads]);
        let (leases, kinds_keys): (Values<'_>, Values<'_>) = (&[partitions], &[&questions.kinds, &questions.keys]);
        let ids: Values<'_> = &[&questions.sources, &questions.ids];
        // In this order: erasures are read when none can be under way any more, processes when their partitions are locked.
        let cursors: Values<'_> = &[&questions.cursors];
        let (begun, floor, erased, tails, numbers, processes, dedups, cursors, own) = tokio::join!(
            biased;
            client.batch_execute("BEGIN"),
            client.query(&sql.group_begin, &[]),
            client.query(&sql.erasures, seen),
            some(!partitions.is_empty(), client.query(&sql.lock_leases, leases)),
            client.query(&sql.draw, drawn),
            some(!questions.kinds.is_empty(), client.query(&sql.find_processes, kinds_keys)),
            some(!questions.ids.is_empty(), client.query(&sql.find_dedups, ids)),
            some(!questions.cursors.is_empty(), client.query(&sql.find_cursors, cursors)),
            some(questions.audits, client.query(&sql.own_rows, &[])),
        );
        begun?;
        floor?;
        self.erasures.heed(&erased?).map_err(Failure::Offender)?;
        let mut found = Found::default();
        for row in &tails? {
            found.tails.insert(row.try_get(0)?, Tail::read(row).map_err(Failure::Offender)?);
        }
        for row in &numbers? {
            found.draw([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?]);
        }
        for row in &processes? {
            let process = questions.process(row.try_get(0)?);
            found.known.insert(ProcessKey::clone(process), Known::read(row).map_err(Failure::Offender)?);
        }
        for row in &dedups? {
            found.seen.insert(questions.message(row.try_get(0)?), row.try_get(1)?);
        }
        for row in &cursors? {
            found.cursors.insert(row.try_get(0)?, row.try_get(1)?);
        }
        if let Some(row) = own?.first() {
            found.own = OwnRows::read(row.try_get(0)?);
        }
        Ok(found)
    }

    /// Makes the next piece of the journal when the newest one is begun. If it cannot be made now, the next group tries again: there
    /// are millions of rows to go.
    async fn make_piece(&mut self, seq: i64) {
        let next = (seq >> PIECE_BITS) + 1;
        if next <= self.piece {
            return;
        }
        if let Some(link) = &self.link
            && let Ok(Ok(_)) = timeout(self.settings.answer_within, link.client.query(&link.sql.journal_piece, &[&next])).await
        {
            self.piece = next;
        }
    }
}

/// What a group wrote.
#[derive(Default)]
struct Written {
    answers: Vec<Result<Answer, StoreError>>,
    keys: Vec<Arc<crate::vault::SubjectKey>>,
    /// Number and subject.
    erased: Option<(i64, String)>,
    messages: bool,
    /// The last journal row.
    seq: Option<i64>,
}

/// Asks only where there is something to ask.
async fn some(
    wanted: bool,
    asked: impl Future<Output = Result<Vec<Row>, tokio_postgres::Error>>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    if wanted { asked.await } else { Ok(Vec::new()) }
}

fn is_grouped(op: &Op) -> bool {
    match op {
        Op::Accept { .. } | Op::Commit(_) | Op::SetCursor(_) | Op::PutPin { .. } | Op::Audit { .. } => true,
        Op::WasCommitted { .. } | Op::Lease { .. } | Op::Erase { .. } | Op::Sweep { .. } => false,
    }
}

/// How many of what waits make the next group. A statement writes a row once, so a second transition of a process begins another.
fn first_group(waiting: &[Request], most: usize) -> usize {
    let (mut processes, mut bytes) = (HashSet::new(), 0);
    let together = waiting.iter().take(most).take_while(|request| {
        bytes += request.op.bytes();
        is_grouped(&request.op)
            && bytes <= GROUP_BYTES
            && match &request.op {
                Op::Commit(transition) => processes.insert(&transition.plain.process),
                _ => true,
            }
    });
    together.count().max(1)
}

fn answer_all(group: Vec<Request>, error: &StoreError) {
    for request in group {
        let _ = request.reply.send(Err(error.clone()));
    }
}
