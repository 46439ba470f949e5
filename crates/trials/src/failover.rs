//! `failover`: a hub on two PostgreSQL servers, of which one follows the other synchronously, under steady orders. Over and over the
//! primary is killed and the standby made the new one, and then the killed server is built anew as its standby.
//!
//! The hub knows both servers by one address and finds the one that takes writes; nobody tells it. Who hands orders over keeps a list of
//! what was acknowledged, and at the end each of them must be in the store, once, with all that the systems' ledgers say of it.
//!
//! With `--outage` the server is stopped for so many seconds instead and comes back: nothing may be acknowledged meanwhile, every refusal
//! must come within a second, and all goes on by itself.
//!
//! Not shown here: a primary that is cut off and goes on (a synchronous standby that is gone lets it commit nothing), and a network that
//! swallows packets.

use crate::{
    address,
    cluster::{DATABASE, Server},
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
use crossdock_engine::shell::clock::{self, Clock, Stopwatch};
use crossdock_simulators::rng::Rng;
use crossdock_store::ProcessKey;
use crossdock_verify::HubView;
use serde::Serialize;
use std::{fmt, path::PathBuf, process::ExitCode, sync::PoisonError};

#[derive(clap::Args)]
pub struct Args {
    /// How many primaries are killed.
    #[arg(long, default_value_t = 20)]
    count: u64,
    /// Decides the orders and the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Orders under way at once.
    #[arg(long, default_value_t = 60)]
    in_flight: usize,
    /// Orders placed a second; a third of them by the interface.
    #[arg(long, default_value_t = 12)]
    rate: usize,
    /// Stop the one server for so many seconds instead of killing one of two.
    #[arg(long, value_name = "SECONDS")]
    outage: Option<u32>,
    /// Keep the landscape, the ledgers and the hub's log in this folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Orders are accepted again at the latest this long after a primary died.
const AGAIN_MAX: Duration = Duration::seconds(30);
/// And refused at the latest after this while there is none.
const REFUSED_MAX_MS: i64 = 1_000;
/// How long orders are taken before each kill.
const CALM_MS: (u64, u64) = (1_500, 5_000);
/// How long it takes until somebody notices and promotes.
const NOTICE_MS: (u64, u64) = (0, 2_000);
const TICK: Duration = Duration::millis(100);

pub struct Setting {
    pub count: u64,
    pub seed: u64,
    pub in_flight: usize,
    pub rate: usize,
    pub outage: Option<Duration>,
    pub keep: Option<PathBuf>,
}

#[derive(Serialize)]
pub struct Report {
    pub seed: u64,
    /// Primaries killed, or outages.
    pub rounds: u64,
    pub seconds: f64,
    pub orders: usize,
    /// Of them handed over by the interface and acknowledged.
    pub acknowledged: usize,
    /// Acknowledged and not in the store at the end.
    pub lost: Vec<String>,
    /// Acknowledged while there was no primary.
    pub acknowledged_without_store: usize,
    /// From the death of a primary, or the server's return, until the next order was acknowledged.
    pub again_ms_mean: i64,
    pub again_ms_most: i64,
    /// By status, 0 for none: refusals, and the slowest of them in milliseconds.
    pub refused: std::collections::BTreeMap<u16, (u64, i64)>,
    pub settled_after_s: i64,
    pub judged: Judged,
    pub panics: Vec<String>,
    pub verdict: &'static str,
}

pub fn run(args: &Args) -> ExitCode {
    let setting = Setting {
        count: args.count,
        seed: args.seed,
        in_flight: args.in_flight,
        rate: args.rate,
        outage: args.outage.map(|seconds| Duration::seconds(seconds.into())),
        keep: args.keep.clone(),
    };
    outcome::run("failover", args.json, Report::is_good, campaign(&setting))
}

/// Kills, promotes, rebuilds, settles and judges.
pub async fn campaign(setting: &Setting) -> Result<Report, String> {
    let name = |which: &str| format!("failover-{which}-{}", setting.seed);
    let mut primary = Server::primary(&name("a"), address::own()?)?;
    let mut standby = Server::new(&name("b"), address::own()?)?;
    let mut ground = Ground::new(setting.keep.as_deref())?;
    let url = match setting.outage {
        Some(_) => primary.url(DATABASE),
        None => {
            standby.follow(&primary).await?;
            Server::url_of(&[&primary, &standby])
        }
    };
    ground.use_database(&url)?;
    let key = ground.key().await?;
    let mut shop = Shop::open(setting.seed, ground.url(), key).await?;
    let mut hub = ground.start(&shop.systems)?;
    hub.is_up().await?;
    let mut rng = Rng::named(setting.seed, "failover");
    let mut drawn = |(from, to): (u64, u64)| Duration(i64::try_from(rng.between(from..=to)).unwrap_or(0));
    let (mut again, mut without_store) = (Vec::new(), 0);
    let watch = Stopwatch::start();
    for round in 0..setting.count {
        pass(&mut shop, setting, drawn(CALM_MS)).await?;
        let died = Clock::System.now().0;
        let back = match setting.outage {
            None => {
                primary.kill()?;
                pass(&mut shop, setting, drawn(NOTICE_MS)).await?;
                let promoting = Clock::System.now().0;
                without_store += acknowledged_between(&shop, died + 1_000, promoting);
                tokio::task::block_in_place(|| standby.promote())?;
                died
            }
            Some(length) => {
                tokio::task::block_in_place(|| primary.stop())?;
                let gone = Clock::System.now().0;
                pass(&mut shop, setting, length).await?;
                without_store += acknowledged_between(&shop, gone, Clock::System.now().0);
                let back = Clock::System.now().0;
                tokio::task::block_in_place(|| primary.start())?;
                back
            }
        };
        let took = accepted_again(&mut shop, setting, back).await.map_err(|e| format!("after round {round}: {e}"))?;
        eprintln!("round {}: accepted again after {took} ms; {} under way", round + 1, shop.under_way());
        again.push(took);
        if setting.outage.is_none() {
            (primary, standby) = (standby, primary);
            standby.follow(&primary).await.map_err(|e| format!("after round {round}: {e}"))?;
        }
    }
    let seconds = watch.elapsed().0 as f64 / 1_000.0;
    // What was posted and not acknowledged yet is repeated until it is.
    let waiting = Stopwatch::start();
    while shop.posts.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.len() < shop.posted
        && waiting.elapsed() < AGAIN_MAX
    {
        clock::pause(TICK).await;
    }
    hub.kill().await?;
    let watch = Stopwatch::start();
    let judged = settle(&ground, &mut shop, setting.keep.is_some()).await?;
    let store = ground.open()?;
    let view = HubView::read(&*store).await.map_err(|e| format!("the store cannot be read: {e}"))?;
    let posts = shop.posts.lock().unwrap_or_else(PoisonError::into_inner);
    let channel = shop.channel.clone();
    let is_lost =
        |site: &str, number: &str| !view.processes.contains_key(&ProcessKey::new("order", &format!("{channel}/{site}/{number}")));
    let lost = posts.acknowledged.iter().filter(|(site, number, _)| is_lost(site, number));
    let report = Report {
        seed: setting.seed,
        rounds: setting.count,
        seconds,
        orders: shop.expectations.len(),
        acknowledged: posts.acknowledged.len(),
        lost: lost.map(|(site, number, _)| format!("{site}/{number}")).collect(),
        acknowledged_without_store: without_store,
        again_ms_mean: again.iter().sum::<i64>() / i64::try_from(again.len().max(1)).unwrap_or(1),
        again_ms_most: again.iter().copied().max().unwrap_or(0),
        refused: posts.refused.clone(),
        settled_after_s: watch.elapsed().0 / 1_000,
        judged,
        panics: panics(&ground),
        verdict: "",
    };
    Ok(Report { verdict: report.word(setting.outage.is_some()), ..report })
}

/// Orders come by both doors for a while.
async fn pass(shop: &mut Shop, setting: &Setting, length: Duration) -> Result<(), String> {
    let polled =
        Trade { kills: 0, seed: setting.seed, in_flight: setting.in_flight, rate: setting.rate - setting.rate / 3, keep: None };
    let watch = Stopwatch::start();
    // One at once: whoever waits for the next acknowledgment must see one asked for.
    let mut owed = 1.0;
    while watch.elapsed() < length {
        owed += (setting.rate / 3).max(1) as f64 * TICK.0 as f64 / 1_000.0;
        let now = owed as usize;
        owed -= now as f64;
        shop.post(now)?;
        trade(shop, &polled, TICK.min(Duration(length.0 - watch.elapsed().0))).await;
    }
    Ok(())
}

/// Goes on trading until an order is acknowledged after an instant; how long after it.
async fn accepted_again(shop: &mut Shop, setting: &Setting, since: i64) -> Result<i64, String> {
    loop {
        let first = {
            let posts = shop.posts.lock().unwrap_or_else(PoisonError::into_inner);
            // What was on its way when the primary died may have been acknowledged just then.
            posts
                .acknowledged
                .iter()
                .map(|(.., at)| *at)
                .filter(|at| *at > since + if setting.outage.is_some() { 0 } else { 1_000 })
                .min()
        };
        if let Some(at) = first {
            return Ok(at - since);
        }
        if Clock::System.now().0 - since > 2 * AGAIN_MAX.0 {
            let posts = shop.posts.lock().unwrap_or_else(PoisonError::into_inner);
            return Err(format!("no order is accepted any more; answers so far: {:?}", posts.refused));
        }
        pass(shop, setting, TICK).await?;
    }
}

fn acknowledged_between(shop: &Shop, from: i64, to: i64) -> usize {
    let posts = shop.posts.lock().unwrap_or_else(PoisonError::into_inner);
    posts.acknowledged.iter().filter(|(.., at)| *at > from && *at < to).count()
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.verdict == "good"
    }

    fn word(&self, outage: bool) -> &'static str {
        let slow = self.refused.iter().any(|(status, (_, slowest))| *status != 0 && *slowest > REFUSED_MAX_MS);
        if !self.lost.is_empty() {
            "an acknowledged order is lost"
        } else if self.acknowledged_without_store > 0 {
            "an order was acknowledged while there was no store"
        } else if self.again_ms_most > AGAIN_MAX.0 {
            "orders were accepted again too late"
        } else if outage && slow {
            "an order was refused too late"
        } else if !self.judged.is_faultless() {
            "an invariant does not hold"
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
        let Self { seed, rounds, seconds, orders, acknowledged, .. } = self;
        writeln!(
            f,
            "{rounds} rounds of seed {seed} in {seconds:.0} s; {orders} orders, {acknowledged} of them acknowledged by the interface"
        )?;
        writeln!(f, "lost: {}; acknowledged without a store: {}", self.lost.len(), self.acknowledged_without_store)?;
        writeln!(f, "accepted again after {} ms on average, {} at most", self.again_ms_mean, self.again_ms_most)?;
        for (status, (count, slowest)) in &self.refused {
            writeln!(f, "answered {status}: {count} times, {slowest} ms at most")?;
        }
        writeln!(f, "settled {} s after the last round", self.settled_after_s)?;
        write!(f, "{}", self.judged)?;
        for line in self.lost.iter().take(20).chain(&self.panics) {
            writeln!(f, "- {line}")?;
        }
        writeln!(f, "{}", self.verdict)
    }
}
