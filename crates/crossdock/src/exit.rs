//! Exit codes, the same for every command: 0 ok, 1 found a fault, 2 bad usage.

use std::process::ExitCode;

pub const OK: ExitCode = ExitCode::SUCCESS;
pub const FAULT: ExitCode = ExitCode::FAILURE;

/// Bad usage that clap could not see.
pub fn usage(message: impl std::fmt::Display) -> ExitCode {
    eprintln!("crossdock: {message}");
    ExitCode::from(2)
}

/// A fault found while running.
pub fn fault(message: impl std::fmt::Display) -> ExitCode {
    eprintln!("crossdock: {message}");
    FAULT
}
