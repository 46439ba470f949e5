//! localstripe, somebody else's stand-in for Stripe, takes what the hub's Stripe connector sends.
//!
//! What is done and what must hold is told by `crates/crossdock/examples/stripe_against.rs`; what is special about this peer
//! by `peers/localstripe/README.md`.

use std::{path::PathBuf, process::Command, time::Duration};

use super::program::{self, Deadline, Program};
use crate::process;

pub const NEEDS: &[&str] = &["python3-venv"];

pub fn run() -> Result<(), String> {
    let python = installed()?;
    let driver = program::built(&["--example", "stripe_against"])?;
    let serve = process::root().join("peers/localstripe/serve.py");
    let mut peer = Program::start(Command::new(python).arg(serve))?;
    let ready = Deadline::after(Duration::from_secs(30));
    let address = peer.wait_for("READY", ready, |line| line.strip_prefix("READY ").map(str::to_owned))?;
    program::run(Command::new(driver).arg(address), Duration::from_secs(60)).map(|_| ())
}

/// A Python with the pinned packages; installed anew only when the pins change.
fn installed() -> Result<PathBuf, String> {
    let folder = program::folder("localstripe")?;
    let pins = process::root().join("peers/localstripe/requirements.txt");
    let wanted = std::fs::read(&pins).map_err(|error| format!("{}: {error}", pins.display()))?;
    let (venv, mark) = (folder.join("venv"), folder.join("installed.txt"));
    let python = venv.join("bin/python");
    if python.exists() && std::fs::read(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let limit = Duration::from_secs(60);
    program::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv), limit)?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--requirement"]).arg(&pins);
    program::run(&mut pip, limit)?;
    std::fs::write(&mark, wanted).map_err(|error| format!("{}: {error}", mark.display()))?;
    Ok(python)
}
