//! A store with many closed orders: each accepted and committed through the store's own interface, with the rows a finished order
//! leaves. Its seven transitions are made one, so its journal is shorter than life's; every other table is as full.

use super::{Workload, child::Commands, flow::STEPS, orders::Orders};
use crossdock_canonical::{SystemName, Timestamp};
use crossdock_store::{
    Accepted, Addressee, EffectRow, EffectState, InboxId, Intake, Payload, PayloadHash, Priority, ProcessKey, ProcessRow, Store,
    SummaryRow, Transition, TransitionId,
    sqlite::{Durability, Options, SqliteStore},
};
use std::{path::PathBuf, sync::Arc};

/// Orders written together.
const GROUP: u64 = 1_000;
/// Orders of the filling begin here, so that the benchmark's own come after them.
const FIRST: u64 = 1;

#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    workload: Workload,
    #[arg(long)]
    store: PathBuf,
    #[arg(long)]
    orders: u64,
}

pub async fn run(args: Args) -> Result<(), String> {
    let options = Options { durability: Durability::Off, ..Options::new(&args.store) };
    let store = SqliteStore::open(&options).map_err(|e| e.to_string())?;
    let epoch = store.lease("fill", Timestamp(0)).await.map_err(|e| e.to_string())?.first().map_or(1, |lease| lease.epoch);
    let orders = Orders::new(args.workload, "");
    for first in (FIRST..FIRST + args.orders).step_by(GROUP as usize) {
        let numbers: Vec<u64> = (first..(first + GROUP).min(FIRST + args.orders)).collect();
        let placed = numbers.iter().map(|n| intake(&orders, *n)).collect();
        let accepted = store.accept(placed, None).await.map_err(|e| e.to_string())?;
        let commits: Vec<_> = numbers
            .iter()
            .zip(accepted)
            .filter_map(|(n, accepted)| match accepted {
                Accepted::Stored(row) => Some(store.commit(closed(&orders, *n, row, epoch))),
                Accepted::Duplicate => None,
            })
            .collect();
        for commit in commits {
            commit.await.map_err(|e| e.to_string())?;
        }
    }
    drop(store);
    // Until the parent has read the answer.
    Commands::start(&serde_json::json!({"filled": args.orders})).next().await;
    Ok(())
}

fn intake(orders: &Orders, n: u64) -> Intake {
    let reference = orders.reference(n);
    Intake {
        to: Addressee::Process(ProcessKey::new("order", &reference)),
        source: SystemName::new("storefront"),
        message_id: Some(super::orders::number(n).into()),
        kind: "order.placed".into(),
        actor: "system:storefront".into(),
        body: orders.body(n).into(),
        subject: format!("order:{reference}").into(),
        at: Timestamp(0),
        starts: true,
    }
}

fn closed(orders: &Orders, n: u64, settles: InboxId, epoch: u64) -> Transition {
    let reference = orders.reference(n);
    let body = Arc::<[u8]>::from(orders.body(n));
    let hash = PayloadHash::of(&body);
    let effects = STEPS.iter().zip(1..).map(|(step, no)| effect(step, no, n, hash)).collect();
    Transition {
        id: TransitionId((1 << 41) + n),
        process: ProcessKey::new("order", &reference),
        version: 0,
        epoch,
        at: Timestamp(0),
        actor: "system:storefront".into(),
        action: "message order.placed".into(),
        settles: Some(settles),
        record: Some(format!(r#"{{"in":{{"kind":"message","name":"order.placed","payload":"{hash}"}}}}"#).into_bytes()),
        row: ProcessRow {
            state: Arc::from(*br#"{"placed":true,"done":6}"#),
            schema: 1,
            logic: 1,
            policy: "".into(),
            document: None,
            subject: format!("order:{reference}").into(),
            priority: Priority::Standard,
            opened_at: Timestamp(0),
            summary: SummaryRow {
                number: super::orders::number(n).into(),
                stage: "closed".into(),
                status: "closed".into(),
                ..SummaryRow::default()
            },
        },
        effects,
        timers: Vec::new(),
        exceptions: Vec::new(),
        messages: Vec::new(),
        identities: Vec::new(),
        payloads: vec![Payload { hash, bytes: body, message: Some(settles) }],
    }
}

fn effect(step: &super::flow::Step, no: u32, n: u64, request: PayloadHash) -> EffectRow {
    EffectRow {
        no,
        step: step.name.into(),
        intent: "".into(),
        system: SystemName::new(step.system),
        operation: step.operation,
        generation: 1,
        key: format!("{n:024x}{no:08x}").into(),
        state: EffectState::Done,
        class: 3,
        due: None,
        attempts: 1,
        deadline: Timestamp(0),
        made_at: Timestamp(0),
        request: Some(request),
        last: "done".into(),
    }
}
