//! One order's life, ended before each of its state-changing system calls in turn.
//!
//! What a hub has done is on disk or on the wire, and both change at system calls only. So there are as many ways to die as calls, for
//! the schedule that one thread and one order give; `random` covers others. A shim (`shim/kill.c`, built with the machine's C compiler)
//! counts the calls in the child and ends it before the one whose turn it is. Each life gets new systems and a new store, and after
//! its death a second hub without the shim must bring the order to its end.
//!
//! Two lives that nobody kills come first, and make the same calls in the same order: calls, polls and writes take turns, and the systems
//! speak unasked only when the hub is done. What remains open between them is how many pages a commit appends (keys are hashes and
//! sealed bytes are random, so rows fall on pages differently), so a row of writes to one file counts as one call.

use super::{
    judge::judge,
    shop::Shop,
    single::{FILE, LISTEN, SITE},
};
use crate::{address, crash::Scratch, shim};
use crossdock_engine::shell::clock::{Clock, Stopwatch};
use crossdock_simulators::{Config, Faults, Kind, Rates, SYSTEMS, World};
use crossdock_store::sqlite::{Options, SqliteStore};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt, fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::process::Command;

/// Where the shim's exit status says that it was the shim.
const DIED: i32 = 137;
const FINDINGS_MAX: usize = 20;

/// When the warehouse does the next thing, and when the payment system tells of something: by then the hub is done with what led to it.
const QUIET_MS: (u64, u64) = (1_500, 1_500);
const EVENT_MS: (u64, u64) = (2_200, 2_200);
/// How long every system takes to answer: by then the one thread has done all else, and waits.
const ANSWER_MS: u64 = 25;

pub(super) struct Setting {
    /// Where the calls of the two lives that nobody ends are left.
    pub keep: Option<PathBuf>,
    pub seed: u64,
    pub from: u64,
    pub count: u64,
}

#[derive(Serialize)]
pub(super) struct Report {
    seed: u64,
    /// Calls in a life that nobody ends.
    calls: usize,
    /// By call and what it was made on.
    kinds: BTreeMap<String, u64>,
    /// Whether two such lives made the same calls in the same order, a row of writes to one file taken as one.
    same_calls: bool,
    first_difference: String,
    deaths: u64,
    /// Lives that ended by themselves before their turn came: theirs had fewer calls.
    survived: u64,
    seconds: f64,
    findings: Vec<String>,
    verdict: &'static str,
}

/// What is needed for any life.
struct Stage {
    shim: PathBuf,
    own: PathBuf,
    seed: u64,
    scratch: Scratch,
}

/// How one life ended.
struct Life {
    died: bool,
    calls: Vec<String>,
    findings: Vec<String>,
}

pub(super) async fn campaign(setting: &Setting) -> Result<Report, String> {
    let scratch = Scratch::new()?;
    let shim = shim::build("kill", scratch.path())?;
    let own = std::env::current_exe().map_err(|e| format!("where am I: {e}"))?;
    let stage = Stage { shim, own, seed: setting.seed, scratch };
    let watch = Stopwatch::start();
    let first = stage.life("clean-1", None).await?;
    let second = stage.life("clean-2", None).await?;
    if let Some(folder) = &setting.keep {
        let keep = |name: &str, life: &Life| fs::write(folder.join(name), life.calls.join("\n"));
        fs::create_dir_all(folder)
            .and_then(|()| keep("calls-1", &first))
            .and_then(|()| keep("calls-2", &second))
            .map_err(|e| format!("the calls cannot be kept in {}: {e}", folder.display()))?;
    }
    let mut findings: Vec<String> =
        first.findings.iter().chain(&second.findings).map(|f| format!("nobody ended it: {f}")).collect();
    let calls = first.calls.len().max(second.calls.len()) as u64;
    let last = setting.from.saturating_add(setting.count).min(calls + 1);
    let next = AtomicU64::new(setting.from);
    let (deaths, survived) = (AtomicU64::new(0), AtomicU64::new(0));
    let found: Mutex<Vec<String>> = Mutex::default();
    let lane = async || -> Result<(), String> {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let full = found.lock().unwrap_or_else(PoisonError::into_inner).len() >= FINDINGS_MAX;
            if n >= last || full {
                return Ok(());
            }
            let life = stage.life(&n.to_string(), Some(n)).await?;
            if life.died { &deaths } else { &survived }.fetch_add(1, Ordering::Relaxed);
            let call = life.calls.last().cloned().unwrap_or_default();
            let told = life.findings.into_iter().map(|finding| format!("before call {n} ({call}): {finding}"));
            for finding in told {
                eprintln!("{finding}");
                found.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
            }
            if n.is_multiple_of(50) {
                eprintln!("{n} of {calls} calls");
            }
        }
    };
    // Eight at once: most of a life is waiting.
    let (a, b, c, d, e, f, g, h) = tokio::join!(lane(), lane(), lane(), lane(), lane(), lane(), lane(), lane());
    a.and(b).and(c).and(d).and(e).and(f).and(g).and(h)?;
    findings.extend(found.into_inner().unwrap_or_else(PoisonError::into_inner));
    let (one, two) = (in_rows(&first.calls), in_rows(&second.calls));
    let mut kinds = BTreeMap::new();
    for call in &first.calls {
        *kinds.entry(call.clone()).or_default() += 1;
    }
    let report = Report {
        seed: setting.seed,
        calls: first.calls.len(),
        kinds,
        same_calls: one == two,
        first_difference: difference(&one, &two),
        deaths: deaths.into_inner(),
        survived: survived.into_inner(),
        seconds: watch.elapsed().0 as f64 / 1_000.0,
        findings,
        verdict: "",
    };
    Ok(Report { verdict: report.word(), ..report })
}

/// Repetitions of a call as one.
fn in_rows(calls: &[String]) -> Vec<String> {
    let mut calls = calls.to_vec();
    calls.dedup();
    calls
}

fn difference(first: &[String], second: &[String]) -> String {
    let at = first.iter().zip(second).position(|(a, b)| a != b).unwrap_or(first.len().min(second.len()));
    let call = |calls: &[String]| calls.get(at).cloned().unwrap_or_else(|| "nothing".into());
    if first == second {
        String::new()
    } else {
        let (one, two) = (call(first), call(second));
        format!("call {}: {one} in one, {two} in the other; {} and {} calls", at + 1, first.len(), second.len())
    }
}

impl Stage {
    /// A life with new systems and a new store, a second one if it was ended, and the verdict.
    async fn life(&self, name: &str, die_at: Option<u64>) -> Result<Life, String> {
        let folder = Scratch::within(self.scratch.path(), name)?;
        let address = address::own()?;
        let shop = self.shop(format!("http://{address}")).await?;
        let list = folder.path().join("calls");
        let log = folder.path().join("log");
        let child = |shimmed: bool| -> Result<Command, String> {
            let mut command = Command::new(&self.own);
            command.args(["kill", "--be-the-hub"]).arg(folder.path()).env(LISTEN, address.to_string());
            for system in SYSTEMS {
                command.env(format!("CROSSDOCK_{}_URL", system.to_uppercase()), shop.systems.url(system).unwrap_or_default());
            }
            if shimmed {
                command.env("LD_PRELOAD", &self.shim).env("CROSSDOCK_CALLS", &list);
                if let Some(n) = die_at {
                    command.env("CROSSDOCK_DIE_AT", n.to_string());
                }
            }
            let log = fs::OpenOptions::new().create(true).append(true).open(&log).map_err(|e| format!("no log: {e}"))?;
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
            Ok(command)
        };
        let status = child(true)?.status().await.map_err(|e| format!("the hub does not start: {e}"))?;
        let died = status.code() == Some(DIED);
        let mut findings = Vec::new();
        let calls = self.calls(&list, &shop);
        let ended = if died { child(false)?.status().await.map_err(|e| format!("the hub does not start: {e}"))? } else { status };
        if !ended.success() {
            let told = fs::read_to_string(&log).unwrap_or_default();
            findings.push(format!("the hub ended with {ended}: {}", told.lines().last().unwrap_or_default()));
        }
        match SqliteStore::open(&Options::new(folder.path().join(FILE))) {
            Ok(store) => {
                let judged = judge(&shop, &store).await?;
                findings.extend(judged.findings);
                findings.extend(judged.unexpected);
            }
            Err(error) => findings.push(format!("the store does not open any more: {error}")),
        }
        Ok(Life { died, calls, findings })
    }

    /// New systems with one order, placed a while ago so that the first poll sees it.
    async fn shop(&self, hub: String) -> Result<Shop, String> {
        let mut config = Config::default();
        config.payment.multicapture = true;
        config.payment.event_after_ms = EVENT_MS;
        config.orders.sites = vec![SITE.into()];
        let pace = &mut config.warehouse;
        (pace.pick_after_ms, pace.pack_after_ms, pace.ship_after_ms) = (QUIET_MS, QUIET_MS, QUIET_MS);
        (pace.split_rate, pace.short_pick_rate) = (0.0, 0.0);
        let mut world = World::new(self.seed, config.clone());
        let placed = Clock::System.now().0 - 10_000;
        let (order, expectation) = loop {
            let (order, expectation) = world.generate(placed);
            if expectation.kind == Kind::Ordinary && expectation.features.is_empty() {
                break (order, expectation);
            }
        };
        world.place(order, placed)?;
        for system in SYSTEMS {
            let rates = Rates { delay_ms: ANSWER_MS, ..Rates::default() };
            world.set_faults(system, Faults { rates, ..Faults::default() }, placed);
        }
        let mut shop = Shop::with(world, &config, Ipv4Addr::LOCALHOST, hub, String::new()).await?;
        shop.expectations.push(expectation);
        Ok(shop)
    }

    /// The calls of a life, with systems by name instead of by port.
    fn calls(&self, list: &Path, shop: &Shop) -> Vec<String> {
        let names: BTreeMap<String, &str> =
            shop.systems.addresses().iter().map(|(name, address)| (format!("port:{}", address.port()), *name)).collect();
        let text = fs::read_to_string(list).unwrap_or_default();
        let name = |target: &str| match names.get(target) {
            Some(name) => (*name).to_owned(),
            None if target.starts_with("port:") => "answer".to_owned(),
            None => target.to_owned(),
        };
        text.lines()
            .filter_map(|line| {
                let mut words = line.splitn(3, ' ').skip(1);
                Some(format!("{} {}", words.next()?, name(words.next()?)))
            })
            .collect()
    }
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.word() == "good"
    }

    fn word(&self) -> &'static str {
        if !self.findings.is_empty() {
            "something was found"
        } else if !self.same_calls {
            "two lives that nobody ended differ, so not every moment may have had its turn"
        } else if self.deaths == 0 {
            "nothing died, so this proves nothing"
        } else {
            "good"
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, calls, deaths, survived, seconds, .. } = self;
        writeln!(
            f,
            "one order of seed {seed}: {calls} state-changing calls, {deaths} deaths, {survived} survived, in {seconds:.0} s"
        )?;
        for (kind, count) in &self.kinds {
            writeln!(f, "  {kind:<40}{count:>6}")?;
        }
        if self.same_calls {
            writeln!(f, "two lives made the same calls in the same order")?;
        } else {
            writeln!(f, "two lives made other calls: {}", self.first_difference)?;
        }
        for finding in &self.findings {
            writeln!(f, "  - {finding}")?;
        }
        writeln!(f, "{}", self.verdict)
    }
}
