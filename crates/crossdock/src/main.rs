//! The `crossdock` program: one binary, a command for each thing people do with the hub.
//!
//! This crate only wires: it reads a landscape, builds connectors, opens the store, starts engine and surfaces, and prints. What
//! happens to an order is in `flows`, what happens to a call in `engine`.

mod backup;
mod bench;
mod check;
mod demo;
mod exceptions;
mod exit;
mod fixture;
mod hub;
mod remote;
mod run;
mod schema;
mod simulate;
mod source;
mod store;
mod stores;
mod trace;
mod verify;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The hub makes and drops many small things on several threads; the system's allocator spends a third of its time on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// Show the whole life of one order with every attempt.
    Trace(trace::Args),
    /// List what waits for a person, and retry, skip or cancel it.
    Exceptions(exceptions::Args),
    /// Check the systems' ledgers and the hub's store against the invariants.
    Verify(verify::Args),
    /// Back up a store, check a backup, and put one back.
    Backup(backup::Args),
    /// Move a store from its file into PostgreSQL.
    Store(store::Args),
    /// Measure the hub on this machine.
    Bench(bench::Args),
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
        Command::Trace(args) => runtime.block_on(trace::run(args)),
        Command::Exceptions(args) => runtime.block_on(exceptions::run(args)),
        Command::Verify(args) => runtime.block_on(verify::run(args)),
        Command::Backup(args) => runtime.block_on(backup::run(args)),
        Command::Store(args) => store::run(&args),
        Command::Bench(args) => runtime.block_on(bench::run(args)),
        Command::Schema(args) => schema::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, error::ErrorKind};

    #[test]
    fn every_command_has_help_and_its_arguments_fit_together() {
        let mut cli = Cli::command();
        cli.build();
        cli.clone().debug_assert();
        for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            let told = Cli::try_parse_from(["crossdock", command.get_name(), "--help"]);
            let told = told.err().map(|error| (error.kind(), error.exit_code()));
            if command.get_name() != "help" {
                assert_eq!(told, Some((ErrorKind::DisplayHelp, 0)), "{}", command.get_name());
            }
        }
    }

    #[test]
    fn bad_usage_is_exit_code_two() {
        for line in [
            "trace",
            "trace 1 --store a --url http://x",
            "exceptions skip 1 --url http://x",
            "exceptions retry 1",
            "verify",
            "backup check",
            "backup check b.db --landscape .",
            "backup restore b.db",
            "backup --to a --store b --landscape .",
            "store move",
            "store move --from hub.db",
            "store move --from hub.db --to env:URL --landscape .",
            "verify --ledger erp",
            "verify --ledger erp=x --settle soon",
        ] {
            let error = Cli::try_parse_from(std::iter::once("crossdock").chain(line.split(' '))).err();
            assert_eq!(error.map(|error| error.exit_code()), Some(2), "{line}");
        }
    }
}
