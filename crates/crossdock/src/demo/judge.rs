//! Waits until a run has settled, then judges it: what became of each order against what its kind demands.

use super::Demo;
use crossdock_canonical::Duration;
use crossdock_engine::shell::clock::{self, Stopwatch};
use crossdock_simulators::{End, Expectation};
use crossdock_store::{ExceptionQuery, ProcessQuery, ReadStore};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

/// Longer than any order of the demo takes; a run that has not settled by then is judged as it stands.
const PATIENCE: Duration = Duration::seconds(300);

/// What the hub says of an order.
#[derive(Clone, Debug, Default)]
struct Found {
    status: String,
    stage: String,
    waiting_for: String,
    exceptions: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Verdict {
    pub orders: usize,
    /// By end: `closed`, `cancelled`, `failed`, `parked`, `open`, `lost`.
    pub ends: BTreeMap<String, usize>,
    /// Exceptions of parked orders by class.
    pub parked: BTreeMap<String, usize>,
    /// Orders that ended otherwise than their kind demands.
    pub unexpected: Vec<Unexpected>,
    pub settled_after_s: i64,
    pub verdict: &'static str,
}

#[derive(Debug, Serialize)]
pub struct Unexpected {
    pub order: String,
    pub kind: String,
    pub expected: String,
    pub found: String,
}

pub async fn wait_and_judge(demo: &Demo, expectations: &[Expectation]) -> Verdict {
    let watch = Stopwatch::start();
    let mut found = look(demo).await;
    while watch.elapsed() < PATIENCE && !expectations.iter().all(|e| is_settled(e, found.get(&key(e)))) {
        clock::pause(Duration::millis(500)).await;
        found = look(demo).await;
    }
    // Late notices of settled orders may still be under way; the ledgers are read when the hub rests.
    while watch.elapsed() < PATIENCE && !demo.hub.is_idle() {
        clock::pause(Duration::millis(200)).await;
    }
    judge(expectations, &found, watch.elapsed())
}

fn judge(expectations: &[Expectation], found: &HashMap<String, Found>, settled_after: Duration) -> Verdict {
    let mut verdict = Verdict {
        orders: expectations.len(),
        ends: BTreeMap::new(),
        parked: BTreeMap::new(),
        unexpected: Vec::new(),
        settled_after_s: settled_after.0 / 1_000,
        verdict: "good",
    };
    for expectation in expectations {
        let end = end_of(found.get(&key(expectation)));
        *verdict.ends.entry(end.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
        if let Some(order) = found.get(&key(expectation)) {
            for class in &order.exceptions {
                *verdict.parked.entry(class.clone()).or_default() += 1;
            }
        }
        if !fits(&expectation.expected_end, &end) {
            let order = found.get(&key(expectation)).cloned().unwrap_or_default();
            verdict.unexpected.push(Unexpected {
                order: key(expectation),
                kind: format!("{:?}", expectation.kind),
                expected: format!("{:?}", expectation.expected_end),
                found: format!("{end}; stage {}; {}", order.stage, order.waiting_for),
            });
        }
    }
    if !verdict.unexpected.is_empty() {
        verdict.verdict = "unexpected ends";
    }
    verdict
}

fn key(expectation: &Expectation) -> String {
    format!("{}/{}", expectation.site, expectation.order)
}

fn end_of(found: Option<&Found>) -> String {
    match found {
        None => "lost".into(),
        Some(order) if matches!(order.status.as_str(), "closed" | "cancelled" | "failed") => order.status.clone(),
        Some(order) => match order.exceptions.first() {
            Some(class) => format!("parked {class}"),
            None => "open".into(),
        },
    }
}

fn fits(expected: &End, end: &str) -> bool {
    match expected {
        End::Closed => end == "closed",
        End::Cancelled => end == "cancelled",
        End::CancelledOrClosed => end == "cancelled" || end == "closed",
        End::Parked(class) => end.strip_prefix("parked ").is_some_and(|found| found == class),
    }
}

fn is_settled(expectation: &Expectation, found: Option<&Found>) -> bool {
    let end = end_of(found);
    end == "closed" || end == "cancelled" || end == "failed" || fits(&expectation.expected_end, &end)
}

/// Every order as the store has it.
async fn look(demo: &Demo) -> HashMap<String, Found> {
    let mut orders = HashMap::new();
    let mut before = None;
    loop {
        let query = ProcessQuery { kind: Some("order".into()), before, limit: 500, ..ProcessQuery::default() };
        let page = demo.store.processes(query).await.unwrap_or_default();
        let Some(last) = page.last() else { break };
        before = Some(last.no);
        for process in page {
            let summary = &process.row.summary;
            let found = Found {
                status: summary.status.to_string(),
                stage: summary.stage.to_string(),
                waiting_for: summary.waiting_for.to_string(),
                exceptions: Vec::new(),
            };
            orders.insert(format!("{}/{}", summary.site, summary.number), found);
        }
    }
    let exceptions = demo.store.exceptions(ExceptionQuery { limit: 100_000, ..ExceptionQuery::default() }).await.unwrap_or_default();
    for exception in exceptions {
        let summary = &exception.process.row.summary;
        if let Some(order) = orders.get_mut(&format!("{}/{}", summary.site, summary.number)) {
            order.exceptions.push(exception.row.class.to_string());
        }
    }
    orders
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.verdict == "good"
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a verdict is plain data")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} orders, settled {} s after the last one was placed", self.orders, self.settled_after_s)?;
        for (end, count) in &self.ends {
            writeln!(f, "  {end:<12}{count:>7}")?;
        }
        for (class, count) in &self.parked {
            writeln!(f, "  exception {class:<18}{count:>7}")?;
        }
        for unexpected in self.unexpected.iter().take(20) {
            writeln!(f, "  {} ({}): expected {}, found {}", unexpected.order, unexpected.kind, unexpected.expected, unexpected.found)?;
        }
        writeln!(f, "{}", self.verdict)
    }
}
