//! `restore`: a hub put back to a backup of earlier. Orders come, a backup is taken by the shipped program while the hub runs, more orders
//! come and are carried out, the hub is killed and its store thrown away; then the backup is restored, also by the program, and a hub
//! is started on it. The systems remember what the store does not. At the end nothing may be there twice in any ledger, and no order may
//! be missing but those that the storefront has cancelled meanwhile.
//!
//! Not demanded: that nothing was applied before its intent was on disk (the disk that knew is gone); that every order ends by itself
//! (where a system refuses what the lost run had done otherwise, a person is asked); that stock of an order which was cancelled in the
//! lost time is released again, where the system takes the release of then for the one of now.

use crate::{
    kill::{
        Setting as Trade,
        hub::Ground,
        judge::{Judged, judge},
        random::{panics, trade},
        shop::Shop,
    },
    outcome,
};
use crossdock_canonical::Duration;
use crossdock_engine::shell::clock::{self, Clock, Stopwatch};
use serde::Serialize;
use std::{
    fmt, fs,
    path::PathBuf,
    process::{ExitCode, Stdio},
};
use tokio::process::Command;

/// What must hold whatever was lost: one of each, no sum above another, and a store that is whole.
const DEMANDED: [&str; 6] = ["I2", "I3", "I4", "I5", "I8", "I10"];
/// How long nothing may be written in any ledger before the run counts as settled, and at most.
const QUIET: Duration = Duration::seconds(12);
const SETTLE_MAX: Duration = Duration::seconds(120);
const TICK: Duration = Duration::millis(200);

#[derive(clap::Args)]
pub struct Args {
    /// Decides the orders.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long orders come before the backup, and how long after it, in seconds.
    #[arg(long, default_value_t = 20)]
    live: u32,
    /// Keep the store, the ledgers and the hub's log in this folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub struct Setting {
    pub seed: u64,
    pub live: Duration,
    pub keep: Option<PathBuf>,
}

#[derive(Serialize)]
pub struct Report {
    pub seed: u64,
    pub orders: usize,
    /// Of them placed after the backup.
    pub after_backup: usize,
    /// Rows in the systems' ledgers that the restored store knows nothing of.
    pub rows_lost: usize,
    /// What the check said of the tail, by a checkpoint of the moment before the end.
    pub tail_missing: bool,
    /// Orders that the hub does not know, although the storefront has not cancelled them.
    pub missing: Vec<String>,
    pub judged: Judged,
    pub panics: Vec<String>,
    pub verdict: &'static str,
}

pub fn run(args: &Args) -> ExitCode {
    let setting = Setting { seed: args.seed, live: Duration::seconds(args.live.into()), keep: args.keep.clone() };
    outcome::run("restore", args.json, Report::is_good, campaign(&setting))
}

pub async fn campaign(setting: &Setting) -> Result<Report, String> {
    let ground = Ground::new(setting.keep.as_deref())?;
    let key = ground.key().await?;
    let mut shop = Shop::open(setting.seed, ground.url(), key).await?;
    let orders = Trade { kills: 0, seed: setting.seed, in_flight: 100, rate: 12, keep: None };
    let mut hub = ground.start(&shop.systems)?;
    hub.is_up().await?;
    trade(&mut shop, &orders, setting.live).await;

    let at = |name: &str| ground.folder().join(name).display().to_string();
    let (store, backup, checkpoint) = (ground.store_path().display().to_string(), at("backup.db"), at("checkpoint"));
    let taken_at = Clock::System.now();
    tool(&ground, &["backup", "--store", &store, "--to", &backup, "--json"], true).await?;
    let (rows, placed) = (shop.rows(), shop.expectations.len());
    trade(&mut shop, &orders, setting.live).await;
    tool(&ground, &["backup", "checkpoint", "--store", &store, "--to", &checkpoint], true).await?;
    hub.kill().await?;
    let rows_lost = shop.rows() - rows;

    let aside = at("damaged");
    fs::create_dir_all(&aside).map_err(|e| format!("{aside} cannot be made: {e}"))?;
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{store}{suffix}");
        if fs::exists(&file).unwrap_or(false) {
            fs::rename(&file, format!("{aside}/hub.db{suffix}")).map_err(|e| format!("{file} cannot be moved: {e}"))?;
        }
    }
    let key = ground.key_path().display().to_string();
    let check = ["backup", "check", &backup, "--key-file", &key, "--checkpoint", &checkpoint, "--json"];
    let told: serde_json::Value = serde_json::from_str(&tool(&ground, &check, false).await?).map_err(|e| e.to_string())?;
    let tail_missing = told["since"]["verdict"] == "cut_off";
    tool(&ground, &["backup", "restore", &backup, "--to", &store, "--checkpoint", &checkpoint, "--json"], true).await?;
    // What storefronts gave since, and a while before.
    ground.recover_since(taken_at - Duration::seconds(60))?;
    let mut hub = ground.start(&shop.systems)?;
    hub.is_up().await?;
    trade(&mut shop, &orders, Duration::seconds(3)).await;
    let (whole, mut quiet, mut rows) = (Stopwatch::start(), Stopwatch::start(), shop.rows());
    while quiet.elapsed() < QUIET && whole.elapsed() < SETTLE_MAX {
        clock::pause(TICK).await;
        let now = shop.rows();
        if now != rows {
            (quiet, rows) = (Stopwatch::start(), now);
        }
    }
    hub.kill().await?;
    let judged = judge(&shop, &*ground.open()?).await?;
    if setting.keep.is_some() {
        shop.keep_ledgers(ground.folder()).map_err(|e| format!("the ledgers cannot be kept: {e}"))?;
    }
    let cancelled = shop.cancelled();
    let is_missing = |order: &&String| {
        let number = order.split(' ').next().and_then(|reference| reference.split('/').nth(1));
        order.contains("found lost") && number.is_none_or(|number| !cancelled.contains(number))
    };
    let missing = judged.unexpected.iter().filter(is_missing).cloned().collect();
    let (orders, after_backup) = (shop.expectations.len(), shop.expectations.len() - placed);
    let report = Report {
        seed: setting.seed,
        orders,
        after_backup,
        rows_lost,
        tail_missing,
        missing,
        judged,
        panics: panics(&ground),
        verdict: "",
    };
    Ok(Report { verdict: report.word(), ..report })
}

/// Runs the program and gives what it printed; `good`: it must end well.
async fn tool(ground: &Ground, words: &[&str], good: bool) -> Result<String, String> {
    let mut command = Command::new(&ground.program);
    let done = command.args(words).stdin(Stdio::null()).output().await.map_err(|e| format!("the program does not start: {e}"))?;
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    match done.status.success() || !good {
        true => Ok(told),
        false => Err(format!("{words:?}: {told}{}", String::from_utf8_lossy(&done.stderr))),
    }
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.verdict == "good"
    }

    fn word(&self) -> &'static str {
        let holds = |id: &&str| self.judged.invariants.get(*id).is_some_and(|word| word == "ok" || word == "not checked");
        if !DEMANDED.iter().all(holds) {
            "something is there twice, or an invariant does not hold"
        } else if !self.missing.is_empty() {
            "an order is missing"
        } else if !self.tail_missing {
            "the checkpoint did not show that the tail is missing"
        } else if !self.panics.is_empty() {
            "the hub panicked"
        } else {
            "good"
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, orders, after_backup, rows_lost, .. } = self;
        writeln!(
            f,
            "seed {seed}: {orders} orders, {after_backup} after the backup; {rows_lost} rows in ledgers that it knew nothing of"
        )?;
        write!(f, "{}", self.judged)?;
        for line in &self.missing {
            writeln!(f, "missing: {line}")?;
        }
        for line in &self.panics {
            writeln!(f, "log: {line}")?;
        }
        writeln!(f, "{}", self.verdict)
    }
}
