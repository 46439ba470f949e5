//! localstripe, somebody else's stand-in for Stripe, takes what the hub's Stripe connector sends.
//!
//! What is done and what must hold is told by `crates/crossdock/examples/stripe_against.rs`; what is special about this peer
//! by `peers/localstripe/README.md`.

use std::{process::Command, time::Duration};

use super::program::{self, Deadline, Program};
use crate::process;

pub const NEEDS: &[&str] = &["python3-venv"];

pub fn run() -> Result<(), String> {
    let python = program::python("localstripe")?;
    let driver = program::built(&["--example", "stripe_against"])?;
    let serve = process::root().join("peers/localstripe/serve.py");
    let mut peer = Program::start(Command::new(python).arg(serve))?;
    let ready = Deadline::after(Duration::from_secs(30));
    let address = peer.wait_for("READY", ready, |line| line.strip_prefix("READY ").map(str::to_owned))?;
    program::run(Command::new(driver).arg(address), Duration::from_secs(60)).map(|_| ())
}
