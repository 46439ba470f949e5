//! A group, worked out in memory: who is refused, who is a duplicate, which rows are to be written. It asks nothing of the database;
//! what it needs was looked up before, with the rows locked that could change.

use super::{
    OwnRows,
    batch::{
        CursorRow, Cursors, Dedup, Dedups, Effect, Effects, Exception, Exceptions, Identities, Identity, Key, Keys, Link, Links,
        Message, Messages, Payload, Payloads, Pin, Pins, Process, ProcessKeyRow, ProcessKeys, Processes, State, States, Timer,
        Timers, Waiting, Waitings,
    },
};
use crate::{
    Accepted, Addressee, Committed, CursorWrite, EffectRow, InboxId, ProcessKey, StoreError, Transition, TransitionId,
    audit::{self, Deed},
    codes::{addressee_columns, compact, dedup_id, priority_code, state_code, told},
    postgres::{
        error::Failure,
        rows::{get, hash, text, unsigned},
    },
    request::{Answer, Op, Request, SealedIntake, SealedTransition},
    vault::SubjectKey,
};
use crossdock_canonical::{Duration, SystemName, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};
use tokio_postgres::Row;

/// A message id as it is remembered.
pub(super) type Seen = (SystemName, Vec<u8>);

/// What a group has to have looked up.
#[derive(Default)]
pub(super) struct Questions<'g> {
    pub(super) partitions: Vec<i16>,
    /// How many numbers at most: of messages and processes, of journal rows, of payloads.
    pub(super) numbers: [i64; 3],
    pub(super) kinds: Vec<&'g str>,
    pub(super) keys: Vec<&'g str>,
    processes: Vec<&'g ProcessKey>,
    pub(super) sources: Vec<&'g str>,
    pub(super) ids: Vec<Vec<u8>>,
    messages: Vec<&'g SystemName>,
    pub(super) audits: bool,
    /// Cursors that are written only if nobody moved them.
    pub(super) cursors: Vec<&'g str>,
}

impl<'g> Questions<'g> {
    pub(super) fn of(group: &'g [Request]) -> Self {
        let mut asked = Self::default();
        let (mut partitions, mut processes, mut messages) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        let mut writes: Vec<&CursorWrite> = Vec::new();
        for request in group {
            match &request.op {
                Op::Accept { rows, cursor } => {
                    messages.extend(rows);
                    writes.extend(cursor);
                }
                Op::SetCursor(write) => writes.push(write),
                Op::Commit(sealed) => {
                    partitions.insert(i16::try_from(sealed.partition).unwrap_or(i16::MAX));
                    processes.insert(&sealed.plain.process);
                    messages.extend(&sealed.messages);
                    // One for itself, when no message began it.
                    asked.numbers[0] += 1;
                    asked.numbers[1] += 1;
                    asked.numbers[2] += sealed.payloads.len() as i64;
                }
                Op::Audit { .. } => {
                    partitions.insert(0);
                    asked.audits = true;
                    asked.numbers[1] += 1;
                }
                _ => {}
            }
        }
        asked.numbers[0] += messages.len() as i64;
        for SealedIntake { intake, .. } in messages {
            if let (true, Addressee::Process(process)) = (intake.starts, &intake.to) {
                processes.insert(process);
            }
            if let Some(id) = &intake.message_id {
                asked.sources.push(intake.source.as_str());
                asked.ids.push(dedup_id(id));
                asked.messages.push(&intake.source);
            }
        }
        if writes.iter().any(|write| write.seen.is_some()) {
            // All that it writes, in one order, so that two groups never wait for each other crosswise.
            asked.cursors = writes.iter().map(|write| &*write.name).collect::<BTreeSet<_>>().into_iter().collect();
        }
        asked.partitions = partitions.into_iter().collect();
        for process in processes {
            asked.kinds.push(&process.kind);
            asked.keys.push(&process.key);
            asked.processes.push(process);
        }
        asked
    }

    /// By its place in the answer, counted from 1.
    pub(super) fn process(&self, place: i64) -> &'g ProcessKey {
        self.processes[usize::try_from(place - 1).unwrap_or(0)]
    }

    pub(super) fn message(&self, place: i64) -> Seen {
        let at = usize::try_from(place - 1).unwrap_or(0);
        (self.messages[at].clone(), self.ids[at].clone())
    }
}

/// Where a partition's journal and audit chain stand.
pub(super) struct Tail {
    pub(super) epoch: i64,
    pub(super) offset: i64,
    pub(super) head: audit::Link,
    pub(super) moved: bool,
}

impl Tail {
    /// From `partition, epoch, "offset", head`.
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { epoch: get(row, 1)?, offset: get(row, 2)?, head: hash(row, 3)?, moved: false })
    }
}

/// What is known of a process.
#[derive(Clone, Default)]
pub(super) struct Known {
    no: i64,
    /// 0: its key is taken, its first transition has not come.
    version: u64,
    /// Its last journal row and payload.
    journal: i64,
    payload: i64,
    told: i64,
    status: Arc<str>,
    stage: Arc<str>,
}

impl Known {
    /// From `place, no, version, journal, payload, told, status, stage`.
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        let no = get(row, 1)?;
        if get::<Option<i64>>(row, 2)?.is_none() {
            return Ok(Self { no, ..Self::default() });
        }
        Ok(Self {
            no,
            version: unsigned(row, 2)?,
            journal: get(row, 3)?,
            payload: get(row, 4)?,
            told: get(row, 5)?,
            status: text(row, 6)?,
            stage: text(row, 7)?,
        })
    }
}

/// The answers to a group's questions; changed by each of its writes as the database will be.
#[derive(Default)]
pub(super) struct Found {
    pub(super) tails: HashMap<i16, Tail>,
    pub(super) known: HashMap<ProcessKey, Known>,
    /// Message ids taken, with the number of the first message.
    pub(super) seen: HashMap<Seen, i64>,
    pub(super) own: OwnRows,
    pub(super) cursors: HashMap<String, Vec<u8>>,
    /// Lowest last.
    numbers: [Vec<i64>; 3],
}

impl Found {
    pub(super) fn draw(&mut self, mut numbers: [Vec<i64>; 3]) {
        numbers.iter_mut().for_each(|numbers| numbers.reverse());
        self.numbers = numbers;
    }

    fn number(&mut self, of: usize) -> Result<i64, Failure> {
        self.numbers[of].pop().ok_or_else(|| Failure::Offender(StoreError::Damaged("too few numbers were drawn".into())))
    }
}

const INBOX: usize = 0;
const JOURNAL: usize = 1;
const PAYLOAD: usize = 2;

/// The rows of a group.
#[derive(Default)]
pub(super) struct Rows<'g> {
    pub(super) keys: Keys<'g>,
    pub(super) dedups: Dedups<'g>,
    pub(super) process_keys: ProcessKeys<'g>,
    pub(super) settled: Vec<i64>,
    pub(super) processes: Processes<'g>,
    pub(super) states: States<'g>,
    pub(super) moved_states: States<'g>,
    pub(super) payloads: Payloads<'g>,
    pub(super) effects: Effects<'g>,
    pub(super) timers: Timers<'g>,
    pub(super) cancelled_timers: (Vec<i64>, Vec<&'g str>),
    pub(super) exceptions: Exceptions<'g>,
    pub(super) closed_exceptions: (Vec<i64>, Vec<&'g str>),
    pub(super) identities: Identities<'g>,
    pub(super) messages: Messages<'g>,
    pub(super) waitings: Waitings,
    pub(super) links: Links<'g>,
    pub(super) cursors: BTreeMap<&'g str, &'g [u8]>,
    pub(super) pins: Pins<'g>,
}

impl<'g> Rows<'g> {
    pub(super) fn cursors(&self) -> Cursors<'g> {
        let mut batch = Cursors::default();
        self.cursors.iter().for_each(|(name, body)| batch.push(CursorRow { name, body }));
        batch
    }
}

pub(super) struct Stage<'g> {
    pub(super) found: Found,
    pub(super) rows: Rows<'g>,
    pub(super) stored_keys: Vec<Arc<SubjectKey>>,
    /// By kind, status and stage.
    pub(super) tally: BTreeMap<[Arc<str>; 3], i64>,
    pub(super) last_seq: Option<i64>,
    pub(super) audited: bool,
    key_nos: HashSet<u64>,
    settled: HashSet<i64>,
    retention: Option<Duration>,
}

impl<'g> Stage<'g> {
    pub(super) fn new(found: Found, retention: Option<Duration>) -> Self {
        Self {
            found,
            rows: Rows::default(),
            stored_keys: Vec::new(),
            tally: BTreeMap::new(),
            last_seq: None,
            audited: false,
            key_nos: HashSet::new(),
            settled: HashSet::new(),
            retention,
        }
    }

    /// One write of a group. The inner result is its answer; an outer error undoes the group.
    pub(super) fn write(&mut self, op: &'g Op) -> Result<Result<Answer, StoreError>, Failure> {
        if op.keys().any(|key| key.is_destroyed()) {
            return Ok(Err(StoreError::Unavailable("the subject was erased while this was on its way; send it again".into())));
        }
        match op {
            Op::Accept { cursor: Some(cursor), .. } | Op::SetCursor(cursor) if !self.follows(cursor) => {
                Ok(Err(StoreError::Constraint(CursorWrite::MOVED_ON.into())))
            }
            Op::Accept { rows, cursor } => self.accept(rows, cursor.as_ref()).map(Ok),
            Op::Commit(sealed) => self.transition(sealed),
            Op::SetCursor(write) => {
                self.rows.cursors.insert(&write.name, &write.body);
                Ok(Ok(Answer::Done))
            }
            Op::PutPin { hash, body } => {
                self.rows.pins.push(Pin { hash, body });
                Ok(Ok(Answer::Done))
            }
            Op::Audit { at, actor, action } => self.audit(*at, actor, action).map(|()| Ok(Answer::Done)),
            Op::WasCommitted { .. } | Op::Lease { .. } | Op::Erase { .. } | Op::Sweep { .. } => {
                Ok(Err(StoreError::Damaged("what is written alone was put into a group".into())))
            }
        }
    }

    fn follows(&self, write: &CursorWrite) -> bool {
        let stored = self.found.cursors.get(&*write.name).map(Vec::as_slice);
        write.follows(self.rows.cursors.get(&*write.name).copied().or(stored))
    }

    fn accept(&mut self, rows: &'g [SealedIntake], cursor: Option<&'g CursorWrite>) -> Result<Answer, Failure> {
        let mut answers = Vec::with_capacity(rows.len());
        for row in rows {
            answers.push(match self.take(row)? {
                Taken::Stored(id) => Accepted::Stored(id),
                Taken::Seen(_) => Accepted::Duplicate,
            });
        }
        if let Some(cursor) = cursor {
            self.rows.cursors.insert(&cursor.name, &cursor.body);
        }
        Ok(Answer::Accepted(answers))
    }

    fn take(&mut self, row: &'g SealedIntake) -> Result<Taken, Failure> {
        let intake = &row.intake;
        let source = intake.source.as_str();
        let seen = intake.message_id.as_ref().map(|id| (intake.source.clone(), dedup_id(id)));
        // The message id first: a key must never be taken for a message that is then not stored.
        if let Some(first) = seen.as_ref().and_then(|seen| self.found.seen.get(seen)) {
            return Ok(Taken::Seen(Some(InboxId(*first))));
        }
        let id = self.found.number(INBOX)?;
        if let Some(seen) = seen {
            self.rows.dedups.push(Dedup { source, id: seen.1.clone(), inbox: id });
            self.found.seen.insert(seen, id);
        }
        if let (true, Addressee::Process(process)) = (intake.starts, &intake.to) {
            if self.found.known.contains_key(process) {
                return Ok(Taken::Seen(None));
            }
            self.rows.process_keys.push(ProcessKeyRow { kind: &process.kind, key: &process.key, no: id });
            self.found.known.insert(process.clone(), Known { no: id, ..Known::default() });
        }
        self.keep_key(&row.body.key);
        let (to_system, to_kind, to_key) = addressee_columns(&intake.to);
        let partition = match &intake.to {
            Addressee::Process(process) => i16::try_from(process.partition()).ok(),
            Addressee::Theirs { .. } => None,
        };
        self.rows.messages.push(Message {
            id,
            to_system,
            to_kind,
            to_key,
            source,
            message_id: intake.message_id.as_deref(),
            kind: &intake.kind,
            actor: &intake.actor,
            subject: &intake.subject,
            at: intake.at.0,
            body: &row.body.bytes,
        });
        self.rows.waitings.push(Waiting { id, partition });
        Ok(Taken::Stored(InboxId(id)))
    }

    fn transition(&mut self, sealed: &'g SealedTransition) -> Result<Result<Answer, StoreError>, Failure> {
        let plain = &sealed.plain;
        let partition = i16::try_from(sealed.partition).unwrap_or(i16::MAX);
        let epoch = self.found.tails.get(&partition).map_or(0, |tail| tail.epoch.cast_unsigned());
        if plain.epoch != epoch {
            return Ok(Err(StoreError::StaleEpoch { partition: sealed.partition, expected: plain.epoch, found: epoch }));
        }
        let known = self.found.known.get(&plain.process).cloned();
        let version = known.as_ref().map_or(0, |known| known.version);
        if plain.version != version {
            return Ok(Err(StoreError::StaleVersion { process: plain.process.clone(), expected: plain.version, found: version }));
        }
        if let Some(InboxId(id)) = plain.settles {
            if !self.settled.insert(id) {
                return Ok(Err(StoreError::Constraint(format!("inbox row {id} is settled twice"))));
            }
            self.rows.settled.push(id);
        }

        let mut known = match known {
            Some(known) => known,
            None => self.begin(plain)?,
        };
        self.payloads(&mut known, sealed)?;
        let mut messages = Vec::with_capacity(sealed.messages.len());
        for message in &sealed.messages {
            messages.push(match self.take(message)? {
                Taken::Stored(id) => id,
                // Sent before: its row is the first one's. A process that is there already has no row to name.
                Taken::Seen(id) => id.unwrap_or_default(),
            });
        }
        self.effects((known.no, partition, plain.epoch.cast_signed()), &plain.effects)?;
        self.timers_and_exceptions((known.no, partition), plain);
        let named =
            plain.identities.iter().map(|identity| ((identity.system.as_str(), &identity.kind, &identity.theirs), identity));
        for identity in named.collect::<BTreeMap<_, _>>().into_values() {
            self.rows.identities.push(Identity {
                system: identity.system.as_str(),
                kind: &identity.kind,
                theirs: &identity.theirs,
                process_no: known.no,
                ours: &identity.ours,
            });
        }

        let deed = Deed {
            partition: sealed.partition,
            offset: None,
            process: Some(&plain.process),
            version: version + 1,
            at: plain.at,
            actor: &plain.actor,
            action: &plain.action,
            record: sealed.record_hash,
        };
        let place = (known.no, known.journal, plain.id);
        known.journal = self.append(place, deed, &messages, plain.record.as_deref())?;
        self.process(plain, known);
        Ok(Ok(Answer::Committed(Committed { version: version + 1, messages })))
    }

    /// Takes the key of a process that no message has taken.
    fn begin(&mut self, plain: &'g Transition) -> Result<Known, Failure> {
        let no = match plain.settles {
            Some(InboxId(id)) => id,
            None => self.found.number(INBOX)?,
        };
        self.rows.process_keys.push(ProcessKeyRow { kind: &plain.process.kind, key: &plain.process.key, no });
        Ok(Known { no, ..Known::default() })
    }

    fn process(&mut self, plain: &'g Transition, known: Known) {
        let (row, summary) = (&plain.row, &plain.row.summary);
        let told = told(row);
        if known.told != told {
            self.rows.processes.push(Process {
                no: known.no,
                kind: &plain.process.kind,
                key: &plain.process.key,
                logic: row.logic.into(),
                policy: compact(&row.policy),
                subject: &row.subject,
                priority: priority_code(row.priority) as i16,
                opened_at: row.opened_at.0,
                channel: &summary.channel,
                site: &summary.site,
                number: &summary.number,
                market: &summary.market,
                total: &summary.total,
                currency: &summary.currency,
            });
        }
        let states = if known.version == 0 { &mut self.rows.states } else { &mut self.rows.moved_states };
        states.push(State {
            no: known.no,
            version: (known.version + 1).cast_signed(),
            journal: known.journal,
            payload: known.payload,
            told,
            updated_at: plain.at.0,
            schema: row.schema.into(),
            state: &row.state,
            document: row.document.as_ref().map(|hash| &hash.0[..]),
            stage: &summary.stage,
            status: &summary.status,
            waiting_for: &summary.waiting_for,
        });
        if (&known.status, &known.stage) != (&summary.status, &summary.stage) {
            let kind = &plain.process.kind;
            let mut count = |status: &Arc<str>, stage: &Arc<str>, change| {
                *self.tally.entry([kind, status, stage].map(Arc::clone)).or_default() += change;
            };
            count(&summary.status, &summary.stage, 1);
            if known.version > 0 {
                count(&known.status, &known.stage, -1);
            }
        }
        let (status, stage) = (Arc::clone(&summary.status), Arc::clone(&summary.stage));
        let known = Known { version: known.version + 1, status, stage, told, ..known };
        self.found.known.insert(plain.process.clone(), known);
    }

    fn payloads(&mut self, known: &mut Known, sealed: &'g SealedTransition) -> Result<(), Failure> {
        let expires_at = self.retention.map(|kept| (sealed.plain.at + kept).0);
        for (payload, body) in sealed.plain.payloads.iter().zip(&sealed.payloads) {
            if let Some(key) = body.key() {
                self.keep_key(key);
            }
            let id = self.found.number(PAYLOAD)?;
            self.rows.payloads.push(Payload {
                id,
                process_no: known.no,
                prev: known.payload,
                hash: &payload.hash.0[..16],
                expires_at,
                bytes: body.bytes(),
            });
            known.payload = id;
        }
        Ok(())
    }

    fn effects(&mut self, (process_no, partition, epoch): (i64, i16, i64), effects: &'g [EffectRow]) -> Result<(), Failure> {
        let mut last: BTreeMap<u32, &EffectRow> = BTreeMap::new();
        for effect in effects {
            // A statement writes a row once. What is written twice in one transition must follow from itself as from what is stored.
            if let Some(before) = last.insert(effect.no, effect) {
                let same_name = (&before.step, &before.intent) == (&effect.step, &effect.intent);
                let rises =
                    before.generation < effect.generation || before.generation == effect.generation && before.key == effect.key;
                if !same_name || !rises {
                    return Err(Failure::Offender(StoreError::Constraint(format!("effect {} is written twice", effect.no))));
                }
            }
        }
        for effect in last.into_values() {
            self.rows.effects.push(Effect {
                process_no,
                no: effect.no.into(),
                step: &effect.step,
                intent: &effect.intent,
                system: effect.system.as_str(),
                operation: effect.operation.as_str(),
                generation: effect.generation.into(),
                key: compact(&effect.key),
                state: state_code(effect.state) as i16,
                class: effect.class.into(),
                due: effect.due.map(|due| due.0),
                attempts: effect.attempts.into(),
                deadline: effect.deadline.0,
                made_at: effect.made_at.0,
                request: effect.request.as_ref().map(|hash| &hash.0[..]),
                last: &effect.last,
                partition,
                epoch,
            });
        }
        Ok(())
    }

    fn timers_and_exceptions(&mut self, (process_no, partition): (i64, i16), plain: &'g Transition) {
        // The last word on each name counts.
        let timers: BTreeMap<&str, Option<Timestamp>> = plain.timers.iter().map(|(name, due)| (&**name, *due)).collect();
        for (name, due) in timers {
            match due {
                Some(due) => self.rows.timers.push(Timer { process_no, name, due: due.0, partition }),
                None => {
                    self.rows.cancelled_timers.0.push(process_no);
                    self.rows.cancelled_timers.1.push(name);
                }
            }
        }
        let exceptions: BTreeMap<&str, _> = plain.exceptions.iter().map(|(name, row)| (&**name, row.as_ref())).collect();
        for (name, row) in exceptions {
            match row {
                Some(row) => self.rows.exceptions.push(Exception {
                    process_no,
                    name,
                    class: &row.class,
                    step: &row.step,
                    intent: &row.intent,
                    system: &row.system,
                    cause: &row.cause,
                    suggestion: &row.suggestion,
                    since: row.since.0,
                    payload: row.payload.as_deref(),
                }),
                None => {
                    self.rows.closed_exceptions.0.push(process_no);
                    self.rows.closed_exceptions.1.push(name);
                }
            }
        }
    }

    /// A link that belongs to no process: process 0, in the chain of partition 0.
    pub(super) fn audit(&mut self, at: Timestamp, actor: &'g str, action: &'g str) -> Result<(), Failure> {
        let OwnRows { count, last } = self.found.own;
        let deed = Deed { partition: 0, offset: None, process: None, version: count + 1, at, actor, action, record: None };
        let seq = self.append((0, last, TransitionId(0)), deed, &[], None)?;
        self.found.own = OwnRows { count: count + 1, last: seq };
        self.audited = true;
        Ok(())
    }

    /// Appends a row to the journal; its number. The offset of its deed is given here. `place`: its process, the row before it of the
    /// same process, its transition.
    fn append(
        &mut self,
        place: (i64, i64, TransitionId),
        mut deed: Deed<'g>,
        messages: &[InboxId],
        record: Option<&'g [u8]>,
    ) -> Result<i64, Failure> {
        let seq = self.found.number(JOURNAL)?;
        let partition = i16::try_from(deed.partition).unwrap_or(i16::MAX);
        let Some(tail) = self.found.tails.get_mut(&partition) else {
            return Err(Failure::Offender(StoreError::Damaged(format!("partition {partition} has no lease row"))));
        };
        if record.is_some() {
            tail.offset += 1;
            deed.offset = Some(tail.offset.cast_unsigned());
        }
        tail.head = deed.link(&tail.head);
        tail.moved = true;
        let (process_no, prev, transition) = place;
        self.rows.links.push(Link {
            seq,
            process_no,
            version: deed.version.cast_signed(),
            prev,
            partition,
            offset: deed.offset.map(u64::cast_signed),
            at: deed.at.0,
            actor: deed.actor,
            action: deed.action,
            transition: transition.0.cast_signed(),
            messages: (!messages.is_empty()).then(|| messages.iter().flat_map(|id| id.0.to_le_bytes()).collect()),
            record,
            hash: tail.head.to_vec(),
        });
        self.last_seq = Some(seq);
        Ok(seq)
    }

    /// Writes the row of a key that is used for the first time.
    fn keep_key(&mut self, key: &'g Arc<SubjectKey>) {
        if key.is_fresh() && self.key_nos.insert(key.no) {
            self.rows.keys.push(Key { no: key.no.cast_signed(), subject: &key.subject, wrapped: &key.wrapped });
            self.stored_keys.push(Arc::clone(key));
        }
    }
}

/// What became of a message.
enum Taken {
    Stored(InboxId),
    /// Seen before; the row it was stored under then, if it has one.
    Seen(Option<InboxId>),
}
