//! `kill`: the hub is a process of its own and is killed without warning, over and over, while the systems around it go on.
//!
//! - By default at random: orders keep coming, some two hundred are under way, and at moments drawn from the seed the hub gets
//!   `kill -9` and is started again on the same store. At the end it may settle; then the systems' ledgers and the store are judged.
//! - `--exhaustive`: one order, a hub with one thread, and the end before the n-th system call that changes something outside the
//!   process, for every n. What is durable or was sent changes at no other moment.
//!
//! Not shown here: writes that the kernel had and the disk had not (campaign `crash`), and schedules of threads that never came up.
//! The seed repeats the orders and the moments, not the threads.

mod exhaustive;
pub(crate) mod hub;
pub(crate) mod judge;
pub(crate) mod random;
pub(crate) mod shop;
mod single;
mod still;

pub use random::{Report, Setting, campaign};

use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
pub struct Args {
    /// How many kills; with --exhaustive at most so many calls, all by default.
    #[arg(long)]
    count: Option<u64>,
    /// Decides the orders and the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Orders under way at once.
    #[arg(long, default_value_t = 200)]
    in_flight: usize,
    /// Most orders placed a second.
    #[arg(long, default_value_t = 40)]
    rate: usize,
    /// Kill before every state-changing system call of one order's life instead.
    #[arg(long)]
    exhaustive: bool,
    /// With --exhaustive: the first call to die before.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Keep the store, the ledgers and the hub's log, or with --exhaustive the calls of two lives, in this folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Be the hub with one thread that --exhaustive kills, on the store in this folder.
    #[arg(long, hide = true, value_name = "FOLDER")]
    be_the_hub: Option<PathBuf>,
}

const KILLS: u64 = 200;

pub fn run(args: &Args) -> ExitCode {
    if let Some(folder) = &args.be_the_hub {
        return single::run(folder);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fault(format!("no threads to run on: {error}")),
    };
    if args.exhaustive {
        let (keep, count) = (args.keep.clone(), args.count.unwrap_or(u64::MAX));
        let setting = exhaustive::Setting { keep, seed: args.seed, from: args.from.max(1), count };
        return match runtime.block_on(exhaustive::campaign(&setting)) {
            Ok(report) => tell(&report, args.json, report.is_good()),
            Err(reason) => fault(reason),
        };
    }
    let setting = Setting {
        kills: args.count.unwrap_or(KILLS),
        seed: args.seed,
        in_flight: args.in_flight,
        rate: args.rate,
        keep: args.keep.clone(),
    };
    match runtime.block_on(campaign(&setting)) {
        Ok(report) => tell(&report, args.json, report.is_good()),
        Err(reason) => fault(reason),
    }
}

fn tell<R: serde::Serialize + std::fmt::Display>(report: &R, json: bool, good: bool) -> ExitCode {
    if json {
        println!("{}", serde_json::to_string(report).expect("a report is plain data"));
    } else {
        print!("{report}");
    }
    ExitCode::from(u8::from(!good))
}

fn fault(reason: String) -> ExitCode {
    eprintln!("kill: {reason}");
    ExitCode::from(2)
}
