//! The Tryton that is up: its facts, and its set-up's commands.

use serde::Deserialize;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The part of `api.json` that is needed here; the connector's part is for `landscape.py`.
#[derive(Deserialize)]
struct Facts {
    url: String,
    postgres: String,
    web_shops: std::collections::BTreeMap<String, Shop>,
}

#[derive(Deserialize)]
struct Shop {
    id: i64,
}

pub(super) struct Peer {
    pub facts: PathBuf,
    /// `host:port` of its server.
    pub address: String,
    /// How `psql` reaches its tables.
    pub postgres: String,
    /// Web shops by id, named by site.
    pub shops: std::collections::BTreeMap<i64, String>,
    /// The folder of its set-up's data.
    data: PathBuf,
}

impl Peer {
    pub fn open(facts: &Path) -> Result<Self, String> {
        let told = |e: &dyn std::fmt::Display| format!("{}: {e}; `peers/tryton/setup start` writes it", facts.display());
        let facts = facts.canonicalize().map_err(|e| told(&e))?;
        let text = std::fs::read_to_string(&facts).map_err(|e| told(&e))?;
        let read: Facts = serde_json::from_str(&text).map_err(|e| told(&e))?;
        let address = read.url.strip_prefix("http://").ok_or("Tryton's address is not http://host:port")?.trim_end_matches('/');
        Ok(Self {
            address: address.to_owned(),
            postgres: read.postgres,
            shops: read.web_shops.into_iter().map(|(site, shop)| (shop.id, site)).collect(),
            data: facts.parent().ok_or("api.json has no folder")?.to_owned(),
            facts,
        })
    }

    /// Writes the demo's landscape with this Tryton, reached at `url`.
    pub async fn landscape(&self, folder: &Path, url: &str, settling: &str, rounding_within: i64) -> Result<(), String> {
        let mut command = Command::new(peers().join("landscape.py"));
        command.arg(&self.facts).arg(folder).args(["--url", url, "--settling", settling]);
        run(command.arg("--rounding-within").arg(rounding_within.to_string())).await
    }

    /// Its set-up's command: `kill-server`, `restart-server`.
    pub async fn setup(&self, what: &str) -> Result<(), String> {
        run(Command::new(peers().join("setup")).arg(what).arg("--data").arg(&self.data)).await
    }
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../peers/tryton")
}

async fn run(command: &mut Command) -> Result<(), String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.kill_on_drop(true).output().await.map_err(|e| format!("{name} does not start: {e}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())) }
}
