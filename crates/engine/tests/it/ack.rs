//! Acknowledged means on disk: the answer to whoever sends an order leaves after the store has it, never before.

use crate::kit::{Lab, T0};
use crossdock_canonical::{Duration, SystemName};
use crossdock_engine::{
    Hub, OrderIntake, Wiring,
    shell::{Options, Running, clock::Clock},
};
use crossdock_store::{
    Accepted, Committed, CursorWrite, DueEffect, DueTimer, InboxId, InboxRow, Intake, Lease, Loaded, MemoryStore, PayloadHash, ProcessKey, Reply,
    Store, Transition, TransitionId,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::Notify;

#[test]
fn what_was_accepted_is_there_after_a_crash_at_that_instant() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 1, "erp");
    lab.crash();
    lab.close(&toy, Duration::minutes(1));
    assert_eq!(lab.applied("erp"), 1);
    assert!(lab.now > T0);
}

/// A store whose disk is slow: accepting waits at a gate.
#[derive(Default)]
struct Gated {
    inner: MemoryStore,
    gate: Notify,
    written: AtomicBool,
}

impl Store for Gated {
    fn accept(&self, rows: Vec<Intake>, cursor: Option<CursorWrite>) -> Reply<'_, Vec<Accepted>> {
        Box::pin(async move {
            self.gate.notified().await;
            let accepted = self.inner.accept(rows, cursor).await;
            self.written.store(true, Ordering::SeqCst);
            accepted
        })
    }
    fn commit(&self, transition: Transition) -> Reply<'_, Committed> {
        self.inner.commit(transition)
    }
    fn was_committed(&self, process: &ProcessKey, transition: TransitionId) -> Reply<'_, Option<Committed>> {
        self.inner.was_committed(process, transition)
    }
    fn lease(&self, node: &str, now: crossdock_canonical::Timestamp) -> Reply<'_, Vec<Lease>> {
        self.inner.lease(node, now)
    }
    fn load(&self, process: &ProcessKey) -> Reply<'_, Option<Loaded>> {
        self.inner.load(process)
    }
    fn inbox(&self, after: InboxId, limit: usize) -> Reply<'_, Vec<InboxRow>> {
        self.inner.inbox(after, limit)
    }
    fn due_effects(&self, system: &str, before: crossdock_canonical::Timestamp, limit: usize) -> Reply<'_, Vec<DueEffect>> {
        self.inner.due_effects(system, before, limit)
    }
    fn due_timers(&self, before: crossdock_canonical::Timestamp, limit: usize) -> Reply<'_, Vec<DueTimer>> {
        self.inner.due_timers(before, limit)
    }
    fn payload(&self, process: &ProcessKey, hash: &PayloadHash) -> Reply<'_, Option<Arc<[u8]>>> {
        self.inner.payload(process, hash)
    }
    fn resolve(&self, system: &str, kind: &str, theirs: &str) -> Reply<'_, Option<ProcessKey>> {
        self.inner.resolve(system, kind, theirs)
    }
    fn cursor(&self, name: &str) -> Reply<'_, Option<Vec<u8>>> {
        self.inner.cursor(name)
    }
    fn set_cursor(&self, write: CursorWrite) -> Reply<'_, ()> {
        self.inner.set_cursor(write)
    }
    fn pin(&self, hash: &str) -> Reply<'_, Option<Vec<u8>>> {
        self.inner.pin(hash)
    }
    fn put_pin(&self, hash: &str, body: Vec<u8>) -> Reply<'_, ()> {
        self.inner.put_pin(hash, body)
    }
}

/// Scenario 5: a 2xx only after the durable write.
#[tokio::test]
async fn an_order_is_acknowledged_only_after_it_is_stored() {
    let store = Arc::new(Gated::default());
    let wiring = Wiring::new(Vec::new(), Vec::new(), Arc::new(crate::kit::TestPolicies));
    let hub = Running::start(store.clone(), Arc::new(MemoryStore::new()), wiring, Clock::System, Options::default())
        .await
        .expect("an empty store opens");
    let order = OrderIntake {
        channel: "ch".into(),
        site: "de".into(),
        number: "1".into(),
        source: SystemName::new("hub"),
        body: b"{}"[..].into(),
        actor: "key:test".into(),
        idempotency_key: None,
    };
    let asked = tokio::spawn({
        let hub = hub.clone();
        async move { hub.accept_order(order).await }
    });
    for _ in 0..50 {
        tokio::task::yield_now().await;
        assert!(!asked.is_finished(), "acknowledged before it was on disk");
    }
    store.gate.notify_one();
    let accepted = asked.await.expect("no panic").expect("the store took it");
    assert!(matches!(accepted, Accepted::Stored(_)) && store.written.load(Ordering::SeqCst));
    hub.stop();
}
