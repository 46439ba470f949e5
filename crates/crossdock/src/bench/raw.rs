//! The same calls without a hub: each order's six calls one after the other, by the hub's own client and connectors, with the same
//! mapping, and nothing durable. What a hub can cost at least is the difference to this.

use super::{
    Workload,
    child::Commands,
    flow::{STEPS, Step},
    orders::Orders,
    systems,
    watch::Watch,
};
use crossdock_canonical::{Duration, Order, OrderRef, SystemName, Timestamp};
use crossdock_connect::{Call, Exchange, Next};
use crossdock_engine::{Wiring, shell::client::Client};
use crossdock_value::Value;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Largest answer read.
const ANSWER_MAX: usize = 1 << 20;

#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    workload: Workload,
    /// Where the systems listen, in the order of the steps.
    #[arg(long, value_delimiter = ',')]
    systems: Vec<String>,
}

struct Caller {
    workload: Workload,
    wiring: Wiring,
    client: Client,
    orders: Orders,
    next: AtomicU64,
}

pub async fn run(args: Args) -> Result<(), String> {
    let caller = Arc::new(Caller {
        workload: args.workload,
        wiring: systems::wire(args.workload, &args.systems)?,
        client: Client::new(ANSWER_MAX),
        orders: Orders::new(args.workload, ""),
        next: AtomicU64::new(0),
    });
    let mut commands = Commands::start(&serde_json::json!({}));
    // A command is `FIRST END CLIENTS`.
    while let Some(command) = commands.next().await {
        let numbers: Vec<u64> = command.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [first, end, clients] = numbers[..] else { return Err(format!("{command:?} is not FIRST END CLIENTS")) };
        let watch = Watch::start();
        caller.next.store(first, Ordering::Relaxed);
        let tasks: Vec<_> = (0..clients).map(|_| tokio::spawn(caller.clone().work(end))).collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await.map_err(|e| e.to_string())??);
        }
        latencies.sort_unstable();
        let median = latencies.get(latencies.len() / 2).copied().unwrap_or(0);
        commands.answer(&serde_json::json!({"micros": watch.micros(), "p50_micros": median}));
    }
    Ok(())
}

impl Caller {
    async fn work(self: Arc<Self>, end: u64) -> Result<Vec<u64>, String> {
        let mut latencies = Vec::new();
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= end {
                return Ok(latencies);
            }
            let watch = Watch::start();
            self.order(n).await?;
            latencies.push(watch.micros());
        }
    }

    async fn order(&self, n: u64) -> Result<(), String> {
        let reference = OrderRef::parse(&self.orders.reference(n)).ok_or("the orders of the benchmark have three parts")?;
        let document = match self.workload {
            Workload::Engine => Value::Null,
            Workload::Full => {
                let storefront = &self.wiring.systems[&SystemName::new("storefront")];
                let document = storefront.connector.translate("order.placed", &self.orders.body(n)).map_err(|e| e.to_string())?;
                // The hub reads it as an order too.
                let _: Order = crossdock_value::from_value(&document).map_err(|e| e.to_string())?;
                document
            }
        };
        for step in &STEPS {
            self.call(&reference, &document, step).await?;
        }
        Ok(())
    }

    async fn call(&self, reference: &OrderRef, document: &Value, step: &Step) -> Result<(), String> {
        let system = &self.wiring.systems[&SystemName::new(step.system)];
        let name: Arc<str> = reference.to_string().into();
        let call = Call {
            system: system.name.clone(),
            operation: step.operation,
            key: name.clone(),
            reference: name,
            order: reference.clone(),
            args: Value::Null,
            document: document.clone(),
            identities: Value::Null,
            at: Timestamp(0),
        };
        let prepared = system.connector.prepare(&call).map_err(|e| e.to_string())?;
        let mut exchanges = Vec::new();
        loop {
            match system.connector.next(&call, &prepared.bytes, &exchanges) {
                Next::Send(request) => {
                    let answer = self.client.send(system, &request, Duration::minutes(1)).await;
                    exchanges.push(Exchange { request, answer });
                }
                Next::End(outcome) if outcome.class == crossdock_canonical::OutcomeClass::Done => return Ok(()),
                Next::End(outcome) => return Err(format!("{} ended {outcome:?}", step.name)),
            }
        }
    }
}
