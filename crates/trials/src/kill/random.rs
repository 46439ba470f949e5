//! Killed at random moments under steady orders.

use super::{
    hub::{Ground, Hub, START_MAX},
    judge::{Judged, judge},
    shop::Shop,
};
use crossdock_canonical::Duration;
use crossdock_engine::shell::clock::{self, Stopwatch};
use crossdock_simulators::rng::Rng;
use serde::Serialize;
use std::{fmt, fs, path::PathBuf};

/// One kill in so many comes while the hub starts.
const EARLY_ONE_IN: u64 = 5;
const EARLY_MS: u64 = 400;
/// The others come this long after it listens.
const LATE_MS: (u64, u64) = (100, 4_500);
const TICK: Duration = Duration::millis(50);
/// How often a hub that has not settled is started again.
const ROUNDS: u32 = 3;

pub struct Setting {
    pub kills: u64,
    pub seed: u64,
    pub in_flight: usize,
    pub rate: usize,
    pub keep: Option<PathBuf>,
}

#[derive(Serialize)]
pub struct Report {
    pub seed: u64,
    pub kills: u64,
    /// Of them before the hub listened.
    pub early: u64,
    pub orders: usize,
    pub seconds: f64,
    pub seconds_a_kill: f64,
    /// Orders under way when the hub was killed.
    pub in_flight_mean: f64,
    pub in_flight_most: usize,
    /// From the start of the process until it listened.
    pub start_ms_mean: f64,
    pub start_ms_most: i64,
    pub settled_after_s: i64,
    pub judged: Judged,
    /// Lines of the hub's log that tell of a panic or of the store's end.
    pub panics: Vec<String>,
    pub verdict: &'static str,
}

/// Kills, restarts, settles and judges.
pub async fn campaign(setting: &Setting) -> Result<Report, String> {
    let ground = Ground::new(setting.keep.as_deref())?;
    let key = ground.key().await?;
    let mut shop = Shop::open(setting.seed, ground.url(), key).await?;
    let mut rng = Rng::named(setting.seed, "kill");
    let (mut early, mut in_flight, mut most) = (0, 0, 0);
    let mut starts: Vec<i64> = Vec::new();
    let watch = Stopwatch::start();
    for kill in 0..setting.kills {
        let mut hub = ground.start(&shop.systems)?;
        let delay = if rng.between(1..=EARLY_ONE_IN) == 1 {
            early += 1;
            rng.between(0..=EARLY_MS)
        } else {
            starts.push(up(&mut hub, &mut shop, setting).await.map_err(|e| format!("after kill {kill}: {e}"))?);
            rng.between(LATE_MS.0..=LATE_MS.1)
        };
        trade(&mut shop, setting, Duration(i64::try_from(delay).unwrap_or(0))).await;
        let under_way = shop.under_way();
        (in_flight, most) = (in_flight + under_way, most.max(under_way));
        hub.kill().await.map_err(|e| format!("at kill {kill}: {e}"))?;
        if (kill + 1) % 20 == 0 {
            eprintln!("{} kills, {} orders, {under_way} under way", kill + 1, shop.expectations.len());
        }
    }
    let seconds = watch.elapsed().0 as f64 / 1_000.0;
    let watch = Stopwatch::start();
    let judged = settle(&ground, &mut shop, setting.keep.is_some()).await?;
    let kills = setting.kills.max(1) as f64;
    let report = Report {
        seed: setting.seed,
        kills: setting.kills,
        early,
        orders: shop.expectations.len(),
        seconds,
        seconds_a_kill: seconds / kills,
        in_flight_mean: in_flight as f64 / kills,
        in_flight_most: most,
        start_ms_mean: starts.iter().sum::<i64>() as f64 / starts.len().max(1) as f64,
        start_ms_most: starts.iter().copied().max().unwrap_or(0),
        settled_after_s: watch.elapsed().0 / 1_000,
        judged,
        panics: panics(&ground),
        verdict: "",
    };
    Ok(Report { verdict: report.word(), ..report })
}

/// Waits until the hub listens; shoppers do not wait with it.
async fn up(hub: &mut Hub, shop: &mut Shop, setting: &Setting) -> Result<i64, String> {
    tokio::select! {
        up = hub.is_up() => up.map(|took| took.0),
        () = trade(shop, setting, START_MAX) => Err("it never came up".into()),
    }
}

/// Keeps so many orders under way for a while.
pub(crate) async fn trade(shop: &mut Shop, setting: &Setting, length: Duration) {
    let watch = Stopwatch::start();
    let at_once = (setting.rate * usize::try_from(TICK.0).unwrap_or(0)).div_ceil(1_000);
    loop {
        let room = setting.in_flight.saturating_sub(shop.under_way());
        shop.place(room.min(at_once));
        let left = Duration(length.0 - watch.elapsed().0);
        if left.0 <= 0 {
            return;
        }
        clock::pause(left.min(TICK)).await;
    }
}

/// The last life: everything comes to its end, and then the hub ends too.
pub(crate) async fn settle(ground: &Ground, shop: &mut Shop, keep: bool) -> Result<Judged, String> {
    let mut round = 1;
    loop {
        let mut hub = ground.start(&shop.systems)?;
        hub.is_up().await?;
        shop.comes_to_rest().await;
        hub.kill().await?;
        let judged = judge(shop, &*ground.open()?).await?;
        if judged.restless == 0 || round == ROUNDS {
            if keep {
                shop.keep_ledgers(ground.folder()).map_err(|e| format!("the ledgers cannot be kept: {e}"))?;
            }
            return Ok(judged);
        }
        eprintln!("{} orders or messages still move; round {round}", judged.restless);
        round += 1;
    }
}

pub(crate) fn panics(ground: &Ground) -> Vec<String> {
    let text = fs::read_to_string(ground.log_path()).unwrap_or_default();
    let bad = |line: &&str| line.contains("panicked at") || line.contains("cannot go on");
    text.lines().filter(bad).take(20).map(str::to_owned).collect()
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.word() == "good"
    }

    fn word(&self) -> &'static str {
        if !self.judged.is_clean() {
            "an invariant does not hold, or was not checked"
        } else if !self.panics.is_empty() {
            "the hub panicked"
        } else if self.judged.restless > 0 {
            "not everything settled"
        } else {
            "good"
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, kills, early, orders, seconds, seconds_a_kill, .. } = self;
        writeln!(
            f,
            "{kills} kills of seed {seed} in {seconds:.0} s, {seconds_a_kill:.1} s each, {early} before it listened; {orders} orders"
        )?;
        writeln!(f, "under way at a kill: {:.0} on average, {} at most", self.in_flight_mean, self.in_flight_most)?;
        writeln!(f, "start until listening: {:.0} ms on average, {} at most", self.start_ms_mean, self.start_ms_most)?;
        writeln!(f, "settled {} s after the last kill", self.settled_after_s)?;
        write!(f, "{}", self.judged)?;
        for line in &self.panics {
            writeln!(f, "log: {line}")?;
        }
        writeln!(f, "{}", self.verdict)
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (end, count) in &self.ends {
            writeln!(f, "  {end:<32}{count:>9}")?;
        }
        let words: Vec<String> = self.invariants.iter().map(|(id, word)| format!("{id} {word}")).collect();
        writeln!(f, "  {}", words.join(", "))?;
        for finding in &self.findings {
            writeln!(f, "  - {finding}")?;
        }
        for unexpected in self.unexpected.iter().take(20) {
            writeln!(f, "  ? {unexpected}")?;
        }
        let hidden = self.unexpected.len().saturating_sub(20);
        if hidden > 0 {
            writeln!(f, "  ? and {hidden} more")?;
        }
        Ok(())
    }
}
