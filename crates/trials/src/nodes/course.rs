//! The course of a leg: orders, blows at moments drawn from the seed, rest, and judgement.

use super::{
    moment::AIMS,
    report::{Blow, Copies, Pauses, Report, Times},
    site::{NODES, RECONCILED_EVERY, REPEATED, Site, TAKES_REPEATS},
    way::Cut,
    witness::Witness,
};
use crate::kill::{judge::judge_with, shop::Shop};
use crossdock_canonical::Duration;
use crossdock_engine::shell::clock::{self, Clock, Stopwatch};
use crossdock_simulators::{World, backoffice::Identity, rng::Rng};
use crossdock_store::{AuditVerdict, ReadStore};
use crossdock_verify::Options;
use std::{collections::BTreeMap, fs, path::PathBuf, pin::pin, sync::PoisonError};

/// After this nobody waits for it any longer.
const REBALANCED_AT_ALL: Duration = Duration::seconds(30);
/// How long a node stands still or is cut off: three leases.
const AWAY: Duration = Duration::seconds(3);
/// The landscape's.
const LEASE: Duration = Duration::seconds(1);
/// Processes of which the journal says that a system has something of theirs more than once.
const PARKED_COPIES: &str =
    "SELECT count(DISTINCT process_no) FROM crossdock.journal WHERE convert_from(record, 'UTF8') LIKE '%\"applied_twice\"%'";
/// A cycle of reconciliation, and before it the time until *absent* would say anything: the call's timeout and the settling time.
const FOUND_WITHIN: Duration = Duration(RECONCILED_EVERY.0 + 11_000 + 5_000);
const LOOK: Duration = Duration::millis(500);
/// How long a trap waits for a call. Gift cards are the rarest.
const TRAP_MAX: Duration = Duration::seconds(4);
/// Between two blows.
const BREATH_MS: (u64, u64) = (300, 3_000);
const TICK: Duration = Duration::millis(50);

pub(super) struct Setting {
    pub fate: Fate,
    pub seed: u64,
    pub in_flight: usize,
    pub rate: usize,
    pub keep: Option<PathBuf>,
    /// One system cannot refuse repeats.
    pub lookup_only: bool,
    /// The hub's.
    pub program: PathBuf,
    /// The campaign is in a network of its own, or why not.
    pub apart: Result<(), String>,
}

/// What befalls the nodes.
pub(super) enum Fate {
    /// So many blows, by the seed.
    Drawn(u64),
    /// These, in their order.
    These(Vec<Blow>),
    /// Each node is replaced so often, and orders come by the interface.
    Upgrades(u64),
}

struct Course<'s> {
    setting: &'s Setting,
    site: Site,
    shop: Shop,
    rng: Rng,
    blows: BTreeMap<Blow, u64>,
    pauses: Pauses,
    times: BTreeMap<String, Times>,
    witness: Witness,
    stopped_most: i64,
    under_way: usize,
    started_again: u64,
}

/// Strikes, settles and judges.
pub(super) async fn leg(setting: &Setting) -> Result<Report, String> {
    let site = Site::new(&setting.program, setting.keep.as_deref(), setting.apart.clone(), setting.lookup_only).await?;
    let (key, bound) = site.prepare().await?;
    let (mut config, hub) = (Shop::config(), format!("http://{}", site.balancer.address));
    if setting.lookup_only {
        config.identity.insert(REPEATED.into(), Identity::LookupOnly);
    }
    let shop = Shop::with(World::new(setting.seed, config.clone()), &config, site.systems, hub, key).await?;
    let mut course = Course {
        setting,
        site,
        shop,
        rng: Rng::named(setting.seed, "nodes"),
        blows: BTreeMap::new(),
        pauses: Pauses::default(),
        times: BTreeMap::new(),
        witness: Witness::new(bound),
        stopped_most: 0,
        under_way: 0,
        started_again: 0,
    };
    // Nobody comes before there is a node to come to.
    for at in 0..NODES {
        let systems = course.shop.systems.clone();
        course.started_again += course.site.start(at, &systems).await?;
    }
    course.spread("start").await?;
    let watch = Stopwatch::start();
    match &setting.fate {
        Fate::Drawn(count) => {
            for _ in 0..*count {
                let blow = Blow::ALL[drawn(&mut course.rng, Blow::ALL.len())];
                course.strike(blow).await?;
            }
        }
        Fate::These(blows) => {
            for blow in blows {
                course.strike(*blow).await?;
            }
        }
        Fate::Upgrades(count) => course.upgrade(*count).await?,
    }
    let seconds = watch.elapsed().0 as f64 / 1_000.0;
    course.report(seconds).await
}

fn drawn(rng: &mut Rng, of: usize) -> usize {
    usize::try_from(rng.between(0..=of as u64 - 1)).unwrap_or(0)
}

/// What a pause comes before: every other time a call to the system that would take it twice.
fn aim(rng: &mut Rng) -> (&'static str, &'static str) {
    let any = AIMS[drawn(rng, AIMS.len())];
    if drawn(rng, 2) == 0 { (TAKES_REPEATS, "POST /sales-orders ") } else { any }
}

impl Course<'_> {
    /// Strikes one of the nodes.
    async fn strike(&mut self, blow: Blow) -> Result<(), String> {
        let (at, round) = (drawn(&mut self.rng, NODES), self.blows.values().sum::<u64>() + 1);
        self.strike_at(blow, at).await.map_err(|e| format!("blow {round} ({blow:?} at {}): {e}", self.site.nodes[at].name))?;
        *self.blows.entry(blow).or_default() += 1;
        if round.is_multiple_of(10) {
            eprintln!("{round} blows, {} orders", self.shop.expectations.len());
        }
        Ok(())
    }

    async fn strike_at(&mut self, blow: Blow, at: usize) -> Result<(), String> {
        let breath = self.rng.between(BREATH_MS.0..=BREATH_MS.1);
        self.trade(Duration(i64::try_from(breath).unwrap_or(0))).await;
        self.under_way += self.shop.under_way();
        match blow {
            Blow::Kill => {
                self.site.kill(at).await?;
                self.spread("kill").await?;
                self.start(at).await?;
            }
            Blow::Stop => {
                let took = self.site.stop(at).await?;
                self.stopped_most = self.stopped_most.max(took.0);
                // It is gone only when it has handed over.
                self.spread("stop").await?;
                self.start(at).await?;
            }
            Blow::Pause => {
                let (system, begins) = aim(&mut self.rng);
                if self.has_stopped_before_a_call(at, system, begins).await? {
                    *self.pauses.before_a_call.entry(system.to_owned()).or_default() += 1;
                } else {
                    self.site.signal(at, "STOP").await?;
                    self.pauses.at_any_moment += 1;
                }
                let watch = Stopwatch::start();
                self.site.set_well(at, false);
                self.spread("pause").await?;
                self.trade(Duration(AWAY.0 - watch.elapsed().0)).await;
                self.site.signal(at, "CONT").await?;
                self.site.set_well(at, true);
            }
            Blow::CutThere | Blow::CutBack | Blow::AloneThere | Blow::AloneBack => {
                let watch = Stopwatch::start();
                let (there, alone) =
                    (matches!(blow, Blow::CutThere | Blow::AloneThere), matches!(blow, Blow::AloneThere | Blow::AloneBack));
                self.site.cut(at, Cut { there, alone }).await?;
                self.spread("cut").await?;
                self.trade(Duration(AWAY.0 - watch.elapsed().0)).await;
                self.site.mend(at).await?;
            }
        }
        self.spread("return").await?;
        self.witness.look(&self.site).await
    }

    /// Starts a node, while shoppers go on.
    async fn start(&mut self, at: usize) -> Result<(), String> {
        let systems = self.shop.systems.clone();
        self.started_again += trading(&mut self.shop, self.setting, self.site.start(at, &systems)).await?;
        Ok(())
    }

    /// Sets a trap for a node's next such call to a system; `false` when none came for a while.
    async fn has_stopped_before_a_call(&mut self, at: usize, system: &str, begins: &str) -> Result<bool, String> {
        let port = self.shop.systems.addresses().get(system).ok_or_else(|| format!("there is no system {system}"))?.port();
        self.site.nodes[at].trap.set(port, begins)?;
        trading(&mut self.shop, self.setting, self.site.steps_in(at, TRAP_MAX)).await
    }

    /// Replaces each node so often: one after another goes and another comes in its place, as by a rolling upgrade.
    async fn upgrade(&mut self, count: u64) -> Result<(), String> {
        for at in (0..count).flat_map(|_| 0..NODES) {
            self.trade(Duration(BREATH_MS.0.cast_signed())).await;
            self.under_way += self.shop.under_way();
            let took = trading(&mut self.shop, self.setting, self.site.retire(at)).await?;
            self.stopped_most = self.stopped_most.max(took.0);
            self.spread("stop").await?;
            self.start(at).await?;
            self.spread("return").await?;
            *self.blows.entry(Blow::Stop).or_default() += 1;
        }
        Ok(())
    }

    /// Waits until the partitions are spread evenly, while shoppers go on.
    async fn spread(&mut self, after: &str) -> Result<(), String> {
        let took = trading(&mut self.shop, self.setting, self.site.is_even(REBALANCED_AT_ALL)).await?;
        let took = took.ok_or_else(|| format!("not spread evenly within {} s after {after}", REBALANCED_AT_ALL.0 / 1_000))?;
        self.times.entry(after.to_owned()).or_default().add(took);
        Ok(())
    }

    async fn trade(&mut self, length: Duration) {
        trading(&mut self.shop, self.setting, clock::pause(Duration(length.0.max(0)))).await;
    }

    async fn report(mut self, seconds: f64) -> Result<Report, String> {
        let watch = Stopwatch::start();
        self.shop.comes_to_rest().await;
        let copies = self.copies().await?;
        for at in 0..NODES {
            let took = self.site.stop(at).await.map_err(|e| format!("at the end node-{at}: {e}"))?;
            self.stopped_most = self.stopped_most.max(took.0);
        }
        let settling_s = watch.elapsed().0 / 1_000;
        let store = self.site.open().await?;
        let take_repeats = self.setting.lookup_only.then(|| TAKES_REPEATS.to_owned());
        let options = Options { take_repeats: take_repeats.into_iter().collect(), ..Options::at_rest(Clock::System.now()) };
        let mut judged = judge_with(&self.shop, &store, &options).await?;
        judged.invariants.insert("I13".into(), self.witness.seen.word().into());
        judged.findings.extend(self.witness.seen.foreign.iter().cloned());
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
        let (audit_rows, broken) = match audit {
            AuditVerdict::Intact { rows, .. } => (rows, Vec::new()),
            AuditVerdict::Broken { partition, offset, reason } => (0, vec![format!("at {partition}/{offset}: {reason}")]),
        };
        let report = Report {
            seed: self.setting.seed,
            legs: 1,
            cuts: self.site.cuts.clone(),
            pauses: self.late_calls(),
            copies,
            seen: self.witness.seen.clone(),
            started_again: self.started_again,
            orders: self.shop.expectations.len(),
            seconds,
            settling_s,
            under_way: self.under_way,
            stopped_ms_most: self.stopped_most,
            posted: self.shop.posted,
            acknowledged: posts.0,
            failed_calls: posts.1,
            stale_writes: self.site.number("SELECT count(*) FROM public.stale").await?,
            epochs: self.site.number("SELECT sum(epoch) FROM crossdock.lease").await?,
            effects: self.site.number("SELECT count(*) FROM crossdock.effect WHERE epoch IS NOT NULL").await?,
            audit_rows,
            broken,
            judged,
            panics: self.panics(),
            blows: self.blows,
            rebalanced: self.times,
            verdict: String::new(),
        };
        Ok(report.with_verdict())
    }

    /// Waits until the hub has found and cancelled what was applied twice where repeats are not refused, for as long as it may take.
    async fn copies(&self) -> Result<Copies, String> {
        let watch = Stopwatch::start();
        loop {
            let (left, standing) = self.shop.systems.world().erp.service.copies();
            let found = self.site.number(PARKED_COPIES).await?;
            if (standing == 0 && found >= left as u64) || watch.elapsed() > FOUND_WITHIN {
                return Ok(Copies { left: left as u64, found, standing: standing as u64 });
            }
            clock::pause(LOOK).await;
        }
    }

    /// What became of the calls that nodes were stopped before, by the ledgers of the systems they went to.
    fn late_calls(&self) -> Pauses {
        let (world, addresses) = (self.shop.systems.world(), self.shop.systems.addresses());
        let mut pauses = self.pauses.clone();
        for call in self.site.nodes.iter().flat_map(|node| node.trap.calls()).filter(|call| call.was_sent && call.stood > LEASE) {
            let Some((system, _)) = addresses.iter().find(|(_, address)| address.port() == call.port) else { continue };
            let rows = world.ledger(system).map(|ledger| ledger.rows()).unwrap_or_default();
            let late = pauses.late.entry((*system).to_owned()).or_default();
            late.sent += 1;
            late.applied += u64::from(rows.iter().any(|row| row.at >= call.at && Some(&row.key) == call.key.as_ref()));
        }
        pauses
    }

    fn panics(&self) -> Vec<String> {
        let texts = (0..NODES).map(|at| fs::read_to_string(self.site.log_path(at)).unwrap_or_default());
        let bad = |line: &&str| line.contains("panicked at") || line.contains("cannot go on");
        texts.flat_map(|text| text.lines().filter(bad).take(10).map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

/// Keeps so many orders under way until something else has come to its end.
async fn trading<T>(shop: &mut Shop, setting: &Setting, until: impl Future<Output = T>) -> T {
    let at_once = (setting.rate * usize::try_from(TICK.0).unwrap_or(0)).div_ceil(1_000);
    let mut until = pin!(until);
    loop {
        let room = setting.in_flight.saturating_sub(shop.under_way()).min(at_once);
        match setting.fate {
            Fate::Drawn(_) | Fate::These(_) => shop.place(room),
            Fate::Upgrades(_) => shop.post(room).unwrap_or_else(|reason| eprintln!("an order was not handed over: {reason}")),
        }
        tokio::select! {
            ended = &mut until => return ended,
            () = clock::pause(TICK) => {}
        }
    }
}
