//! Waits until a run has settled, then judges it: what became of each order against what its kind demands, and what the systems'
//! own ledgers show against the invariants.

use super::Demo;
use crossdock_canonical::Duration;
use crossdock_engine::{
    Hub,
    shell::clock::{self, Stopwatch},
};
use crossdock_simulators::{End, Expectation};
use crossdock_store::{ExceptionQuery, ProcessQuery};
use crossdock_verify::{HubView, Invariant, Options, Report, known_flows, parse_all, verify};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

/// Longer than any order of the demo takes; a run that has not settled by then is judged as it stands.
const PATIENCE: Duration = Duration::seconds(300);

/// How long a hub whose orders have all settled may go on; then its ledgers are read as they are.
const REST: Duration = Duration::seconds(150);

/// What must have been checked and hold for a good run.
const DEMANDED: [Invariant; 11] = [
    Invariant::I1,
    Invariant::I2,
    Invariant::I3,
    Invariant::I4,
    Invariant::I6,
    Invariant::I7,
    Invariant::I8,
    Invariant::I9,
    Invariant::I10,
    Invariant::I12,
    Invariant::I14,
];

/// Of a hundred orders, how many must end as their kind demands.
const ENDED_MIN: usize = 97;

/// What the hub says of an order.
#[derive(Clone, Debug, Default)]
struct Found {
    status: String,
    stage: String,
    waiting_for: String,
    exceptions: Vec<String>,
}

#[derive(Debug)]
pub struct Verdict {
    pub orders: usize,
    /// By end: `closed`, `cancelled`, `failed`, `parked`, `open`, `lost`.
    pub ends: BTreeMap<String, usize>,
    /// Exceptions of orders by class.
    pub parked: BTreeMap<String, usize>,
    /// Orders that ended otherwise than their kind demands.
    pub unexpected: Vec<Unexpected>,
    /// Parked orders that were to end otherwise; with faults a hundredth of all may.
    pub parked_beyond: usize,
    pub parked_beyond_max: usize,
    pub settled_after_s: i64,
    /// Every system kept a ledger; what only a real one could show is not demanded.
    pub whole: bool,
    pub report: Report,
}

#[derive(Debug, serde::Serialize)]
pub struct Unexpected {
    pub order: String,
    pub kind: String,
    pub expected: String,
    pub found: String,
}

pub async fn wait_and_judge(demo: &Demo, expectations: &[Expectation], faults: bool) -> Result<Verdict, String> {
    let watch = Stopwatch::start();
    let mut found = look(demo).await;
    while watch.elapsed() < PATIENCE && !expectations.iter().all(|e| is_settled(e, found.get(&key(e)))) {
        clock::pause(Duration::millis(500)).await;
        found = look(demo).await;
    }
    let settled_after = watch.elapsed();
    // Late notices of settled orders may still be under way; the ledgers are read when the hub rests.
    let rests =
        async || demo.nodes.iter().all(|node| node.is_idle()) && demo.store.inbox_depth().await.is_ok_and(|depth| depth == 0);
    let watch = Stopwatch::start();
    while watch.elapsed() < REST && !rests().await {
        clock::pause(Duration::millis(200)).await;
    }
    let found = look(demo).await;
    let (report, short) = check(demo).await?;
    let parked_beyond_max = if faults { expectations.len() / 100 } else { 0 };
    let verdict = Verdict { whole: demo.real.is_empty(), ..Verdict::new(report, settled_after, parked_beyond_max) };
    Ok(judge(expectations, &found, &short, verdict))
}

/// The systems' ledgers against each other and against the hub; and the orders (`site/number`) of which something was not on the shelf.
async fn check(demo: &Demo) -> Result<(Report, HashSet<String>), String> {
    let texts: Vec<(&str, String)> = {
        let world = demo.systems.world();
        let simulated = crossdock_simulators::SYSTEMS.iter().filter(|name| !demo.real.iter().any(|real| real == *name));
        simulated.filter_map(|name| Some((*name, world.ledger(name)?.lines(0)))).collect()
    };
    let ledgers = parse_all(texts.iter().map(|(name, lines)| (*name, lines.as_str())));
    let hub = HubView::read(&*demo.store).await.map_err(|e| format!("the store cannot be read: {e}"))?;
    let rows = ledgers.values().flat_map(|ledger| &ledger.rows);
    let short = rows.filter(|row| row.operation == "short_pick.line").map(|row| format!("{}/{}", row.site, row.order)).collect();
    Ok((verify(&ledgers, Some(&hub), Some(&known_flows), &Options::at_rest(demo.hub.now())), short))
}

fn judge(expectations: &[Expectation], found: &HashMap<String, Found>, short: &HashSet<String>, mut verdict: Verdict) -> Verdict {
    verdict.orders = expectations.len();
    for expectation in expectations {
        let end = end_of(found.get(&key(expectation)));
        *verdict.ends.entry(end.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
        if let Some(order) = found.get(&key(expectation)) {
            for class in &order.exceptions {
                *verdict.parked.entry(class.clone()).or_default() += 1;
            }
        }
        // What the warehouse does not find is cancelled, and with it an order of nothing else.
        let nothing_left = end == "cancelled" && short.contains(&key(expectation));
        if !fits(&expectation.expected_end, &end) && !nothing_left {
            let order = found.get(&key(expectation)).cloned().unwrap_or_default();
            verdict.parked_beyond += usize::from(end.starts_with("parked "));
            verdict.unexpected.push(Unexpected {
                order: key(expectation),
                kind: format!("{:?}", expectation.kind),
                expected: format!("{:?}", expectation.expected_end),
                found: format!("{end}; stage {}; {}", order.stage, order.waiting_for),
            });
        }
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
    let exceptions =
        demo.store.exceptions(ExceptionQuery { limit: 100_000, ..ExceptionQuery::default() }).await.unwrap_or_default();
    for exception in exceptions {
        let summary = &exception.process.row.summary;
        if let Some(order) = orders.get_mut(&format!("{}/{}", summary.site, summary.number)) {
            order.exceptions.push(exception.row.class.to_string());
        }
    }
    orders
}

impl Verdict {
    fn new(report: Report, settled_after: Duration, parked_beyond_max: usize) -> Self {
        Self {
            orders: 0,
            ends: BTreeMap::new(),
            parked: BTreeMap::new(),
            unexpected: Vec::new(),
            parked_beyond: 0,
            parked_beyond_max,
            settled_after_s: settled_after.0 / 1_000,
            whole: true,
            report,
        }
    }

    pub fn is_good(&self) -> bool {
        self.word() == "good"
    }

    /// In the order of how bad it is.
    pub fn word(&self) -> &'static str {
        let planted_missed = self.unexpected.iter().any(|unexpected| unexpected.expected.starts_with("Parked"));
        let lost = self.ends.contains_key("lost");
        if !self.report.is_clean_on(if self.whole { &DEMANDED } else { &[] }) {
            "an invariant does not hold, or was not checked"
        } else if lost {
            "orders were lost"
        } else if planted_missed || self.parked_beyond > self.parked_beyond_max {
            "parked others than the planted ones"
        } else if (self.orders - self.unexpected.len()) * 100 < self.orders * ENDED_MIN {
            "too few ended as their kind demands"
        } else {
            "good"
        }
    }

    pub fn to_json(&self) -> String {
        let report = self.report.to_json();
        json!({
            "orders": self.orders,
            "ends": self.ends,
            "parked": self.parked,
            "unexpected": self.unexpected,
            "settled_after_s": self.settled_after_s,
            "invariants": report["invariants"],
            "notes": report["notes"],
            "verdict": self.word(),
        })
        .to_string()
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
            writeln!(
                f,
                "  {} ({}): expected {}, found {}",
                unexpected.order, unexpected.kind, unexpected.expected, unexpected.found
            )?;
        }
        let hidden = self.unexpected.len().saturating_sub(20);
        if hidden > 0 {
            writeln!(f, "  and {hidden} more that ended otherwise than their kind demands")?;
        }
        write!(f, "{}", self.report)?;
        writeln!(f, "{}", self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossdock_simulators::Kind;
    use crossdock_verify::Verdict as Said;

    fn report(broken: Option<Invariant>) -> Report {
        let said = |id| match broken == Some(id) {
            true => Said::Violated { checked: 1, findings: Vec::new(), total: 1 },
            false => Said::Ok { checked: 1 },
        };
        Report { invariants: DEMANDED.into_iter().map(|id| (id, said(id))).collect(), counts: BTreeMap::new(), notes: Vec::new() }
    }

    /// A hundred ordinary orders and one to be reviewed; some end otherwise.
    fn judged(others: &[(&str, &str, &[&str])], short: &[&str], broken: Option<Invariant>, beyond_max: usize) -> Verdict {
        let expectation = |n: usize| Expectation {
            order: format!("{n:03}"),
            site: "DE".into(),
            kind: Kind::Ordinary,
            expected_end: if n == 100 { End::Parked("fraud_review".into()) } else { End::Closed },
            cancel_after_ms: None,
            cancel_lines: Vec::new(),
            features: Vec::new(),
        };
        let expectations: Vec<_> = (0..=100).map(expectation).collect();
        let order = |status: &str, exceptions: &[&str]| Found {
            status: status.into(),
            exceptions: exceptions.iter().map(|class| (*class).into()).collect(),
            ..Found::default()
        };
        let mut found: HashMap<String, Found> = expectations.iter().map(|e| (key(e), order("closed", &[]))).collect();
        found.insert("DE/100".into(), order("open", &["fraud_review"]));
        for (number, status, exceptions) in others {
            match *status {
                "lost" => found.remove(*number),
                status => found.insert((*number).into(), order(status, exceptions)),
            };
        }
        let short = short.iter().map(|number| (*number).to_owned()).collect();
        judge(&expectations, &found, &short, Verdict::new(report(broken), Duration::seconds(4), beyond_max))
    }

    #[test]
    fn a_run_is_good_only_if_everything_is() {
        type Others<'a> = &'a [(&'a str, &'a str, &'a [&'a str])];
        let late: Others<'_> =
            &[("DE/001", "open", &[]), ("DE/002", "open", &[]), ("DE/003", "open", &[]), ("DE/004", "open", &[])];
        let cases: [(&str, Others<'_>, Option<Invariant>, usize, &str); 9] = [
            ("as planned", &[], None, 0, "good"),
            ("three late", &late[..3], None, 0, "good"),
            ("four late", late, None, 0, "too few ended as their kind demands"),
            ("one lost", &[("DE/001", "lost", &[])], None, 0, "orders were lost"),
            ("a second ERP order", &[], Some(Invariant::I2), 0, "an invariant does not hold, or was not checked"),
            ("one parked beyond", &[("DE/001", "open", &["silent"])], None, 0, "parked others than the planted ones"),
            ("one parked beyond, under faults", &[("DE/001", "open", &["silent"])], None, 1, "good"),
            ("the review was passed over", &[("DE/100", "closed", &[])], None, 1, "parked others than the planted ones"),
            ("parked for another reason", &[("DE/100", "open", &["silent"])], None, 0, "parked others than the planted ones"),
        ];
        for (what, others, broken, beyond_max, word) in cases {
            assert_eq!(judged(others, &[], broken, beyond_max).word(), word, "{what}");
        }
    }

    #[test]
    fn an_order_of_which_nothing_was_on_the_shelf_may_be_cancelled() {
        assert_eq!(judged(&[("DE/001", "cancelled", &[])], &[], None, 0).unexpected.len(), 1);
        assert_eq!(judged(&[("DE/001", "cancelled", &[])], &["DE/001"], None, 0).unexpected.len(), 0);
    }

    #[test]
    fn json_counts_by_end_and_tells_each_invariant() {
        let json: serde_json::Value = serde_json::from_str(&judged(&[], &[], None, 0).to_json()).expect("it is JSON");
        assert_eq!((&json["orders"], &json["ends"]["closed"], &json["verdict"]), (&json!(101), &json!(100), &json!("good")));
        assert_eq!(json["invariants"].as_array().map(Vec::len), Some(DEMANDED.len()));
        assert_eq!(json["invariants"][0]["verdict"], "ok");
    }
}
