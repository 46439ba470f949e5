//! The maps, and what the engine reads of them. Ordered maps wherever an order can be seen.

use crate::{
    Accepted, Addressee, Committed, DueEffect, DueTimer, EffectRow, EffectState, ExceptionRow, IdentityRow, InboxId, InboxRow,
    Intake, Lease, Loaded, Membership, NodeRow, NodeTurn, Owner, PARTITIONS, Partitions, PayloadHash, ProcessKey, ProcessRow,
    Release, Taking, TransitionId,
    audit::{self, Deed},
};
use crossdock_canonical::{SystemName, Timestamp};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

/// Transitions remembered of each process, for lost replies.
const LOOK_BACK: usize = 64;

pub(super) struct State {
    /// The last number of inbox rows and processes.
    pub(super) no: i64,
    pub(super) keys: HashMap<ProcessKey, i64>,
    pub(super) processes: BTreeMap<i64, Process>,
    pub(super) pending: BTreeMap<InboxId, InboxRow>,
    pub(super) dedup: HashMap<(SystemName, Arc<str>), InboxId>,
    /// `(class, due, process, effect)` by system.
    pub(super) due_effects: BTreeMap<SystemName, BTreeSet<(u8, Timestamp, i64, u32)>>,
    pub(super) due_timers: BTreeSet<(Timestamp, i64, Arc<str>)>,
    /// Whose they are.
    pub(super) identities: BTreeMap<Identity, i64>,
    pub(super) payloads: HashMap<(i64, PayloadHash), Archived>,
    /// Subjects that something was stored of.
    pub(super) subjects: HashSet<Arc<str>>,
    pub(super) cursors: HashMap<Arc<str>, Vec<u8>>,
    pub(super) pins: HashMap<String, Vec<u8>>,
    pub(super) journal: Vec<Link>,
    pub(super) heads: Vec<audit::Link>,
    pub(super) offsets: Vec<u64>,
    pub(super) epochs: Vec<u64>,
    owners: Vec<Arc<str>>,
    /// Pending effects written under an epoch below this may have been sent by an owner that could not say so.
    doubt_before: Vec<u64>,
    /// Several nodes take turns; else it is not told which effects are in doubt, as by the embedded store.
    shared: bool,
    nodes: BTreeMap<Arc<str>, NodeRow>,
    own_rows: u64,
}

/// A payload, after its subject.
type Archived = (Arc<str>, Arc<[u8]>);

/// `(system, kind, theirs)`.
pub(super) type Identity = (SystemName, Arc<str>, Arc<str>);

pub(super) struct Process {
    pub(super) key: ProcessKey,
    pub(super) version: u64,
    pub(super) row: ProcessRow,
    pub(super) updated_at: Timestamp,
    pub(super) effects: BTreeMap<u32, EffectRow>,
    /// Under which epoch each was written last.
    pub(super) effect_epochs: BTreeMap<u32, u64>,
    pub(super) timers: BTreeMap<Arc<str>, Timestamp>,
    pub(super) exceptions: BTreeMap<Arc<str>, ExceptionRow>,
    /// What it is called: ours, by the system's name.
    pub(super) identities: BTreeMap<Identity, Arc<str>>,
    /// Its rows of the journal.
    pub(super) journal: Vec<usize>,
    pub(super) commits: VecDeque<(TransitionId, Committed)>,
}

impl Process {
    fn identities(&self) -> Vec<IdentityRow> {
        let rows = self.identities.iter().map(|((system, kind, theirs), ours)| IdentityRow {
            system: system.clone(),
            kind: Arc::clone(kind),
            ours: Arc::clone(ours),
            theirs: Arc::clone(theirs),
        });
        rows.collect()
    }
}

/// One row of journal and audit.
pub(super) struct Link {
    pub(super) partition: u16,
    pub(super) offset: Option<u64>,
    pub(super) process: Option<ProcessKey>,
    pub(super) version: u64,
    pub(super) at: Timestamp,
    pub(super) actor: Arc<str>,
    pub(super) action: Arc<str>,
    pub(super) record: Option<Arc<[u8]>>,
    pub(super) hash: audit::Link,
}

impl Link {
    pub(super) fn deed(&self) -> Deed<'_> {
        Deed {
            partition: self.partition,
            offset: self.offset,
            process: self.process.as_ref(),
            version: self.version,
            at: self.at,
            actor: &self.actor,
            action: &self.action,
            record: self.record.as_ref().map(|record| Sha256::digest(record).into()),
        }
    }
}

/// What became of a message.
pub(super) enum Taken {
    Stored(InboxId),
    Seen(Option<InboxId>),
}

impl From<Taken> for Accepted {
    fn from(taken: Taken) -> Self {
        match taken {
            Taken::Stored(id) => Self::Stored(id),
            Taken::Seen(_) => Self::Duplicate,
        }
    }
}

impl Default for State {
    fn default() -> Self {
        let all = usize::from(PARTITIONS);
        Self {
            no: 0,
            keys: HashMap::new(),
            processes: BTreeMap::new(),
            pending: BTreeMap::new(),
            dedup: HashMap::new(),
            due_effects: BTreeMap::new(),
            due_timers: BTreeSet::new(),
            identities: BTreeMap::new(),
            payloads: HashMap::new(),
            subjects: HashSet::new(),
            cursors: HashMap::new(),
            pins: HashMap::new(),
            journal: Vec::new(),
            heads: vec![audit::GENESIS; all],
            offsets: vec![0; all],
            epochs: vec![0; all],
            owners: vec![Arc::from(""); all],
            doubt_before: vec![0; all],
            shared: false,
            nodes: BTreeMap::new(),
            own_rows: 0,
        }
    }
}

impl State {
    pub(super) fn take(&mut self, intake: Intake) -> Taken {
        let id = InboxId(self.no + 1);
        if let Some(message) = &intake.message_id {
            let message = (intake.source.clone(), Arc::clone(message));
            if let Some(seen) = self.dedup.get(&message) {
                return Taken::Seen(Some(*seen));
            }
            self.dedup.insert(message, id);
        }
        if let (true, Addressee::Process(process)) = (intake.starts, &intake.to) {
            if self.keys.contains_key(process) {
                return Taken::Seen(None);
            }
            self.keys.insert(process.clone(), id.0);
        }
        self.no = id.0;
        self.subjects.insert(Arc::clone(&intake.subject));
        let Intake { to, source, message_id, kind, actor, body, subject, at, starts: _ } = intake;
        self.pending.insert(id, InboxRow { id, to, source, message_id, kind, actor, body, subject, at });
        Taken::Stored(id)
    }

    pub(super) fn lease(&mut self) -> Vec<Lease> {
        (0..PARTITIONS)
            .zip(&mut self.epochs)
            .map(|(partition, epoch)| {
                *epoch += 1;
                Lease { partition, epoch: *epoch }
            })
            .collect()
    }

    pub(super) fn turn(&mut self, turn: NodeTurn) -> Membership {
        for (node, beat) in turn.forget {
            if !self.owners.contains(&node) && self.nodes.get(&node).is_some_and(|row| row.beat == beat) {
                self.nodes.remove(&node);
            }
        }
        let beat = self.nodes.get(&turn.node).map_or(1, |row| row.beat + 1);
        let row = NodeRow { node: turn.node.clone(), beat, seen_at: turn.at, about: turn.about };
        self.nodes.insert(turn.node.clone(), row);
        self.shared = true;
        for Release { lease: Lease { partition, epoch }, clean } in turn.release {
            let at = usize::from(partition);
            if self.owners[at] == turn.node && self.epochs[at] == epoch {
                self.owners[at] = Arc::from("");
                self.doubt_before[at] = if clean { self.doubt_before[at] } else { epoch + 1 };
            }
        }
        for Taking { partition, epoch, gone } in turn.take {
            let (at, owner) = (usize::from(partition), &self.owners[usize::from(partition)]);
            let free = match &gone {
                None => owner.is_empty(),
                Some((node, beat)) => owner == node && self.nodes.get(node).is_none_or(|row| row.beat == *beat),
            };
            if free && self.epochs[at] == epoch {
                self.epochs[at] += 1;
                if gone.is_some() {
                    self.doubt_before[at] = self.epochs[at];
                }
                self.owners[at] = turn.node.clone();
            }
        }
        if turn.leaves {
            self.nodes.remove(&turn.node);
            for (at, owner) in self.owners.iter_mut().enumerate().filter(|(_, owner)| **owner == turn.node) {
                *owner = Arc::from("");
                self.doubt_before[at] = self.epochs[at] + 1;
            }
        }
        let owners = (0..PARTITIONS).zip(&self.epochs).zip(&self.owners);
        Membership {
            nodes: self.nodes.values().cloned().collect(),
            owners: owners
                .map(|((partition, epoch), node)| Owner { lease: Lease { partition, epoch: *epoch }, node: node.clone() })
                .collect(),
        }
    }

    pub(super) fn find(&self, process: &ProcessKey) -> Option<(i64, &Process)> {
        let no = *self.keys.get(process)?;
        self.processes.get(&no).map(|process| (no, process))
    }

    pub(super) fn load(&self, process: &ProcessKey) -> Option<Loaded> {
        let (no, process) = self.find(process)?;
        let document = process.row.document.and_then(|hash| self.payloads.get(&(no, hash))).map(|(_, bytes)| Arc::clone(bytes));
        let below = self.doubt_before[usize::from(process.key.partition())];
        let doubtful = process.effects.values().filter(|effect| effect.state == EffectState::Pending);
        let doubtful = doubtful.filter(|effect| process.effect_epochs.get(&effect.no).is_none_or(|epoch| *epoch < below));
        Some(Loaded {
            doubtful: self.shared.then(|| doubtful.map(|effect| effect.no).collect()),
            version: process.version,
            row: process.row.clone(),
            document,
            effects: process.effects.values().cloned().collect(),
            timers: process.timers.iter().map(|(name, due)| (Arc::clone(name), *due)).collect(),
            exceptions: process.exceptions.iter().map(|(name, row)| (Arc::clone(name), row.clone())).collect(),
            identities: process.identities(),
        })
    }

    pub(super) fn was_committed(&self, process: &ProcessKey, transition: TransitionId) -> Option<Committed> {
        let (_, process) = self.find(process)?;
        process.commits.iter().find(|(id, _)| *id == transition).map(|(_, committed)| committed.clone())
    }

    pub(super) fn inbox(&self, of: Partitions, after: InboxId, limit: usize) -> Vec<InboxRow> {
        use std::ops::Bound::{Excluded, Unbounded};
        let wanted = |row: &&InboxRow| match &row.to {
            Addressee::Process(process) => of.holds(process),
            Addressee::Theirs { .. } => true,
        };
        self.pending.range((Excluded(after), Unbounded)).map(|(_, row)| row).filter(wanted).take(limit).cloned().collect()
    }

    pub(super) fn due_effects(&self, of: Partitions, system: &str, before: Timestamp, limit: usize) -> Vec<DueEffect> {
        let waiting = self.due_effects.get(system).into_iter().flatten();
        waiting
            .filter(|(_, due, no, _)| *due <= before && of.holds(&self.processes[no].key))
            .take(limit)
            .map(|&(class, due, no, effect)| DueEffect { process: self.processes[&no].key.clone(), no: effect, class, due })
            .collect()
    }

    pub(super) fn due_timers(&self, of: Partitions, before: Timestamp, limit: usize) -> Vec<DueTimer> {
        let due = self.due_timers.iter().take_while(|(due, ..)| *due <= before);
        let due = due.filter(|(_, no, _)| of.holds(&self.processes[no].key)).take(limit);
        due.map(|(due, no, name)| DueTimer { process: self.processes[no].key.clone(), name: Arc::clone(name), due: *due })
            .collect()
    }

    pub(super) fn payload(&self, process: &ProcessKey, hash: &PayloadHash) -> Option<Arc<[u8]>> {
        let no = *self.keys.get(process)?;
        self.payloads.get(&(no, *hash)).map(|(_, bytes)| Arc::clone(bytes))
    }

    pub(super) fn resolve(&self, system: &str, kind: &str, theirs: &str) -> Option<ProcessKey> {
        let no = self.identities.get(&(SystemName::new(system), Arc::from(kind), Arc::from(theirs)))?;
        self.processes.get(no).map(|process| process.key.clone())
    }

    /// Appends a link; its place in the journal. Its offset and hash are given here.
    pub(super) fn append(&mut self, mut link: Link) -> usize {
        let place = usize::from(link.partition);
        if link.record.is_some() {
            self.offsets[place] += 1;
            link.offset = Some(self.offsets[place]);
        }
        link.hash = link.deed().link(&self.heads[place]);
        self.heads[place] = link.hash;
        self.journal.push(link);
        self.journal.len() - 1
    }

    pub(super) fn own_audit(&mut self, at: Timestamp, actor: &str, action: &str) {
        self.own_rows += 1;
        self.append(Link {
            partition: 0,
            offset: None,
            process: None,
            version: self.own_rows,
            at,
            actor: Arc::from(actor),
            action: Arc::from(action),
            record: None,
            hash: audit::GENESIS,
        });
    }

    pub(super) fn erase(&mut self, at: Timestamp, actor: &str, subject: &str) -> bool {
        self.own_audit(at, actor, &format!("erase {subject}"));
        self.payloads.retain(|_, (of, _)| &**of != subject);
        for row in self.pending.values_mut().filter(|row| &*row.subject == subject) {
            row.body = Arc::default();
        }
        self.subjects.remove(subject)
    }

    pub(super) fn remember(commits: &mut VecDeque<(TransitionId, Committed)>, id: TransitionId, committed: &Committed) {
        if commits.len() == LOOK_BACK {
            commits.pop_front();
        }
        commits.push_back((id, committed.clone()));
    }
}
