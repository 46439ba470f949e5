//! Small builders, so that each case names only what it is about.

use crate::{
    Accepted, Addressee, Committed, EffectRow, EffectState, ExceptionRow, InboxId, Intake, Payload, PayloadHash, Priority,
    ProcessKey, ProcessRow, ReadStore, Reply, Store, StoreError, SummaryRow, Transition, TransitionId,
};
use crossdock_canonical::{Operation, SystemName, Timestamp};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

/// A store with both its sides.
pub trait Whole: Store + ReadStore {}

impl<S: Store + ReadStore> Whole for S {}

/// Waits for a reply without a runtime.
pub fn wait<T>(reply: Reply<'_, T>) -> Result<T, StoreError> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut reply = pin!(reply);
    loop {
        match reply.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp(1_790_000_000_000 + seconds * 1_000)
}

pub(super) fn order(number: &str) -> ProcessKey {
    ProcessKey::new("order", &format!("sfcc/RefArch-DE/{number}"))
}

/// A message that starts an order.
pub(super) fn placed(number: &str) -> Intake {
    Intake { to: Addressee::Process(order(number)), message_id: None, starts: true, ..message("order.placed", number) }
}

/// A message to a running order, with an id of its own.
pub(super) fn message(kind: &str, number: &str) -> Intake {
    Intake {
        to: Addressee::Process(order(number)),
        source: SystemName::new("storefront"),
        message_id: Some(Arc::from(format!("{kind}/{number}"))),
        kind: Arc::from(kind),
        actor: Arc::from("system:storefront"),
        body: Arc::from(format!("the body of {kind} {number}").into_bytes()),
        subject: Arc::from(format!("guest:{number}")),
        at: at(0),
        starts: false,
    }
}

pub(super) fn row(number: &str) -> ProcessRow {
    ProcessRow {
        state: Arc::from(&b"{\"step\":1}"[..]),
        schema: 1,
        logic: 1,
        policy: Arc::from("ab".repeat(32)),
        document: None,
        subject: Arc::from(format!("guest:{number}")),
        priority: Priority::Standard,
        opened_at: at(0),
        summary: SummaryRow {
            channel: Arc::from("sfcc"),
            site: Arc::from("RefArch-DE"),
            number: Arc::from(number),
            market: Arc::from("de"),
            stage: Arc::from("accepted"),
            status: Arc::from("open"),
            waiting_for: Arc::from("erp"),
            total: Arc::from("10.00"),
            currency: Arc::from("EUR"),
        },
    }
}

/// A transition of an order at a version, with nothing in it but a record.
pub(super) fn step(number: &str, version: u64) -> Transition {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Transition {
        // Larger than an i64 holds: ids may use every bit.
        id: TransitionId(u64::MAX - NEXT.fetch_add(1, Ordering::Relaxed)),
        process: order(number),
        version,
        epoch: 1,
        at: at(1),
        actor: Arc::from("system:storefront"),
        action: Arc::from("fold order.placed"),
        settles: None,
        record: Some(format!("{{\"v\":{version}}}").into_bytes()),
        row: row(number),
        effects: Vec::new(),
        timers: Vec::new(),
        exceptions: Vec::new(),
        messages: Vec::new(),
        identities: Vec::new(),
        payloads: Vec::new(),
    }
}

pub(super) fn effect(no: u32, system: &str, class: u8, due: i64) -> EffectRow {
    EffectRow {
        no,
        step: Arc::from("book"),
        intent: Arc::from(format!("ship-{no}")),
        system: SystemName::new(system),
        operation: Operation::ALL[0],
        generation: 1,
        key: Arc::from(format!("{no:032x}")),
        state: EffectState::Pending,
        class,
        due: Some(at(due)),
        attempts: 0,
        deadline: at(due + 60),
        made_at: at(1),
        request: None,
        last: Arc::from(""),
    }
}

pub(super) fn exception(class: &str, since: i64) -> ExceptionRow {
    ExceptionRow {
        class: Arc::from(class),
        step: Arc::from("book"),
        intent: Arc::from(""),
        system: Arc::from("erp"),
        cause: Arc::from("it said no"),
        suggestion: Arc::from("retry it"),
        since: at(since),
        payload: None,
    }
}

pub(super) fn payload(bytes: &[u8]) -> Payload {
    Payload { hash: PayloadHash::of(bytes), bytes: Arc::from(bytes), message: None }
}

/// Leases everything; the epoch of the first lease is 1.
pub(super) fn leased(store: &dyn Whole) {
    wait(store.lease("node-a", at(0))).expect("leases");
}

pub(super) fn stored(store: &dyn Whole, intake: Intake) -> InboxId {
    match wait(store.accept(vec![intake], None)).expect("accepts")[..] {
        [Accepted::Stored(id)] => id,
        ref other => panic!("{other:?} instead of one stored row"),
    }
}

pub(super) fn commit(store: &dyn Whole, transition: Transition) -> Committed {
    wait(store.commit(transition)).expect("commits")
}
