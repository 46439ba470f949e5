//! Tryton, a real ERP, as a peer: started by `peers/tryton/setup`, stopped when the handle is dropped.
//!
//! What the set-up does is told in `peers/tryton/README.md`; here is only its life around a step or a campaign.

use std::path::PathBuf;

use crate::process;

/// The Debian packages that the set-up needs.
pub const NEEDS: &[&str] = &["postgresql", "python3-venv"];

/// A running Tryton with its own PostgreSQL.
pub struct Tryton;

impl Tryton {
    /// Brings it up with the content as first made; minutes from nothing, seconds once it was there.
    pub fn start() -> Result<Tryton, String> {
        // Made first, so that a start that fails half way is cleared up too.
        let tryton = Tryton;
        setup("fresh")?;
        Ok(tryton)
    }

    /// The file that tells a connector the address, the ids and the keys.
    pub fn facts(&self) -> PathBuf {
        process::root().join("target/peers/tryton/api.json")
    }

    /// Runs the set-up's own check against it.
    pub fn check(&self) -> Result<(), String> {
        setup("check")
    }
}

/// The short form of the campaign, and the set-up's own check: that Tryton still behaves as the connector assumes.
pub fn run() -> Result<(), String> {
    let tryton = Tryton::start()?;
    let facts = tryton.facts();
    let facts = facts.to_string_lossy();
    // First, because it wants books without a sale.
    process::run_cargo(&[
        "run",
        "--quiet",
        "--package",
        "crossdock-trials",
        "--",
        "tryton",
        "--facts",
        &facts,
        "--orders",
        "10",
        "--cancellations",
        "2",
    ])?;
    tryton.check()
}

impl Drop for Tryton {
    fn drop(&mut self) {
        if let Err(error) = setup("stop") {
            eprintln!("warning: Tryton may still run: {error}");
        }
    }
}

fn setup(command: &str) -> Result<(), String> {
    process::run("peers/tryton/setup", &[command])
}
