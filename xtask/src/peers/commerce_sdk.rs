//! Salesforce's own client, `commerce-sdk`, calls every Orders operation against the Salesforce simulator.
//!
//! What it calls and what must come back is told by `crates/simulators/peer-tests/commerce-sdk/drive.cjs`; here it is only
//! installed, pinned by that folder's `package.json`, and given an address.

use std::{process::Command, time::Duration};

use super::program::{self, Deadline, Program};
use crate::process;

pub const NEEDS: &[&str] = &["nodejs", "npm"];

const SCRIPT: &str = "crates/simulators/peer-tests/commerce-sdk";

/// The operations of the Orders API that version 6.6.0 has; the script calls each one that the client has.
const OPERATIONS: &str = "ok: 14 operations";

pub fn run() -> Result<(), String> {
    let folder = program::folder("commerce-sdk")?;
    for file in ["package.json", "drive.cjs"] {
        let from = process::root().join(SCRIPT).join(file);
        std::fs::copy(&from, folder.join(file)).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    let crossdock = program::built(&["--bin", "crossdock"])?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder);
    Program::start(&mut npm)?.finish(Deadline::after(Duration::from_secs(90)))?;

    let mut systems = Program::start(Command::new(crossdock).args(["simulate", "--json", "--orders", "5"]))?;
    let storefront =
        systems.wait_for("the storefront's address", Deadline::after(Duration::from_secs(15)), address_of_the_storefront)?;
    let mut node = Command::new("node");
    node.args(["drive.cjs", &storefront]).current_dir(&folder);
    let said = Program::start(&mut node)?.finish(Deadline::after(Duration::from_secs(60)))?;
    match said.last() {
        Some(last) if last == OPERATIONS => Ok(()),
        last => Err(format!("the client's script should end with {OPERATIONS:?}, not {last:?}")),
    }
}

/// Reads a line of `crossdock simulate --json`.
fn address_of_the_storefront(line: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    if line["system"] == "storefront" { line["url"].as_str().map(str::to_owned) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_storefront_is_found_among_the_systems() {
        assert_eq!(address_of_the_storefront(r#"{"system":"erp","url":"http://127.0.0.1:1"}"#), None);
        assert_eq!(address_of_the_storefront("a log line"), None);
        let found = address_of_the_storefront(r#"{"system":"storefront","url":"http://127.0.0.1:2"}"#);
        assert_eq!(found.as_deref(), Some("http://127.0.0.1:2"));
    }
}
