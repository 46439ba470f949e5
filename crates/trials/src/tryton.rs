//! `tryton`: orders from the simulated storefront through the hub into a real ERP, and then the ERP's own tables against the orders.
//!
//! The hub is the shipped program on the demo's landscape with Tryton for its ERP (`peers/tryton/landscape.py`); all other systems are
//! simulated. Some shoppers cancel. Some orders are planted: their tax is stated as no rounding makes it, and policy says what becomes
//! of each. With `--faults` the way to Tryton is cut at random, also after a request went through, and Tryton is killed and restarted.
//!
//! What is judged is read by `psql`, in sums worked out anew from the storefront's documents; nothing of the connector is used. Not
//! shown here: a power loss of the ERP's database, which runs without waiting for its disk.

mod hub;
mod judge;
mod orders;
mod peer;
mod proxy;
mod run;
mod tables;

use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
pub struct Args {
    /// What `peers/tryton/setup` wrote of the Tryton that is up: `target/peers/tryton/api.json`.
    #[arg(long, value_name = "API_JSON")]
    facts: PathBuf,
    /// Orders that are to be booked; planted ones are among them.
    #[arg(long, visible_alias = "count", default_value_t = 200)]
    orders: usize,
    /// Orders beyond these that their shoppers cancel.
    #[arg(long, default_value_t = 20)]
    cancellations: usize,
    /// Decides the orders, and the draws of the faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Cut connections at random, and kill and restart Tryton.
    #[arg(long)]
    faults: bool,
    /// Orders under way at once [default: 16, with --faults 40].
    #[arg(long)]
    in_flight: Option<usize>,
    /// Keep the hub's landscape, store and log in this folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fault(&format!("no threads to run on: {error}")),
    };
    match runtime.block_on(run::campaign(args)) {
        Ok(report) => {
            if args.json {
                println!("{}", serde_json::to_string(&report).expect("a report is plain data"));
            } else {
                print!("{report}");
            }
            ExitCode::from(u8::from(!report.is_good()))
        }
        Err(reason) => fault(&reason),
    }
}

fn fault(reason: &str) -> ExitCode {
    eprintln!("tryton: {reason}");
    ExitCode::from(2)
}
