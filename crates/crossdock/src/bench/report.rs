//! What the rounds gave: medians, ratios, and how they stand to the goals.

use serde_json::{Value, json};
use std::fmt;

/// Orders a second of Restate 1.7 in the same flow, measured once on the two-core machine the goals were set on.
const RESTATE_ORDERS_PER_S: f64 = 950.0;

pub struct Report {
    pub clients: usize,
    pub orders: u64,
    pub rounds: usize,
    /// Of the last minute, before and after.
    pub load_average: [f64; 2],
    pub workloads: Vec<Summary>,
}

#[derive(Default)]
pub struct Summary {
    pub workload: &'static str,
    pub rounds: Vec<Round>,
    pub end_to_end: Vec<EndToEnd>,
    pub idle_bytes: u64,
    pub filled: Option<Filled>,
    pub in_flight: Option<InFlight>,
    /// Several hubs on one database, by their number.
    pub nodes: Vec<(usize, Summary)>,
    /// The embedded store in the same run, for comparison with another.
    pub embedded: Option<Box<Summary>>,
    /// Effects that reached a system before their turn, and those that reached it twice.
    pub out_of_order: u64,
    pub repeated: u64,
}

/// One round; what is not a rate is of one order.
#[derive(Clone, Copy)]
pub struct Round {
    pub orders_per_s: f64,
    pub raw_orders_per_s: f64,
    pub cpu_ms: f64,
    pub raw_cpu_ms: f64,
    pub accept_p50_ms: f64,
    pub accept_p99_ms: f64,
    pub store_bytes: f64,
    pub written_bytes: f64,
}

pub struct EndToEnd {
    pub clients: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

#[derive(Default)]
pub struct Filled {
    pub orders: u64,
    pub fill_seconds: f64,
    pub store_bytes: u64,
    pub empty: Vec<Round>,
    pub full: Vec<Round>,
}

pub struct InFlight {
    pub orders: u64,
    pub bytes: u64,
    pub peak_bytes: u64,
    pub accepted_seconds: f64,
    pub done_seconds: f64,
}

/// The load average of the last minute.
pub fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

fn median(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> f64 {
    let mut all: Vec<f64> = rounds.iter().map(figure).collect();
    all.sort_by(f64::total_cmp);
    match all.len() {
        0 => 0.0,
        n if n % 2 == 1 => all[n / 2],
        n => f64::midpoint(all[n / 2 - 1], all[n / 2]),
    }
}

const fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Three digits that mean something.
fn rounded(figure: f64) -> f64 {
    if figure == 0.0 || !figure.is_finite() {
        return figure;
    }
    let scale = 10_f64.powi(2 - figure.abs().log10().floor() as i32);
    let rounded = (figure * scale).round() / scale;
    if figure.abs() >= 100.0 { figure.round() } else { rounded }
}

impl Report {
    /// Whether every order had its effects once, in their order.
    pub fn is_sound(&self) -> bool {
        self.workloads.iter().all(|workload| workload.out_of_order == 0 && workload.repeated == 0)
    }

    pub fn to_json(&self) -> Value {
        let mut report = json!({
            "bench": "order-flow",
            "clients": self.clients,
            "orders": self.orders,
            "rounds": self.rounds,
            "load_average": self.load_average,
        });
        for workload in &self.workloads {
            report[workload.workload] = workload.to_json();
        }
        report
    }
}

impl Summary {
    fn ratio_to_raw(&self) -> f64 {
        median(&self.rounds, |round| round.orders_per_s / round.raw_orders_per_s)
    }

    fn to_json(&self) -> Value {
        let figure = |of: fn(&Round) -> f64| rounded(median(&self.rounds, of));
        let mut summary = json!({
            "orders_per_s": figure(|r| r.orders_per_s),
            "raw_orders_per_s": figure(|r| r.raw_orders_per_s),
            "ratio_to_raw": rounded(self.ratio_to_raw()),
            "times_restate": rounded(median(&self.rounds, |r| r.orders_per_s) / RESTATE_ORDERS_PER_S),
            "accept_p50_ms": figure(|r| r.accept_p50_ms),
            "accept_p99_ms": figure(|r| r.accept_p99_ms),
            "cpu_ms_per_order": figure(|r| r.cpu_ms),
            "raw_cpu_ms_per_order": figure(|r| r.raw_cpu_ms),
            "store_bytes_per_order": figure(|r| r.store_bytes),
            "written_bytes_per_order": figure(|r| r.written_bytes),
            "idle_mb": rounded(mb(self.idle_bytes)),
            "out_of_order": self.out_of_order,
            "repeated": self.repeated,
            "rounds": self.rounds.iter().map(|r| json!({
                "orders_per_s": rounded(r.orders_per_s), "raw_orders_per_s": rounded(r.raw_orders_per_s), "cpu_ms": rounded(r.cpu_ms),
            })).collect::<Vec<_>>(),
        });
        for end in &self.end_to_end {
            summary["end_to_end"][end.clients.to_string()] =
                json!({"p50_ms": rounded(end.p50_ms), "p99_ms": rounded(end.p99_ms)});
        }
        if let Some(filled) = &self.filled {
            summary["filled"] = json!({
                "orders": filled.orders,
                "fill_seconds": rounded(filled.fill_seconds),
                "store_mb": rounded(mb(filled.store_bytes)),
                "orders_per_s": rounded(median(&filled.full, |r| r.orders_per_s)),
                "ratio_to_empty": rounded(filled.ratio_to_empty()),
                "cpu_ratio_to_empty": rounded(filled.cpu_ratio_to_empty()),
            });
        }
        for (count, nodes) in &self.nodes {
            summary["nodes"][count.to_string()] = nodes.brief();
        }
        if let Some(embedded) = &self.embedded {
            summary["sqlite"] = embedded.brief();
        }
        if let Some(flight) = &self.in_flight {
            summary["in_flight"] = json!({
                "orders": flight.orders,
                "mb": rounded(mb(flight.bytes)),
                "peak_mb": rounded(mb(flight.peak_bytes)),
                "accepted_seconds": rounded(flight.accepted_seconds),
                "done_seconds": rounded(flight.done_seconds),
            });
        }
        summary
    }

    /// The rounds alone.
    fn brief(&self) -> Value {
        let figure = |of: fn(&Round) -> f64| rounded(median(&self.rounds, of));
        json!({
            "orders_per_s": figure(|r| r.orders_per_s),
            "raw_orders_per_s": figure(|r| r.raw_orders_per_s),
            "ratio_to_raw": rounded(self.ratio_to_raw()),
            "cpu_ms_per_order": figure(|r| r.cpu_ms),
            "accept_p50_ms": figure(|r| r.accept_p50_ms),
            "accept_p99_ms": figure(|r| r.accept_p99_ms),
        })
    }

    /// The same on one line.
    fn line(&self) -> String {
        let figure = |of: fn(&Round) -> f64| rounded(median(&self.rounds, of));
        let (orders, cpu) = (figure(|r| r.orders_per_s), figure(|r| r.cpu_ms));
        format!("{orders} orders/s, {} of raw, {cpu} ms CPU an order", rounded(self.ratio_to_raw()))
    }

    /// How much more CPU an order costs with several nodes than with one.
    fn rise(&self, nodes: &Self) -> f64 {
        median(&nodes.rounds, |r| r.cpu_ms) / median(&self.rounds, |r| r.cpu_ms)
    }

    /// The goals of the project for a workload on PostgreSQL, where the CPU is that of hub and database.
    fn goals_on_postgres(&self) -> Vec<(String, f64, f64, bool)> {
        let mut goals = Vec::new();
        if self.workload == "engine" {
            goals.push(("ratio to raw".to_owned(), self.ratio_to_raw(), 0.30, true));
            goals.push(("CPU ms an order".to_owned(), median(&self.rounds, |r| r.cpu_ms), 0.25, false));
        }
        let rises = self.nodes.iter().map(|(count, nodes)| (format!("{count} nodes, CPU to one"), self.rise(nodes), 1.20, false));
        goals.extend(rises);
        goals
    }

    /// The goals of the project for a workload: name, figure, goal, and whether more is better.
    fn goals(&self) -> Vec<(String, f64, f64, bool)> {
        if self.embedded.is_some() {
            return self.goals_on_postgres();
        }
        let figure = |of: fn(&Round) -> f64| median(&self.rounds, of);
        let cpu = if self.workload == "engine" { 0.15 } else { 1.0 };
        let mut goals = vec![
            ("ratio to raw", self.ratio_to_raw(), 0.40, true),
            ("CPU ms an order", figure(|r| r.cpu_ms), cpu, false),
            ("accept p50 ms", figure(|r| r.accept_p50_ms), 10.0, false),
            ("accept p99 ms", figure(|r| r.accept_p99_ms), 30.0, false),
            ("store bytes an order", figure(|r| r.store_bytes), 10_000.0, false),
            ("memory MB, idle", mb(self.idle_bytes), 64.0, false),
        ];
        if self.workload == "engine" {
            goals.push(("times Restate 1.7", figure(|r| r.orders_per_s) / RESTATE_ORDERS_PER_S, 8.0, true));
        }
        if let Some(filled) = &self.filled {
            goals.push(("filled, ratio to empty", filled.ratio_to_empty(), 0.85, true));
        }
        if let Some(flight) = &self.in_flight {
            goals.push(("memory MB, 50,000 in flight", mb(flight.peak_bytes), 512.0, false));
        }
        goals.into_iter().map(|(name, figure, goal, more)| (name.to_owned(), figure, goal, more)).collect()
    }
}

impl Filled {
    fn ratio_to_empty(&self) -> f64 {
        let pairs: Vec<f64> =
            self.full.iter().zip(&self.empty).map(|(full, empty)| full.orders_per_s / empty.orders_per_s).collect();
        middle(pairs)
    }

    fn cpu_ratio_to_empty(&self) -> f64 {
        middle(self.full.iter().zip(&self.empty).map(|(full, empty)| full.cpu_ms / empty.cpu_ms).collect())
    }
}

fn middle(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = self.load_average;
        writeln!(
            f,
            "order-flow: {} clients, {} orders a round, medians of {} rounds; load average {before} before, {after} after",
            self.clients, self.orders, self.rounds
        )?;
        for workload in &self.workloads {
            let figure = |of: fn(&Round) -> f64| rounded(median(&workload.rounds, of));
            writeln!(f, "\n{}", workload.workload)?;
            writeln!(f, "  orders a second            {}", figure(|r| r.orders_per_s))?;
            writeln!(f, "  raw orders a second        {}", figure(|r| r.raw_orders_per_s))?;
            writeln!(f, "  raw CPU ms an order        {}", figure(|r| r.raw_cpu_ms))?;
            writeln!(f, "  written bytes an order     {}", figure(|r| r.written_bytes))?;
            for end in &workload.end_to_end {
                writeln!(
                    f,
                    "  end to end, {:>2} clients     p50 {} ms, p99 {} ms",
                    end.clients,
                    rounded(end.p50_ms),
                    rounded(end.p99_ms)
                )?;
            }
            for (count, nodes) in workload.nodes.iter().map(|(count, nodes)| (*count, nodes)) {
                writeln!(f, "  {count} nodes                    {}", nodes.line())?;
            }
            if let Some(embedded) = &workload.embedded {
                writeln!(f, "  SQLite, same run           {}", embedded.line())?;
            }
            for (name, figure, goal, more) in workload.goals() {
                let kept = if more { figure >= goal } else { figure <= goal };
                let (sign, verdict) = (if more { ">=" } else { "<=" }, if kept { "kept" } else { "MISSED" });
                writeln!(f, "  {name:<27}{:<10} goal {sign} {goal:<7} {verdict}", rounded(figure))?;
            }
        }
        Ok(())
    }
}
