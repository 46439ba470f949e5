//! `fuzz`: real order payloads of the storefront, broken on purpose, through both doors an order can come by.
//!
//! Each payload is one of the generator's, with one to three members dropped, retyped, repeated, nested, falsified, or with bytes
//! changed at random (`mutant`). It is posted to the experience API, or stands in a page that the hub polls. Demanded is: a refusal
//! with a code of the catalogue and nothing kept, or an acceptance that is on record and ends as an order or with an exception. No
//! panic, no internal error; and the good orders placed among them all close.
//!
//! The router, the connectors, the core and the flows are the real ones, the store is the one in memory; time is simulated.

mod doors;
mod mutant;
mod town;

use clap::Args as ClapArgs;
use doors::Doors;
use serde::Serialize;
use std::{collections::BTreeMap, fmt, process::ExitCode};

/// Payloads between two looks at the clock.
const BATCH: u64 = 40;
/// Among so many mutants one good order through each door.
const GOOD_EVERY: u64 = 10;

#[derive(ClapArgs)]
pub struct Args {
    /// The seed of orders, systems and mutations.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many payloads, half of them through each door.
    #[arg(long, default_value_t = 2_000)]
    count: u64,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// What became of the payloads.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub seed: u64,
    pub payloads: u64,
    /// Mutations by kind.
    pub mutations: BTreeMap<&'static str, u64>,
    /// Payloads by door and what became of them.
    pub outcomes: BTreeMap<String, u64>,
    pub findings: Vec<String>,
}

pub fn run(args: &Args) -> ExitCode {
    let report = match campaign(args.seed, args.count) {
        Ok(report) => report,
        Err(reason) => {
            eprintln!("fuzz: {reason}");
            return ExitCode::from(2);
        }
    };
    if args.json {
        println!("{}", serde_json::to_string(&report).expect("a report is plain data"));
    } else {
        print!("{report}");
    }
    ExitCode::from(u8::from(!report.findings.is_empty()))
}

/// Sends `count` payloads and looks what became of each.
pub fn campaign(seed: u64, count: u64) -> Result<Report, String> {
    let mut doors = Doors::open(seed)?;
    let mut report = Report { seed, payloads: count, ..Report::default() };
    for number in 0..count {
        if number % 2 == 0 {
            doors.post_mutant(&mut report)?;
        } else {
            doors.poll_mutant(&mut report)?;
        }
        if number % GOOD_EVERY == 0 {
            doors.good(&mut report)?;
        }
        if number % BATCH == BATCH - 1 {
            doors.run_a_while();
        }
    }
    doors.good(&mut report)?;
    doors.settle();
    doors.judge(&mut report);
    Ok(report)
}

impl Report {
    fn count(&mut self, door: &str, outcome: &str) {
        *self.outcomes.entry(format!("{door}: {outcome}")).or_default() += 1;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} payloads from seed {}", self.payloads, self.seed)?;
        for (kind, count) in &self.mutations {
            writeln!(f, "  {kind:<44}{count:>8}")?;
        }
        writeln!(f, "what became of them")?;
        for (outcome, count) in &self.outcomes {
            writeln!(f, "  {outcome:<44}{count:>8}")?;
        }
        for found in &self.findings {
            writeln!(f, "{found}")?;
        }
        match self.findings.is_empty() {
            true => writeln!(f, "nothing found"),
            false => writeln!(f, "repeat it with --seed {} --count {}", self.seed, self.payloads),
        }
    }
}
