//! Acknowledged means on disk: the answer to whoever sends an order leaves after the store has it, never before.

use crate::kit::{Lab, T0};
use crossdock_canonical::{Duration, SystemName};
use crossdock_connect::{About, Message};
use crossdock_engine::{
    Hub, OrderIntake, Wiring,
    core::intake_of,
    shell::{Options, Running, clock::Clock},
};
use crossdock_store::{
    Accepted, Committed, CursorWrite, DueEffect, DueTimer, InboxId, InboxPage, InboxRow, Intake, Lease, Loaded, MemoryStore,
    Partitions, PayloadHash, ProcessKey, Reply, Store, Transition, TransitionId,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::Notify;

#[test]
fn scenario_05_what_was_accepted_is_there_after_a_crash_at_that_instant() {
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
    fn inbox(&self, of: Partitions, after: InboxId, limit: usize) -> Reply<'_, InboxPage> {
        self.inner.inbox(of, after, limit)
    }
    fn due_effects(
        &self,
        of: Partitions,
        system: &str,
        before: crossdock_canonical::Timestamp,
        limit: usize,
    ) -> Reply<'_, Vec<DueEffect>> {
        self.inner.due_effects(of, system, before, limit)
    }
    fn due_timers(&self, of: Partitions, before: crossdock_canonical::Timestamp, limit: usize) -> Reply<'_, Vec<DueTimer>> {
        self.inner.due_timers(of, before, limit)
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

async fn running(store: Arc<dyn Store>) -> Arc<Running> {
    let wiring = Wiring::new(Vec::new(), Vec::new(), Arc::new(crate::kit::TestPolicies));
    Running::start(store, Arc::new(MemoryStore::new()), wiring, Clock::System, Options::default())
        .await
        .expect("an empty store opens")
}

fn order(channel: &str, body: &[u8]) -> OrderIntake {
    OrderIntake {
        channel: channel.into(),
        site: "de".into(),
        number: "1".into(),
        source: SystemName::new("hub"),
        body: body.into(),
        actor: "key:test".into(),
        idempotency_key: Some("k".into()),
    }
}

/// Scenario 5: a 2xx only after the durable write.
#[tokio::test]
async fn an_order_is_acknowledged_only_after_it_is_stored() {
    let store = Arc::new(Gated::default());
    let hub = running(store.clone()).await;
    let asked = tokio::spawn({
        let hub = hub.clone();
        async move { hub.accept_order(order("ch", b"{}")).await }
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

#[tokio::test]
async fn one_number_in_two_channels_is_two_orders() {
    let store = Arc::new(MemoryStore::new());
    let hub = running(store).await;
    for (channel, new) in [("web", true), ("web", false), ("shop", true), ("shop", false)] {
        let accepted = hub.accept_order(order(channel, b"{}")).await.expect("the memory store takes it");
        assert_eq!(matches!(accepted, Accepted::Stored(_)), new, "{channel}");
    }
    hub.stop();
}

const CARD: &str = "4111111111111111";

fn is_clean(rows: &[InboxRow]) -> bool {
    !rows.is_empty() && rows.iter().all(|row| !String::from_utf8_lossy(&row.body).contains(CARD))
}

#[tokio::test]
async fn a_card_number_never_reaches_the_store() {
    let store = Arc::new(MemoryStore::new());
    let hub = running(store.clone()).await;
    hub.accept_order(order("web", format!(r#"{{"note": "my card is {CARD}"}}"#).as_bytes()))
        .await
        .expect("the memory store takes it");
    assert!(is_clean(&store.inbox(Partitions::ALL, InboxId(0), 10).await.expect("it answers")));
    hub.stop();
}

#[tokio::test]
async fn a_card_number_in_a_message_never_reaches_the_store() {
    let message = Message {
        id: Some("m".into()),
        about: About::Theirs { kind: "payment".into(), id: "pi".into() },
        kind: "payment.notice".into(),
        body: format!(r#"{{"card": {{"number": "{CARD}"}}}}"#).into_bytes().into(),
    };
    let store = MemoryStore::new();
    store.accept(vec![intake_of(&SystemName::new("psp"), message, T0)], None).await.expect("the memory store takes it");
    assert!(is_clean(&store.inbox(Partitions::ALL, InboxId(0), 10).await.expect("it answers")));
}
