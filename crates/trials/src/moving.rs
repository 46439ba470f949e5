//! `move`: a store moved from its file into PostgreSQL by the shipped program, which is killed at random moments and run again.
//!
//! Twice: a store with many orders that have ended, for its size; and one that a hub was killed on with orders under way, which must go
//! on in the database as if nothing had been. The tool compares both sides itself, by other code than it copies with; here its report is
//! held against what the file said of itself before, and the orders against the systems' ledgers.

use crate::{
    address,
    cluster::{DATABASE, Server},
    crash::Scratch,
    kill::{
        Setting as Trade,
        hub::Ground,
        judge::Judged,
        random::{panics, settle, trade},
        shop::Shop,
    },
    outcome,
};
use crossdock_canonical::Duration;
use crossdock_engine::shell::clock::{self, Stopwatch};
use crossdock_simulators::rng::Rng;
use crossdock_store::{
    AuditVerdict, KeySource, PostgresOptions, PostgresStore, ReadStore,
    sqlite::{Options, SqliteStore},
};
use serde::Serialize;
use std::{
    fmt,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};
use tokio::process::Command;

#[derive(clap::Args)]
pub struct Args {
    /// Orders in the large store.
    #[arg(long, default_value_t = 200_000)]
    count: u64,
    /// Decides the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often each move is killed.
    #[arg(long, default_value_t = 20)]
    kills: u64,
    /// How long orders come before the hub that is moved is killed, in seconds.
    #[arg(long, default_value_t = 20)]
    live: u32,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// A run of the tool that is killed is so within this, by the size of the store.
const KILLED_AFTER_MS: (u64, u64) = (50, 5_000);
const KILLED_SOON_MS: (u64, u64) = (50, 1_000);

pub struct Setting {
    pub orders: u64,
    pub seed: u64,
    pub kills: u64,
    pub live: Duration,
}

#[derive(Serialize)]
pub struct Report {
    pub seed: u64,
    pub filled: Moved,
    pub live: Live,
    pub verdict: &'static str,
}

/// One store, moved.
#[derive(Serialize)]
pub struct Moved {
    pub orders: u64,
    pub file_bytes: u64,
    /// How often the tool was killed before it had ended by itself.
    pub kills: u64,
    /// Of the tool, over all its runs.
    pub seconds: f64,
    /// Of its last run, which copies what is left and compares everything.
    pub last_run_seconds: f64,
    pub rows: u64,
    pub audit_rows: u64,
    /// What the file and the database say differently; empty when nothing.
    pub differences: Vec<String>,
}

#[derive(Serialize)]
pub struct Live {
    pub moved: Moved,
    pub under_way: usize,
    pub judged: Judged,
    pub panics: Vec<String>,
}

pub fn run(args: &Args) -> ExitCode {
    let setting = Setting { orders: args.count, seed: args.seed, kills: args.kills, live: Duration::seconds(args.live.into()) };
    outcome::run("move", args.json, Report::is_good, campaign(&setting))
}

pub async fn campaign(setting: &Setting) -> Result<Report, String> {
    let server = Server::primary(&format!("move-{}", setting.seed), address::own()?)?;
    let mut rng = Rng::named(setting.seed, "move");
    let live = live(&server, setting, &mut rng).await?;
    let filled = filled(&server, setting, &mut rng).await?;
    let report = Report { seed: setting.seed, filled, live, verdict: "" };
    Ok(Report { verdict: report.word(), ..report })
}

/// A store with many orders that have ended.
async fn filled(server: &Server, setting: &Setting, rng: &mut Rng) -> Result<Moved, String> {
    let scratch = Scratch::within(&std::env::temp_dir(), &format!("crossdock-move-{}", std::process::id()))?;
    let ground = Ground::new(Some(scratch.path()))?;
    let store = ground.store_path();
    let mut fill = Command::new(&ground.program);
    fill.args(["bench", "fill", "--workload", "engine", "--orders", &setting.orders.to_string(), "--store"]).arg(&store);
    fill.stdin(Stdio::null()).stdout(Stdio::null());
    let done = fill.status().await.map_err(|e| format!("the store cannot be filled: {e}"))?;
    if !done.success() {
        return Err(format!("the store cannot be filled: {done}"));
    }
    server.sql("postgres", "CREATE DATABASE filled")?;
    moved(&ground.program, &store, &server.url("filled"), (setting.kills, KILLED_AFTER_MS), rng).await
}

/// A hub with orders under way, killed, moved, and started again on the database.
async fn live(server: &Server, setting: &Setting, rng: &mut Rng) -> Result<Live, String> {
    let mut ground = Ground::new(None)?;
    let key = ground.key().await?;
    let mut shop = Shop::open(setting.seed, ground.url(), key).await?;
    let mut hub = ground.start(&shop.systems)?;
    hub.is_up().await?;
    let orders = Trade { kills: 0, seed: setting.seed, in_flight: 150, rate: 30, keep: None };
    trade(&mut shop, &orders, setting.live).await;
    let under_way = shop.under_way();
    hub.kill().await?;
    let url = server.url(DATABASE);
    let moved = moved(&ground.program, &ground.store_path(), &url, (setting.kills, KILLED_SOON_MS), rng).await?;
    ground.use_database(&url)?;
    // Shoppers go on where the hub is now.
    let mut hub = ground.start(&shop.systems)?;
    hub.is_up().await?;
    trade(&mut shop, &orders, Duration::seconds(3)).await;
    hub.kill().await?;
    let judged = settle(&ground, &mut shop, false).await?;
    Ok(Live { moved, under_way, judged, panics: panics(&ground) })
}

/// Runs the tool, kills it so often, each time within so many milliseconds, and lets it end.
async fn moved(
    program: &Path,
    store: &Path,
    url: &str,
    (kills, after): (u64, (u64, u64)),
    rng: &mut Rng,
) -> Result<Moved, String> {
    let before = Said::of(&SqliteStore::open(&Options::new(store)).map_err(|e| format!("the file does not open: {e}"))?).await?;
    let file_bytes = std::fs::metadata(store).map_or(0, |file| file.len());
    let tool = || {
        let mut command = Command::new(program);
        command.args(["store", "move", "--json", "--from"]).arg(store).args(["--to", url]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    let watch = Stopwatch::start();
    let mut killed = 0;
    // What it printed, if it had ended by itself.
    let mut printed = None;
    let mut last_run = Stopwatch::start();
    while killed < kills && printed.is_none() {
        let mut child = tool().spawn().map_err(|e| format!("the tool does not start: {e}"))?;
        let delay = Duration(i64::try_from(rng.between(after.0..=after.1)).unwrap_or(0));
        last_run = Stopwatch::start();
        tokio::select! {
            () = clock::pause(delay) => {
                child.kill().await.map_err(|e| format!("the tool cannot be killed: {e}"))?;
                killed += 1;
            }
            status = child.wait() => {
                status.map_err(|e| e.to_string())?;
                printed = Some(child.wait_with_output().await.map_err(|e| e.to_string())?);
            }
        }
    }
    let printed = match printed {
        Some(printed) => printed,
        None => {
            last_run = Stopwatch::start();
            tool().output().await.map_err(|e| format!("the tool does not start: {e}"))?
        }
    };
    let (seconds, last_run_seconds) = (watch.elapsed().0 as f64 / 1_000.0, last_run.elapsed().0 as f64 / 1_000.0);
    if !printed.status.success() {
        return Err(format!("the move failed: {}", String::from_utf8_lossy(&printed.stderr).trim()));
    }
    let told: serde_json::Value = serde_json::from_slice(&printed.stdout).map_err(|e| format!("the report is not JSON: {e}"))?;
    let rows = told["tables"].as_array().map_or(0, |tables| tables.iter().filter_map(|table| table["rows"].as_u64()).sum());
    let after = {
        let mut key = store.as_os_str().to_owned();
        key.push(".key");
        let options = PostgresOptions::new(url, KeySource::File(PathBuf::from(key)));
        Said::of(&PostgresStore::open(&options).map_err(|e| format!("the database does not open: {e}"))?).await?
    };
    let orders = before.processes.iter().filter(|(kind, ..)| kind == "order").map(|(.., count)| count).sum();
    let audit_rows = told["audit_rows"].as_u64().unwrap_or(0);
    let differences = before.differences(&after);
    Ok(Moved { orders, file_bytes, kills: killed, seconds, last_run_seconds, rows, audit_rows, differences })
}

/// What a store says of itself by the interface that every store has.
#[derive(PartialEq, Eq, Debug)]
struct Said {
    processes: Vec<(String, String, u64)>,
    effects: Vec<(String, String, u64, Option<crossdock_canonical::Timestamp>)>,
    waiting: u64,
    audit: AuditVerdict,
}

impl Said {
    async fn of(store: &dyn ReadStore) -> Result<Self, String> {
        let failed = |e| format!("the store does not answer: {e}");
        let counts = store.counts().await.map_err(failed)?;
        let (mut processes, mut effects) = (counts.processes, counts.effects);
        processes.sort();
        effects.sort();
        Ok(Self {
            processes,
            effects,
            waiting: store.inbox_depth().await.map_err(failed)?,
            audit: store.verify_audit().await.map_err(failed)?,
        })
    }

    fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, here: String, there: String| {
            if here != there {
                found.push(format!("{what}: {here} became {there}"));
            }
        };
        compare("processes", format!("{:?}", self.processes), format!("{:?}", other.processes));
        compare("open effects", format!("{:?}", self.effects), format!("{:?}", other.effects));
        compare("waiting messages", self.waiting.to_string(), other.waiting.to_string());
        compare("audit", format!("{:?}", self.audit), format!("{:?}", other.audit));
        found
    }
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.verdict == "good"
    }

    fn word(&self) -> &'static str {
        if !self.filled.differences.is_empty() || !self.live.moved.differences.is_empty() {
            "the database differs from the file"
        } else if !self.live.judged.is_faultless() {
            "an invariant does not hold"
        } else if !self.live.panics.is_empty() {
            "the hub panicked"
        } else if self.live.judged.restless > 0 {
            "not everything settled"
        } else {
            "good"
        }
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, file_bytes, kills, seconds, last_run_seconds, rows, audit_rows, differences } = self;
        let megabytes = file_bytes / 1_000_000;
        write!(f, "{orders} orders, {rows} rows, {megabytes} MB: killed {kills} times, {seconds:.1} s in all, ")?;
        writeln!(f, "{last_run_seconds:.1} s the last run; audit chain of {audit_rows} rows the same on both sides")?;
        differences.iter().try_for_each(|difference| writeln!(f, "  - {difference}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filled: {}", self.filled)?;
        write!(f, "under way ({}): {}{}", self.live.under_way, self.live.moved, self.live.judged)?;
        for line in &self.live.panics {
            writeln!(f, "log: {line}")?;
        }
        writeln!(f, "{}", self.verdict)
    }
}
