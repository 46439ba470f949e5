//! `crossdock check`: what a pipeline runs before a landscape goes live.

use crate::{exit, hub};
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
pub struct Args {
    /// The landscape's folder.
    #[arg(default_value = ".")]
    landscape: PathBuf,
    /// Print faults as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> ExitCode {
    let report = match crossdock_landscape::check(&args.landscape, &hub::known()) {
        Ok(report) => report,
        Err(error) => return exit::usage(format!("{} cannot be read: {error}", args.landscape.display())),
    };
    if args.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    if report.is_clean() { exit::OK } else { exit::FAULT }
}
