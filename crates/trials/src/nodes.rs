//! `nodes`: three hubs, each a process of its own, on one private PostgreSQL, while orders keep coming in through a balancer. At moments
//! drawn from the seed one of them is killed (`kill -9`), stands still for longer than a lease between the check of its lease and a call
//! (`SIGSTOP`), is no longer heard by the database or by anybody, or hears nothing itself, or is stopped as it should be; then it comes
//! back.
//!
//! It goes in legs of some minutes, each with a seed, systems, a database and nodes of its own. A campaign that was broken off goes on
//! with the leg after the last that was judged (`--resume`); a leg's seed with `--count 30` repeats it alone.
//!
//! At the end the systems' own ledgers and the store are judged as by `kill`. Besides, PostgreSQL itself watches each effect that is
//! written: under any other epoch than its partition's lease has at that moment, it is on record. And after each blow it is timed how
//! long the partitions took to be spread evenly over the nodes that are left.
//!
//! With `--upgrade` nothing is broken: the nodes are replaced one after another, as by a rolling upgrade, while orders are handed over by
//! the interface through the balancer, which asks `/readyz`. No call may fail then.
//!
//! Where the machine allows it (as root, with `ip` and `tc`) each node is in a network namespace of its own, and what is cut loses its
//! packets; elsewhere relays on the roads to the database hold the bytes back, and the report says so.

mod cable;
mod course;
mod moment;
mod report;
mod road;
mod site;
mod way;
mod witness;

pub use report::{Blow, Report};

use crate::{outcome, program};
use course::{Fate, Setting};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Blows of one leg: about three minutes.
const LEG: u64 = 30;

#[derive(clap::Args)]
pub struct Args {
    /// Begin another leg while less than this has passed, in minutes; of 30 blows each.
    #[arg(long, default_value_t = 15)]
    minutes: u64,
    /// Instead: how many blows, or with --upgrade how often each node is replaced.
    #[arg(long)]
    count: Option<u64>,
    /// Instead: these blows, in their order.
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with_all = ["count", "upgrade"])]
    blows: Vec<Blow>,
    /// Replace one node after another by a new one, while orders are handed over by the interface: none of these calls may fail.
    #[arg(long)]
    upgrade: bool,
    /// The ERP cannot refuse a repeated order: copies must be found within a cycle of reconciliation, parked and cancelled.
    #[arg(long)]
    lookup_only: bool,
    /// Decides the orders, the blows and their moments. Each leg has the one after that of the leg before.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Orders under way at once.
    #[arg(long, default_value_t = 100)]
    in_flight: usize,
    /// Most orders placed a second.
    #[arg(long, default_value_t = 20)]
    rate: usize,
    /// Keep what each leg has found in this folder, and go on after the legs that are there.
    #[arg(long, value_name = "FOLDER")]
    resume: Option<PathBuf>,
    /// Keep the ledgers and the hubs' logs in this folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// This process is in a network of its own.
    #[arg(long, hide = true)]
    apart: bool,
}

pub fn run(args: &Args) -> ExitCode {
    let apart = if args.apart { Ok(()) } else { Err(cable::move_apart("--apart")) };
    outcome::run("nodes", args.json, Report::is_good, campaign(args, &apart))
}

/// Leg after leg, each with systems, a database and nodes of its own, and judged by itself.
async fn campaign(args: &Args, apart: &Result<(), String>) -> Result<Report, String> {
    // Once: a leg is of the same program as the one before.
    let program = program::crossdock()?;
    let mut whole: Option<Report> = None;
    while let Some(fate) = next(args, whole.as_ref()) {
        let legs = whole.as_ref().map_or(0, |whole| whole.legs);
        let setting = Setting {
            fate,
            seed: args.seed + legs,
            in_flight: args.in_flight,
            rate: args.rate,
            keep: args.keep.as_ref().map(|folder| folder.join(format!("leg-{}", legs + 1))),
            lookup_only: args.lookup_only,
            program: program.clone(),
            apart: apart.clone(),
        };
        let kept = args.resume.as_ref().map(|folder| folder.join(format!("leg-{}.json", legs + 1)));
        let leg = match &kept {
            Some(file) if file.exists() => read(file, setting.seed)?,
            _ => {
                let leg = course::leg(&setting).await.map_err(|e| format!("leg of seed {}: {e}", setting.seed))?;
                eprintln!("leg of seed {}: {}", setting.seed, leg.verdict);
                kept.as_ref().map_or(Ok(()), |file| keep(file, &leg))?;
                leg
            }
        };
        match &mut whole {
            Some(whole) => whole.join(leg),
            None => whole = Some(leg),
        }
    }
    whole.ok_or_else(|| "no blow was asked for".into())
}

/// What the next leg is to bring, if there is one.
fn next(args: &Args, whole: Option<&Report>) -> Option<Fate> {
    if args.upgrade || !args.blows.is_empty() {
        // Not cut into legs.
        let fate = || if args.upgrade { Fate::Upgrades(args.count.unwrap_or(LEG)) } else { Fate::These(args.blows.clone()) };
        return whole.is_none().then(fate);
    }
    let struck = whole.map_or(0, |whole| whole.blows.values().sum());
    let blows = match args.count {
        Some(count) => count.saturating_sub(struck).min(LEG),
        None if whole.is_some_and(|whole| whole.minutes() >= args.minutes as f64) => 0,
        None => LEG,
    };
    (blows > 0).then_some(Fate::Drawn(blows))
}

fn read(file: &Path, seed: u64) -> Result<Report, String> {
    let read =
        fs::read(file).map_err(|e| e.to_string()).and_then(|text| serde_json::from_slice(&text).map_err(|e| e.to_string()));
    let leg: Report = read.map_err(|e| format!("{} is no leg's report: {e}", file.display()))?;
    if leg.seed == seed { Ok(leg) } else { Err(format!("{} is of seed {}: name another folder", file.display(), leg.seed)) }
}

fn keep(file: &Path, leg: &Report) -> Result<(), String> {
    let text = serde_json::to_vec_pretty(leg).expect("a report is plain data");
    // Whole or not at all: a campaign may be broken off at any moment.
    let aside = file.with_extension("aside");
    let kept = fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))
        .and_then(|()| fs::write(&aside, text))
        .and_then(|()| fs::rename(&aside, file));
    kept.map_err(|e| format!("{} cannot be kept: {e}", file.display()))
}
