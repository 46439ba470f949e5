//! The store of simulations: the same promises kept in plain maps, every future ready at once, so that one seed gives one trace.
//!
//! It keeps nothing over a restart of the process and seals nothing; a simulated restart of the hub goes on with the same store.
//! Failures of a commit are injected, see [`Fault`].

mod state;
mod transition;
mod views;

use crate::{
    Accepted, AuditRow, AuditVerdict, Committed, Counts, CursorWrite, DueEffect, DueTimer, ExceptionQuery, ExceptionView,
    InboxId, InboxPage, Intake, JournalRow, Lease, Loaded, Membership, NodeTurn, Partitions, PayloadHash, ProcessDetail,
    ProcessKey, ProcessQuery, ProcessView, ReadStore, Reply, Store, StoreError, Transition, TransitionId,
};
use crossdock_canonical::Timestamp;
use state::State;
use std::{
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fault {
    #[default]
    None,
    /// Nothing is written, and the caller hears so.
    Unavailable,
    /// It is written; the reply is lost.
    LostAfter,
    /// It is not written; the reply is lost all the same.
    LostBefore,
}

type Faults = Box<dyn FnMut(&Transition) -> Fault + Send>;

#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    faults: Mutex<Option<Faults>>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks `faults` what shall become of each commit from now on.
    pub fn inject(&self, faults: impl FnMut(&Transition) -> Fault + Send + 'static) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(faults));
    }

    fn accept_cursor(&self, write: CursorWrite) -> Result<(), StoreError> {
        let mut state = self.state();
        if !write.follows(state.cursors.get(&write.name).map(Vec::as_slice)) {
            return Err(StoreError::Constraint(CursorWrite::MOVED_ON.into()));
        }
        state.cursors.insert(write.name, write.body);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is checked whole before it is begun, so a panic elsewhere cannot leave half of one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, transition: &Transition) -> Fault {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map_or(Fault::None, |faults| faults(transition))
    }
}

fn now<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> Reply<'a, T> {
    Box::pin(ready(answer))
}

impl Store for MemoryStore {
    fn accept(&self, rows: Vec<Intake>, cursor: Option<CursorWrite>) -> Reply<'_, Vec<Accepted>> {
        let mut state = self.state();
        if let Some(cursor) = &cursor
            && !cursor.follows(state.cursors.get(&cursor.name).map(Vec::as_slice))
        {
            return now(Err(StoreError::Constraint(CursorWrite::MOVED_ON.into())));
        }
        let accepted = rows.into_iter().map(|row| state.take(row).into()).collect();
        if let Some(cursor) = cursor {
            state.cursors.insert(cursor.name, cursor.body);
        }
        now(Ok(accepted))
    }

    fn commit(&self, transition: Transition) -> Reply<'_, Committed> {
        let lost = || Err(StoreError::Unknown("injected: the reply was lost".into()));
        now(match self.fault(&transition) {
            Fault::None => self.state().commit(transition),
            Fault::Unavailable => Err(StoreError::Unavailable("injected".into())),
            Fault::LostBefore => lost(),
            Fault::LostAfter => self.state().commit(transition).and_then(|_| lost()),
        })
    }

    fn was_committed(&self, process: &ProcessKey, transition: TransitionId) -> Reply<'_, Option<Committed>> {
        now(Ok(self.state().was_committed(process, transition)))
    }

    fn lease(&self, _node: &str, _now: Timestamp) -> Reply<'_, Vec<Lease>> {
        now(Ok(self.state().lease()))
    }

    fn load(&self, process: &ProcessKey) -> Reply<'_, Option<Loaded>> {
        now(Ok(self.state().load(process)))
    }

    /// It can be, and is when the simulation says so by its turns; whoever asks takes it for his own.
    fn turn(&self, turn: NodeTurn) -> Reply<'_, Membership> {
        now(Ok(self.state().turn(turn)))
    }

    fn inbox(&self, of: Partitions, after: InboxId, limit: usize) -> Reply<'_, InboxPage> {
        now(Ok(self.state().inbox(of, after, limit).into()))
    }

    fn due_effects(&self, of: Partitions, system: &str, before: Timestamp, limit: usize) -> Reply<'_, Vec<DueEffect>> {
        now(Ok(self.state().due_effects(of, system, before, limit)))
    }

    fn due_timers(&self, of: Partitions, before: Timestamp, limit: usize) -> Reply<'_, Vec<DueTimer>> {
        now(Ok(self.state().due_timers(of, before, limit)))
    }

    fn payload(&self, process: &ProcessKey, hash: &PayloadHash) -> Reply<'_, Option<Arc<[u8]>>> {
        now(Ok(self.state().payload(process, hash)))
    }

    fn resolve(&self, system: &str, kind: &str, theirs: &str) -> Reply<'_, Option<ProcessKey>> {
        now(Ok(self.state().resolve(system, kind, theirs)))
    }

    fn cursor(&self, name: &str) -> Reply<'_, Option<Vec<u8>>> {
        now(Ok(self.state().cursors.get(name).cloned()))
    }

    fn set_cursor(&self, write: CursorWrite) -> Reply<'_, ()> {
        now(self.accept_cursor(write))
    }

    fn pin(&self, hash: &str) -> Reply<'_, Option<Vec<u8>>> {
        now(Ok(self.state().pins.get(hash).cloned()))
    }

    fn put_pin(&self, hash: &str, body: Vec<u8>) -> Reply<'_, ()> {
        self.state().pins.entry(hash.to_owned()).or_insert(body);
        now(Ok(()))
    }
}

impl ReadStore for MemoryStore {
    fn processes(&self, query: ProcessQuery) -> Reply<'_, Vec<ProcessView>> {
        now(Ok(self.state().processes(&query)))
    }

    fn process(&self, key: &ProcessKey) -> Reply<'_, Option<ProcessDetail>> {
        now(Ok(self.state().process(key)))
    }

    fn journal(&self, key: &ProcessKey) -> Reply<'_, Vec<JournalRow>> {
        now(Ok(self.state().journal_of(key)))
    }

    fn exceptions(&self, query: ExceptionQuery) -> Reply<'_, Vec<ExceptionView>> {
        now(Ok(self.state().exceptions(&query)))
    }

    fn counts(&self) -> Reply<'_, Counts> {
        now(Ok(self.state().counts()))
    }

    fn stream(&self, cursor: &str, limit: usize) -> Reply<'_, (Vec<JournalRow>, String)> {
        now(self.state().stream(cursor, limit))
    }

    fn inbox_depth(&self) -> Reply<'_, u64> {
        now(Ok(self.state().pending.len() as u64))
    }

    fn verify_audit(&self) -> Reply<'_, AuditVerdict> {
        now(Ok(self.state().verify_audit()))
    }

    fn audit(&self, limit: usize) -> Reply<'_, Vec<AuditRow>> {
        now(Ok(self.state().audit(limit)))
    }

    fn record_audit(&self, at: Timestamp, actor: &str, action: &str, subject: &str) -> Reply<'_, ()> {
        self.state().own_audit(at, actor, &format!("{action} {subject}"));
        now(Ok(()))
    }

    fn erase_subject(&self, at: Timestamp, actor: &str, subject: &str) -> Reply<'_, bool> {
        now(Ok(self.state().erase(at, actor, subject)))
    }
}
