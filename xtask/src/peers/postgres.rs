//! The hub on PostgreSQL, alone and three on one database: orders through the whole landscape, judged from the systems' ledgers. What the store promises by itself is
//! tested beside it; here it carries a hub.

use std::{path::PathBuf, process::Command};

use super::program;
use crate::process;

pub const NEEDS: &[&str] = &["postgresql-15"];

const SETUP: &str = "peers/postgres/setup";
const ORDERS: &str = "150";

/// A cluster of the step's own, gone with the handle.
struct Cluster {
    folder: PathBuf,
    url: String,
}

impl Cluster {
    fn start() -> Result<Self, String> {
        // The path of its socket must be short, so it does not lie below the target folder.
        let mut cluster =
            Self { folder: std::env::temp_dir().join(format!("crossdock-hub-pg-{}", std::process::id())), url: String::new() };
        let told = process::output(&setup(), &["start", &cluster.folder.to_string_lossy()])?;
        let url = told.lines().find_map(|line| line.strip_prefix("URL "));
        cluster.url = url.ok_or_else(|| format!("{SETUP} told no address: {told}"))?.to_owned();
        Ok(cluster)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = process::output(&setup(), &["stop", &self.folder.to_string_lossy()]) {
            eprintln!("{SETUP} stop: {error}");
        }
    }
}

fn setup() -> String {
    process::root().join(SETUP).to_string_lossy().into_owned()
}

pub fn run() -> Result<(), String> {
    let crossdock = program::built(&["--bin", "crossdock"])?;
    for nodes in ["1", "3"] {
        let cluster = Cluster::start()?;
        let mut command = Command::new(&crossdock);
        command.args(["demo", "--listen", "127.0.0.1:0", "--orders", ORDERS, "--rate", "30"]);
        command.args(["--postgres", &cluster.url, "--nodes", nodes]);
        let status = command.status().map_err(|error| format!("the demo did not start: {error}"))?;
        if !status.success() {
            return Err(format!("{ORDERS} orders on PostgreSQL through {nodes} hub(s) were judged: {status}"));
        }
    }
    Ok(())
}
