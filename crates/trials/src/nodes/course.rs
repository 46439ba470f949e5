//! The course of the campaign: orders, blows at moments drawn from the seed, rest, and judgement.

use super::site::{NODES, Site};
use crate::kill::{
    judge::{Judged, judge},
    shop::Shop,
};
use crossdock_canonical::Duration;
use crossdock_engine::shell::clock::{self, Stopwatch};
use crossdock_simulators::rng::Rng;
use crossdock_store::{AuditVerdict, ReadStore};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, fs, path::PathBuf, sync::PoisonError};

/// Within this the partitions must be spread evenly over the nodes that are left.
const REBALANCED_WITHIN: Duration = Duration::seconds(5);
/// After this nobody waits for it any longer.
const REBALANCED_AT_ALL: Duration = Duration::seconds(30);
/// How long a node stands still or is cut off: three leases.
const AWAY: Duration = Duration::seconds(3);
/// Between two blows.
const BREATH_MS: (u64, u64) = (300, 3_000);
const TICK: Duration = Duration::millis(50);
const SETTLE_MAX: Duration = Duration::seconds(240);
/// How long nothing may be written in any ledger before the run counts as settled ...
const QUIET: Duration = Duration::seconds(5);
/// ... and how long while orders are still under way: a breaker and a backoff may hold them for a minute.
const QUIET_UNDER_WAY: Duration = Duration::seconds(75);

/// What befalls a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blow {
    /// `kill -9`, and started again.
    Kill,
    /// `SIGSTOP` for three leases.
    Pause,
    /// Nothing of it reaches the database, what that says reaches it.
    CutThere,
    /// What it says reaches the database, no answer comes back.
    CutBack,
    /// `SIGTERM`, and started again.
    Stop,
}

impl Blow {
    const ALL: [Self; 5] = [Self::Kill, Self::Pause, Self::CutThere, Self::CutBack, Self::Stop];
}

pub struct Setting {
    /// These, in their order; `None`: so many as `count` says, by the seed.
    pub blows: Option<Vec<Blow>>,
    pub count: u64,
    /// Instead of blows: each node is replaced so often, and orders come by the interface.
    pub upgrade: bool,
    pub seed: u64,
    pub in_flight: usize,
    pub rate: usize,
    pub keep: Option<PathBuf>,
}

/// How long the partitions took to be spread evenly, of one kind of change.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Times {
    pub count: u64,
    pub mean_ms: i64,
    pub most_ms: i64,
    /// Not within five seconds.
    pub late: u64,
    #[serde(skip)]
    sum: i64,
}

impl Times {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.sum += took.0;
        self.mean_ms = self.sum / i64::try_from(self.count).unwrap_or(1);
        self.most_ms = self.most_ms.max(took.0);
        self.late += u64::from(took > REBALANCED_WITHIN);
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub seed: u64,
    pub blows: BTreeMap<Blow, u64>,
    pub orders: usize,
    pub seconds: f64,
    pub in_flight_mean: f64,
    /// After a node was struck, and after it came back.
    pub rebalanced: BTreeMap<String, Times>,
    pub stopped_ms_most: i64,
    /// Orders handed over by the interface, those acknowledged, and how often such a call failed, by status (0: no answer).
    pub posted: usize,
    pub acknowledged: usize,
    pub failed_calls: BTreeMap<u16, u64>,
    /// Effects written under another epoch than their partition's.
    pub stale_writes: u64,
    /// How often a partition changed hands.
    pub epochs: u64,
    pub effects: u64,
    pub settled_after_s: i64,
    pub audit: String,
    pub judged: Judged,
    pub panics: Vec<String>,
    pub verdict: &'static str,
}

struct Course<'s> {
    setting: &'s Setting,
    site: Site,
    shop: Shop,
    rng: Rng,
    times: BTreeMap<String, Times>,
    stopped_most: i64,
    in_flight: (usize, u64),
}

/// Strikes, settles and judges.
pub async fn campaign(setting: &Setting) -> Result<Report, String> {
    let site = Site::new(setting.keep.as_deref()).await?;
    let key = site.prepare().await?;
    let shop = Shop::open(setting.seed, format!("http://{}", site.balancer.address), key).await?;
    let rng = Rng::named(setting.seed, "nodes");
    let mut course = Course { setting, site, shop, rng, times: BTreeMap::new(), stopped_most: 0, in_flight: (0, 0) };
    for at in 0..NODES {
        course.site.start(at, &course.shop.systems.clone()).await?;
    }
    course.spread("start").await?;
    let watch = Stopwatch::start();
    let mut blows: BTreeMap<Blow, u64> = BTreeMap::new();
    if setting.upgrade {
        for _ in 0..setting.count {
            course.replace_all().await?;
        }
        *blows.entry(Blow::Stop).or_default() += setting.count * NODES as u64;
    }
    let struck = if setting.upgrade { 0 } else { setting.count };
    let count = setting.blows.as_ref().map_or(struck, |blows| blows.len() as u64);
    for round in 0..count {
        let fixed = setting.blows.as_ref().and_then(|blows| blows.get(usize::try_from(round).ok()?).copied());
        let blow = fixed.unwrap_or_else(|| Blow::ALL[drawn(&mut course.rng, Blow::ALL.len())]);
        let at = drawn(&mut course.rng, NODES);
        course.strike(blow, at).await.map_err(|e| format!("blow {round} ({blow:?} at node-{at}): {e}"))?;
        *blows.entry(blow).or_default() += 1;
        if (round + 1) % 10 == 0 {
            eprintln!("{} blows, {} orders", round + 1, course.shop.expectations.len());
        }
    }
    let seconds = watch.elapsed().0 as f64 / 1_000.0;
    course.report(blows, seconds).await
}

fn drawn(rng: &mut Rng, of: usize) -> usize {
    usize::try_from(rng.between(0..=of as u64 - 1)).unwrap_or(0)
}

impl Course<'_> {
    async fn strike(&mut self, blow: Blow, at: usize) -> Result<(), String> {
        let breath = self.rng.between(BREATH_MS.0..=BREATH_MS.1);
        self.trade(Duration(i64::try_from(breath).unwrap_or(0))).await;
        self.in_flight = (self.in_flight.0 + self.shop.under_way(), self.in_flight.1 + 1);
        let systems = self.shop.systems.clone();
        match blow {
            Blow::Kill => {
                self.site.kill(at).await?;
                self.spread("kill").await?;
                self.site.start(at, &systems).await?;
            }
            Blow::Stop => {
                let took = self.site.stop(at).await?;
                self.stopped_most = self.stopped_most.max(took.0);
                // It is gone only when it has handed over.
                self.spread("stop").await?;
                self.site.start(at, &systems).await?;
            }
            Blow::Pause => {
                let watch = Stopwatch::start();
                self.site.signal(at, "STOP").await?;
                self.site.set_well(at, false);
                self.spread("pause").await?;
                self.trade(Duration(AWAY.0 - watch.elapsed().0)).await;
                self.site.signal(at, "CONT").await?;
                self.site.set_well(at, true);
            }
            Blow::CutThere | Blow::CutBack => {
                let watch = Stopwatch::start();
                self.site.nodes[at].road.cut(blow == Blow::CutThere, blow == Blow::CutBack);
                self.site.set_well(at, false);
                self.spread("cut").await?;
                self.trade(Duration(AWAY.0 - watch.elapsed().0)).await;
                self.site.nodes[at].road.mend();
                self.site.set_well(at, true);
            }
        }
        self.spread("return").await
    }

    /// One node after another goes and another comes in its place, as by a rolling upgrade.
    async fn replace_all(&mut self) -> Result<(), String> {
        let systems = self.shop.systems.clone();
        for at in 0..NODES {
            self.trade(Duration(BREATH_MS.0.cast_signed())).await;
            self.in_flight = (self.in_flight.0 + self.shop.under_way(), self.in_flight.1 + 1);
            let (site, shop, setting) = (&mut self.site, &mut self.shop, self.setting);
            let took = tokio::select! {
                took = site.retire(at) => took?,
                () = keep_trading(shop, setting, Duration(i64::MAX / 2)) => return Err("trade ended".into()),
            };
            self.stopped_most = self.stopped_most.max(took.0);
            self.spread("stop").await?;
            let (site, shop) = (&mut self.site, &mut self.shop);
            tokio::select! {
                started = site.start(at, &systems) => started?,
                () = keep_trading(shop, setting, Duration(i64::MAX / 2)) => return Err("trade ended".into()),
            }
            self.spread("return").await?;
        }
        Ok(())
    }

    /// Waits until the partitions are spread evenly, while shoppers go on.
    async fn spread(&mut self, after: &str) -> Result<(), String> {
        let (site, shop, setting) = (&self.site, &mut self.shop, self.setting);
        let took = tokio::select! {
            took = site.is_even(REBALANCED_AT_ALL) => took?,
            () = keep_trading(shop, setting, Duration(i64::MAX / 2)) => None,
        };
        let took = took.ok_or_else(|| format!("not spread evenly within {} s after {after}", REBALANCED_AT_ALL.0 / 1_000))?;
        self.times.entry(after.to_owned()).or_default().add(took);
        Ok(())
    }

    async fn trade(&mut self, length: Duration) {
        keep_trading(&mut self.shop, self.setting, length).await;
    }

    async fn settle(&mut self) {
        let (whole, mut quiet, mut rows) = (Stopwatch::start(), Stopwatch::start(), self.shop.rows());
        while whole.elapsed() < SETTLE_MAX {
            clock::pause(Duration::millis(200)).await;
            let enough = if self.shop.under_way() == 0 { QUIET } else { QUIET_UNDER_WAY };
            if quiet.elapsed() >= enough {
                return;
            }
            let now = self.shop.rows();
            if now != rows {
                (quiet, rows) = (Stopwatch::start(), now);
            }
        }
    }

    async fn report(mut self, blows: BTreeMap<Blow, u64>, seconds: f64) -> Result<Report, String> {
        let watch = Stopwatch::start();
        self.settle().await;
        for at in 0..NODES {
            let took = self.site.stop(at).await.map_err(|e| format!("at the end node-{at}: {e}"))?;
            self.stopped_most = self.stopped_most.max(took.0);
        }
        let settled_after_s = watch.elapsed().0 / 1_000;
        let store = self.site.open().await?;
        let judged = judge(&self.shop, &store).await?;
        let audit = store.verify_audit().await.map_err(|e| e.to_string())?;
        tokio::task::spawn_blocking(move || drop(store)).await.map_err(|e| e.to_string())?;
        if self.setting.keep.is_some() {
            self.shop.keep_ledgers(self.site.folder()).map_err(|e| format!("the ledgers cannot be kept: {e}"))?;
            self.site.server.dump(&self.site.folder().join("store.sql"))?;
        }
        let posts = {
            let posts = self.shop.posts.lock().unwrap_or_else(PoisonError::into_inner);
            let failed = posts.refused.iter().map(|(status, (count, _))| (*status, *count)).collect();
            (posts.acknowledged.len(), failed)
        };
        let number = async |sql: &str| -> Result<u64, String> {
            let lines = self.site.ask(sql).await?;
            lines.first().and_then(|line| line.parse().ok()).ok_or_else(|| format!("{sql}: no number"))
        };
        let report = Report {
            seed: self.setting.seed,
            blows,
            orders: self.shop.expectations.len(),
            seconds,
            in_flight_mean: self.in_flight.0 as f64 / self.in_flight.1.max(1) as f64,
            rebalanced: self.times.clone(),
            stopped_ms_most: self.stopped_most,
            posted: self.shop.posted,
            acknowledged: posts.0,
            failed_calls: posts.1,
            stale_writes: number("SELECT count(*) FROM public.stale").await?,
            epochs: number("SELECT sum(epoch) FROM crossdock.lease").await?,
            effects: number("SELECT count(*) FROM crossdock.effect WHERE epoch IS NOT NULL").await?,
            settled_after_s,
            audit: match audit {
                AuditVerdict::Intact { rows, .. } => format!("intact, {rows} rows"),
                AuditVerdict::Broken { partition, offset, reason } => format!("broken at {partition}/{offset}: {reason}"),
            },
            judged,
            panics: self.panics(),
            verdict: "",
        };
        Ok(Report { verdict: report.word(), ..report })
    }

    fn panics(&self) -> Vec<String> {
        let texts = (0..NODES).map(|at| fs::read_to_string(self.site.log_path(at)).unwrap_or_default());
        let bad = |line: &&str| line.contains("panicked at") || line.contains("cannot go on");
        texts.flat_map(|text| text.lines().filter(bad).take(10).map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

/// Keeps so many orders under way for a while.
async fn keep_trading(shop: &mut Shop, setting: &Setting, length: Duration) {
    let watch = Stopwatch::start();
    let at_once = (setting.rate * usize::try_from(TICK.0).unwrap_or(0)).div_ceil(1_000);
    while watch.elapsed() < length {
        let room = setting.in_flight.saturating_sub(shop.under_way()).min(at_once);
        if !setting.upgrade {
            shop.place(room);
        } else if let Err(reason) = shop.post(room) {
            eprintln!("an order was not handed over: {reason}");
        }
        clock::pause(Duration((length.0 - watch.elapsed().0).clamp(1, TICK.0))).await;
    }
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.word() == "good"
    }

    /// Nothing is wrong in what could be checked; for runs too small to show everything, on machines too busy to be timed.
    pub fn is_faultless(&self) -> bool {
        self.judged.is_faultless()
            && self.judged.restless == 0
            && self.failed_calls.is_empty()
            && self.acknowledged == self.posted
            && self.stale_writes == 0
            && self.panics.is_empty()
            && self.is_intact()
    }

    fn is_intact(&self) -> bool {
        self.audit.starts_with("intact")
    }

    fn word(&self) -> &'static str {
        if !self.failed_calls.is_empty() || self.acknowledged != self.posted {
            return "a call of the storefront failed";
        }
        if !self.judged.is_clean() {
            "an invariant does not hold, or was not checked"
        } else if self.stale_writes > 0 {
            "something was written under a stale epoch"
        } else if !self.is_intact() {
            "the audit chain is broken"
        } else if !self.panics.is_empty() {
            "a hub panicked"
        } else if self.judged.restless > 0 {
            "not everything settled"
        } else if self.rebalanced.values().any(|times| times.late > 0) {
            "the partitions were not spread evenly within 5 s"
        } else {
            "good"
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, orders, seconds, in_flight_mean, .. } = self;
        let blows: u64 = self.blows.values().sum();
        writeln!(f, "{blows} blows of seed {seed} in {seconds:.0} s; {orders} orders, {in_flight_mean:.0} under way on average")?;
        let kinds: Vec<String> = self.blows.iter().map(|(blow, count)| format!("{blow:?} {count}")).collect();
        writeln!(f, "  {}", kinds.join(", "))?;
        for (after, Times { count, mean_ms, most_ms, late, .. }) in &self.rebalanced {
            writeln!(f, "evenly spread after {after:<8}{mean_ms:>6} ms on average, {most_ms} at most, of {count}; late {late}")?;
        }
        writeln!(f, "a stop took {} ms at most", self.stopped_ms_most)?;
        if self.posted > 0 {
            let failed: u64 = self.failed_calls.values().sum();
            writeln!(f, "{} orders by the interface, {} acknowledged, {failed} failed calls", self.posted, self.acknowledged)?;
        }
        writeln!(
            f,
            "{} effects, {} leases taken, {} stale writes; audit {}",
            self.effects, self.epochs, self.stale_writes, self.audit
        )?;
        writeln!(f, "settled {} s after the last blow", self.settled_after_s)?;
        write!(f, "{}", self.judged)?;
        for line in &self.panics {
            writeln!(f, "log: {line}")?;
        }
        writeln!(f, "{}", self.verdict)
    }
}
