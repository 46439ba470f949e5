//! Orders as the tests of the stores on disk write them.

use crossdock_canonical::{Operation, SystemName, Timestamp};
use crossdock_store::{
    Addressee, EffectRow, EffectState, Intake, Payload, PayloadHash, Priority, ProcessKey, ProcessRow, SummaryRow, Transition,
    TransitionId,
};
use std::sync::Arc;

pub(crate) fn order(number: u64) -> ProcessKey {
    ProcessKey::new("order", &format!("sfcc/RefArch-DE/{number}"))
}

pub(crate) fn placed(number: u64) -> Intake {
    Intake {
        to: Addressee::Process(order(number)),
        source: SystemName::new("storefront"),
        message_id: Some(Arc::from(format!("evt-{number}"))),
        kind: Arc::from("order.placed"),
        actor: Arc::from("system:storefront"),
        body: Arc::from(format!("order {number} of Erika Mustermann").into_bytes()),
        subject: Arc::from(format!("guest:{number}")),
        at: Timestamp(1_000),
        starts: true,
    }
}

pub(crate) fn step(number: u64, version: u64, epoch: u64) -> Transition {
    let document = b"the document of Erika Mustermann".to_vec();
    let hash = PayloadHash::of(&document);
    Transition {
        id: TransitionId(number << 8 | version),
        process: order(number),
        version,
        epoch,
        at: Timestamp(2_000),
        actor: Arc::from("system:storefront"),
        action: Arc::from("fold order.placed"),
        settles: None,
        record: Some(b"{\"events\":[]}".to_vec()),
        row: ProcessRow {
            state: Arc::from(&b"{}"[..]),
            schema: 1,
            logic: 1,
            policy: Arc::from("policy-1"),
            document: Some(hash),
            subject: Arc::from(format!("guest:{number}")),
            priority: Priority::Express,
            opened_at: Timestamp(1_000),
            summary: SummaryRow { status: Arc::from("open"), number: Arc::from(number.to_string()), ..SummaryRow::default() },
        },
        effects: Vec::new(),
        timers: vec![(Arc::from("hold"), Some(Timestamp(5_000)))],
        exceptions: Vec::new(),
        messages: Vec::new(),
        identities: Vec::new(),
        payloads: if version == 0 { vec![Payload { hash, bytes: Arc::from(document), message: None }] } else { Vec::new() },
    }
}

/// One that is to be sent to the ERP.
pub(crate) fn effect() -> EffectRow {
    EffectRow {
        no: 1,
        step: Arc::from("book"),
        intent: Arc::from("order"),
        system: SystemName::new("erp"),
        operation: Operation::ALL[0],
        generation: 1,
        key: Arc::from("ab".repeat(16)),
        state: EffectState::Pending,
        class: 3,
        due: Some(Timestamp(5)),
        attempts: 0,
        deadline: Timestamp(60),
        made_at: Timestamp(1),
        request: None,
        last: Arc::from(""),
    }
}

/// The same step, after which the order is closed.
pub(crate) fn closing(mut step: Transition) -> Transition {
    step.row.summary.status = Arc::from("closed");
    step
}
