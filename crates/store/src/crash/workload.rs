//! The orders that run while the disk is recorded: several at once, so that commits are grouped, with everything a transition can
//! write, and checkpoints in between.

use super::{
    record::{Event, Log, Recorder},
    vfs,
};
use crate::{
    Accepted, Addressee, Durability, EffectRow, EffectState, InboxId, Intake, KeySource, Options, Payload, PayloadHash, Priority,
    ProcessKey, ProcessRow, SqliteStore, Store, StoreError, SummaryRow, Transition, TransitionId, conformance::wait,
};
use crossdock_canonical::{Operation, SystemName, Timestamp};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The key of recorded stores; there is nothing in them to keep secret.
pub(super) const KEY: KeySource = KeySource::Given([42; 32]);

/// The file's name, in any folder.
pub(super) const FILE: &str = "hub.db";

#[derive(Clone, Copy, Debug)]
pub struct Workload {
    pub orders: u32,
    /// Of each order.
    pub transitions: u64,
    pub in_flight: u32,
    /// Small, so that a short workload makes many checkpoints.
    pub checkpoint_pages: u32,
    pub durability: Durability,
}

impl Workload {
    /// A second's worth, for tests.
    pub fn short(durability: Durability) -> Self {
        Self { orders: 60, transitions: 4, in_flight: 6, checkpoint_pages: 60, durability }
    }
}

/// Runs a workload in an empty folder and records it.
pub fn record(workload: &Workload, folder: &Path) -> Result<Log, StoreError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("crossdock-crash-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let recorder = Recorder::default();
    vfs::register(&name, recorder.clone(), Arc::default())?;
    let store = SqliteStore::open(&Options {
        durability: workload.durability,
        key: KEY,
        readers: 1,
        cache_mib: 4,
        checkpoint_pages: workload.checkpoint_pages,
        log_pages_max: workload.checkpoint_pages * 3,
        vfs: Some(name),
        ..Options::new(folder.join(FILE))
    })?;
    wait(store.lease("node", Timestamp(0)))?;
    let mut first = 0;
    while first < workload.orders {
        let orders = first..workload.orders.min(first + workload.in_flight);
        run(&store, orders.clone(), workload.transitions, &recorder)?;
        first = orders.end;
    }
    drop(store);
    Ok(recorder.take())
}

/// Orders side by side, from their message to their last transition.
fn run(store: &SqliteStore, orders: std::ops::Range<u32>, transitions: u64, recorder: &Recorder) -> Result<(), StoreError> {
    let accepting: Vec<_> = orders.clone().map(|order| (order, store.accept(vec![placed(order)], None))).collect();
    let mut messages = Vec::new();
    for (order, reply) in accepting {
        let Some(Accepted::Stored(id)) = wait(reply)?.first().copied() else {
            return Err(StoreError::Damaged(format!("order {order} was there before it was sent")));
        };
        recorder.push(Event::Answered { order, version: 0 });
        messages.push(id);
    }
    for version in 0..transitions {
        let committing: Vec<_> =
            orders.clone().zip(&messages).map(|(order, id)| (order, store.commit(transition(order, version, *id)))).collect();
        for (order, reply) in committing {
            let version = wait(reply)?.version;
            recorder.push(Event::Answered { order, version });
        }
    }
    Ok(())
}

pub(super) fn key(order: u32) -> ProcessKey {
    ProcessKey::new("order", &format!("shop/site/{order}"))
}

fn placed(order: u32) -> Intake {
    Intake {
        to: Addressee::Process(key(order)),
        source: SystemName::new("storefront"),
        message_id: Some(Arc::from(format!("evt-{order}"))),
        kind: Arc::from("order.placed"),
        actor: Arc::from("system:storefront"),
        // Incompressible and of many lengths, some longer than a page.
        body: filler(u64::from(order), 200 + (order as usize * 97) % 6_000),
        subject: Arc::from(format!("guest:{order}")),
        at: Timestamp(1),
        starts: true,
    }
}

/// Each transition adds one effect, one payload, one timer and one message: a store that holds half of one shows it by their counts.
fn transition(order: u32, version: u64, message: InboxId) -> Transition {
    let bytes = filler(u64::from(order) << 32 | version, 300);
    let hash = PayloadHash::of(&bytes);
    let no = u32::try_from(version + 1).unwrap_or(u32::MAX);
    Transition {
        id: TransitionId(u64::from(order) << 16 | version),
        process: key(order),
        version,
        epoch: 1,
        at: Timestamp(2),
        actor: Arc::from("system:storefront"),
        action: Arc::from("fold"),
        settles: Some(message).filter(|_| version == 0),
        record: Some(format!("{{\"version\":{version}}}").into_bytes()),
        row: ProcessRow {
            state: filler(version, 150),
            schema: 1,
            logic: 1,
            policy: Arc::from("policy"),
            document: Some(hash),
            subject: Arc::from(format!("guest:{order}")),
            priority: Priority::Standard,
            opened_at: Timestamp(1),
            summary: SummaryRow { status: Arc::from("open"), ..SummaryRow::default() },
        },
        effects: vec![EffectRow {
            no,
            step: Arc::from("step"),
            intent: Arc::from(format!("{no}")),
            system: SystemName::new("erp"),
            operation: Operation::ALL[0],
            generation: 1,
            key: Arc::from(format!("{order:016x}{version:016x}")),
            state: EffectState::Pending,
            class: 1,
            due: Some(Timestamp(3)),
            attempts: 0,
            deadline: Timestamp(4),
            made_at: Timestamp(2),
            request: Some(hash),
            last: Arc::from(""),
        }],
        timers: vec![(Arc::from(format!("timer-{no}")), Some(Timestamp(5)))],
        exceptions: Vec::new(),
        messages: vec![Intake {
            to: Addressee::Process(key(order)),
            message_id: Some(Arc::from(format!("msg-{order}-{no}"))),
            starts: false,
            body: filler(version, 40),
            ..placed(order)
        }],
        identities: Vec::new(),
        payloads: vec![Payload { hash, bytes, message: None }],
    }
}

fn filler(seed: u64, count: usize) -> Arc<[u8]> {
    let mut rng = super::rng::Rng::new(seed, 1);
    (0..count).map(|_| rng.next().to_le_bytes()[0]).collect()
}
