//! `nodes`: three hubs, each a process of its own, on one private PostgreSQL, while orders keep coming in through a balancer. At moments
//! drawn from the seed one of them is killed (`kill -9`), stands still for longer than a lease (`SIGSTOP`), loses its way to the
//! database or back from it, or is stopped as it should be; then it comes back.
//!
//! At the end the systems' own ledgers and the store are judged as by `kill`. Besides, PostgreSQL itself watches each effect that is
//! written: under any other epoch than its partition's lease has at that moment, it is on record. And after each blow it is timed how
//! long the partitions took to be spread evenly over the nodes that are left.
//!
//! With `--upgrade` nothing is broken: the nodes are replaced one after another, as by a rolling upgrade, while orders are handed over by
//! the interface through the balancer, which asks `/readyz`. No call may fail then.
//!
//! Not shown here: a network that loses packets between the nodes and the systems (the engine's tests have that), and roads cut in the
//! kernel: a road is a relay that holds the bytes back.

mod course;
mod road;
mod site;

pub use course::{Blow, Report, Setting, campaign};

use crate::outcome;
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
pub struct Args {
    /// How many blows, or with --upgrade how often each node is replaced.
    #[arg(long, default_value_t = 60)]
    count: u64,
    /// Replace one node after another by a new one, while orders are handed over by the interface: none of these calls may fail.
    #[arg(long)]
    upgrade: bool,
    /// Decides the orders, the blows and their moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Orders under way at once.
    #[arg(long, default_value_t = 100)]
    in_flight: usize,
    /// Most orders placed a second.
    #[arg(long, default_value_t = 20)]
    rate: usize,
    /// Keep the ledgers and the hubs' logs in this folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> ExitCode {
    let setting = Setting {
        blows: None,
        upgrade: args.upgrade,
        count: args.count,
        seed: args.seed,
        in_flight: args.in_flight,
        rate: args.rate,
        keep: args.keep.clone(),
    };
    outcome::run("nodes", args.json, Report::is_good, campaign(&setting))
}
