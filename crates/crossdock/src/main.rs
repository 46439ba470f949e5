//! The `crossdock` program: one binary, a command for each thing people do with the hub.
//!
//! This crate only wires: it reads a landscape, builds connectors, opens the store, starts engine and surfaces, and prints. What
//! happens to an order is in `flows`, what happens to a call in `engine`.

mod check;
mod demo;
mod exit;
mod fixture;
mod hub;
mod run;
mod schema;
mod simulate;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The integration hub between Salesforce B2C Commerce and a retailer's back office.
#[derive(Parser)]
#[command(name = "crossdock", version, about, after_help = "Exit codes: 0 ok, 1 found a fault, 2 bad usage.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on this machine: the hub, its console and all systems simulated, with steady orders.
    Demo(demo::Args),
    /// Run a hub on a landscape.
    Run(run::Args),
    /// Check a landscape and print every fault with its place.
    Check(check::Args),
    /// Run the simulated systems alone.
    Simulate(simulate::Args),
    /// Write the JSON Schemas of the canonical objects into a folder.
    #[command(hide = true)]
    Schema(schema::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("crossdock: no threads to run on: {error}");
            return exit::FAULT;
        }
    };
    match cli.command {
        Command::Demo(args) => runtime.block_on(demo::run(args)),
        Command::Run(args) => runtime.block_on(run::run(args)),
        Command::Check(args) => check::run(&args),
        Command::Simulate(args) => runtime.block_on(simulate::run(args)),
        Command::Schema(args) => schema::run(&args),
    }
}
