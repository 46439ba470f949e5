//! How a campaign ends as a command: its report in words or as JSON, and the exit code that says what it found.

use serde::Serialize;
use std::{fmt::Display, process::ExitCode};

/// 0: `is_good`; 1: something was found; 2: it could not be run.
pub(crate) fn run<R: Serialize + Display>(
    name: &str,
    json: bool,
    is_good: fn(&R) -> bool,
    campaign: impl Future<Output = Result<R, String>>,
) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(|e| format!("no threads to run on: {e}")).and_then(|runtime| runtime.block_on(campaign)) {
        Ok(report) => {
            if json {
                println!("{}", serde_json::to_string(&report).expect("a report is plain data"));
            } else {
                print!("{report}");
            }
            ExitCode::from(u8::from(!is_good(&report)))
        }
        Err(reason) => {
            eprintln!("{name}: {reason}");
            ExitCode::from(2)
        }
    }
}
