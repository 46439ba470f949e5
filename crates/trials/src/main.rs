//! `cargo run --release -p crossdock-trials -- CAMPAIGN`; `cargo xtask campaign` does it for you.

use clap::{Parser, Subcommand};
use crossdock_trials::{bugs, crash, failover, fuzz, kill, moving, nodes, restore, sim, tryton};
use std::process::ExitCode;

/// Campaigns that try to break the hub's promises.
#[derive(Parser)]
#[command(name = "crossdock-trials", about, after_help = "Exit codes: 0 all well, 1 something was found, 2 bad usage.")]
struct Cli {
    #[command(subcommand)]
    campaign: Campaign,
}

#[derive(Subcommand)]
enum Campaign {
    /// Seeded simulation of the real core, flows and connectors, with faults.
    Sim(sim::Args),
    /// Planted bugs, each of which a named test must catch.
    Bugs(bugs::Args),
    /// Crash images of the store's files, with controls that must fail.
    Crash(crash::Args),
    /// kill -9 under load, or before every state-changing system call of one order's life.
    Kill(kill::Args),
    /// Three hubs on one database under load: killed, paused, cut off, stopped and started again.
    Nodes(nodes::Args),
    /// The database killed under load and its standby promoted, or stopped for a while.
    Failover(failover::Args),
    /// A store moved into PostgreSQL by a program that is killed and run again.
    Move(moving::Args),
    /// A hub put back to a backup of earlier, against the ledgers of systems that remember.
    Restore(restore::Args),
    /// Broken order payloads through both doors.
    Fuzz(fuzz::Args),
    /// Orders into a real ERP that is up, and its tables against them.
    Tryton(tryton::Args),
}

fn main() -> ExitCode {
    match Cli::parse().campaign {
        Campaign::Sim(args) => sim::run(&args),
        Campaign::Bugs(args) => bugs::run(&args),
        Campaign::Crash(args) => crash::run(&args),
        Campaign::Kill(args) => kill::run(&args),
        Campaign::Nodes(args) => nodes::run(&args),
        Campaign::Failover(args) => failover::run(&args),
        Campaign::Move(args) => moving::run(&args),
        Campaign::Restore(args) => restore::run(&args),
        Campaign::Fuzz(args) => fuzz::run(&args),
        Campaign::Tryton(args) => tryton::run(&args),
    }
}
