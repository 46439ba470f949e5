//! `sim`: seeded simulation of the real core, flows, connectors, mappings and landscape against the simulated systems.
//!
//! A seed is a world: its orders, its faults, its crashes. While the faults last nothing is demanded but safety; when they stop
//! everything must settle (liveness), each order as its kind demands. The systems' ledgers are the witnesses, not the hub.
//!
//! Not simulated: the disk (campaign `crash`), the process (campaign `kill`), sockets and threads (the demo).

mod judge;
mod weather;
mod world;

use crate::wiring;
use crossdock_engine::Wiring;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};
pub use world::{Outcome, Setting};

/// Every so many seeds a world is run twice, and both traces must be equal.
const TWICE_EVERY: u64 = 100;

#[derive(clap::Args)]
pub struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many worlds, one a seed.
    #[arg(long, default_value_t = 100)]
    count: u64,
    /// Orders a world.
    #[arg(long, default_value_t = 100)]
    orders: u32,
    /// Worlds at once.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Without faults.
    #[arg(long)]
    calm: bool,
    /// Print the journal of the processes whose key ends so, after each world.
    #[arg(long, value_name = "NUMBER")]
    trace: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// What a campaign found.
#[derive(Serialize)]
pub struct Report {
    pub worlds: u64,
    pub orders: u64,
    pub orders_a_minute: u64,
    pub seconds: f64,
    pub first_seed: u64,
    /// Injected faults by class.
    pub faults: BTreeMap<String, u64>,
    pub faults_an_order: f64,
    /// Classes of fault that never happened.
    pub idle_faults: Vec<String>,
    /// Orders by how they ended.
    pub ends: BTreeMap<String, u64>,
    /// Inputs the cores heard.
    pub steps: u64,
    /// Worlds run twice with equal traces.
    pub repeated: u64,
    pub findings: Vec<Found>,
}

#[derive(Serialize)]
pub struct Found {
    pub seed: u64,
    pub what: String,
}

#[expect(clippy::disallowed_methods, reason = "the campaign's own stopwatch; no simulated time is read from it")]
pub fn run(args: &Args) -> ExitCode {
    let begun = Instant::now();
    let report = match campaign(args) {
        Ok(report) => report,
        Err(reason) => {
            eprintln!("sim: {reason}");
            return ExitCode::from(2);
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    let report = Report { seconds, orders_a_minute: (report.orders as f64 / seconds * 60.0) as u64, ..report };
    if args.json {
        println!("{}", serde_json::to_string(&report).expect("a report is plain data"));
    } else {
        print!("{report}");
    }
    ExitCode::from(u8::from(!report.findings.is_empty()))
}

fn campaign(args: &Args) -> Result<Report, String> {
    let wiring = wiring::demo()?;
    let setting = Setting { orders: args.orders, faults: !args.calm, trace: args.trace.clone() };
    let (next, last) = (AtomicU64::new(args.seed), args.seed + args.count);
    let (total, stop) = (Mutex::new(Report::new(args.seed)), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..args.threads.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last {
                        break;
                    }
                    let outcome = one(&wiring, seed, &setting);
                    let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    total.add(outcome);
                    // A hundred findings say what there is to say.
                    if total.findings.len() >= 100 {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut report = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if setting.faults {
        report.idle_faults =
            weather::CLASSES.iter().filter(|class| !report.faults.contains_key(**class)).map(|c| (*c).to_owned()).collect();
        report.faults_an_order = report.faults.values().sum::<u64>() as f64 / report.orders.max(1) as f64;
    }
    Ok(report)
}

/// One world, twice when its turn has come.
pub fn one(wiring: &Wiring, seed: u64, setting: &Setting) -> Outcome {
    let mut outcome = world::run(wiring, seed, setting);
    if seed.is_multiple_of(TWICE_EVERY) {
        let again = world::run(wiring, seed, setting);
        if again.trace == outcome.trace {
            outcome.repeated = true;
        } else {
            outcome.findings.push(format!("two runs differ: traces {} and {}", outcome.trace, again.trace));
        }
    }
    outcome
}

/// Runs a few worlds; for tests.
pub fn short(seeds: std::ops::Range<u64>, setting: &Setting) -> Result<Report, String> {
    let wiring = wiring::demo()?;
    let mut report = Report::new(seeds.start);
    for seed in seeds {
        report.add(one(&wiring, seed, setting));
    }
    Ok(report)
}

impl Report {
    fn new(first_seed: u64) -> Self {
        Self {
            worlds: 0,
            orders: 0,
            orders_a_minute: 0,
            seconds: 0.0,
            first_seed,
            faults: BTreeMap::new(),
            faults_an_order: 0.0,
            idle_faults: Vec::new(),
            ends: BTreeMap::new(),
            steps: 0,
            repeated: 0,
            findings: Vec::new(),
        }
    }

    fn add(&mut self, outcome: Outcome) {
        self.worlds += 1;
        self.orders += outcome.orders;
        self.steps += outcome.steps;
        self.repeated += u64::from(outcome.repeated);
        for (class, count) in outcome.faults {
            *self.faults.entry(class).or_default() += count;
        }
        for (end, count) in outcome.ends {
            *self.ends.entry(end).or_default() += count;
        }
        self.findings.extend(outcome.findings.into_iter().map(|what| Found { seed: outcome.seed, what }));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worlds, orders, orders_a_minute, seconds, first_seed, steps, repeated, .. } = self;
        writeln!(
            f,
            "{worlds} worlds from seed {first_seed}, {orders} orders in {seconds:.1} s: {orders_a_minute} orders a minute"
        )?;
        writeln!(f, "{steps} steps; {repeated} worlds run twice with equal traces")?;
        for (end, count) in &self.ends {
            writeln!(f, "  {end:<32}{count:>9}")?;
        }
        writeln!(f, "faults, {:.2} an order", self.faults_an_order)?;
        for (class, count) in &self.faults {
            writeln!(f, "  {class:<32}{count:>9}")?;
        }
        for class in &self.idle_faults {
            writeln!(f, "  {class:<32}    never")?;
        }
        for found in &self.findings {
            writeln!(f, "seed {}: {}", found.seed, found.what)?;
        }
        if self.findings.is_empty() { writeln!(f, "nothing found") } else { writeln!(f, "repeat one with --seed N --count 1") }
    }
}
