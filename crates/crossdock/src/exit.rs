//! Exit codes, the same for every command: 0 ok, 1 found a fault, 2 bad usage.

use std::{fmt::Display, process::ExitCode};

pub const OK: ExitCode = ExitCode::SUCCESS;
pub const FAULT: ExitCode = ExitCode::FAILURE;

/// Why a command came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What was asked makes no sense, or not enough was said.
    Usage(String),
    /// It was asked well and did not work.
    Fault(String),
}

impl Failure {
    pub fn usage(message: impl Display) -> Self {
        Self::Usage(message.to_string())
    }

    pub fn fault(message: impl Display) -> Self {
        Self::Fault(message.to_string())
    }

    /// Says it on standard error.
    pub fn exit(self) -> ExitCode {
        match self {
            Self::Usage(message) => usage(message),
            Self::Fault(message) => fault(message),
        }
    }
}

/// Bad usage that clap could not see.
pub fn usage(message: impl Display) -> ExitCode {
    eprintln!("crossdock: {message}");
    ExitCode::from(2)
}

/// A fault found while running.
pub fn fault(message: impl Display) -> ExitCode {
    eprintln!("crossdock: {message}");
    FAULT
}
