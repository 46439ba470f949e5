//! One run: orders come in, Tryton is troubled or not, everything settles, the tables are judged.

use super::{
    Args,
    hub::{Door, Found, Ground},
    judge::{Judged, judge},
    orders::{self, Placed, Purpose},
    peer::Peer,
    proxy::Proxy,
    tables,
};
use crossdock_canonical::Duration;
use crossdock_engine::shell::clock::{self, Clock, Stopwatch};
use crossdock_simulators::{
    Config, Mix, World,
    rng::Rng,
    serve::{self, Running as Systems},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, sync::Arc};
use tokio::sync::oneshot;

/// How long a call to Tryton may go on when its end is unclear. A request whose connection was cut runs on for as long as its
/// transaction does, seconds here; the default is for a server nobody knows.
const SETTLING: &str = "20s";
/// The warehouse takes its time, so that shoppers can still change their minds.
const PICK_AFTER_MS: (u64, u64) = (8_000, 16_000);
/// When a shopper cancels; under faults Tryton is slower, and so is he.
const CANCEL_WITHIN_MS: u64 = 12_000;
const CANCEL_WITHIN_FAULTS_MS: u64 = 40_000;
/// Tryton lives so long before it is killed, and is dead so long.
const LIFE_MS: (u64, u64) = (60_000, 150_000);
const DEATH_MS: (u64, u64) = (500, 6_000);
/// Orders under way; under faults most of them wait for something to settle.
const IN_FLIGHT: usize = 16;
const IN_FLIGHT_FAULTS: usize = 40;
const LOOK_EVERY: Duration = Duration::seconds(1);
/// How long nothing may change any more before the run is judged as it stands; longer than any retry waits.
const QUIET: Duration = Duration::seconds(200);
/// Orders that wait for a person may be helped by a late answer.
const QUIET_PARKED: Duration = Duration::seconds(60);
const SETTLE_MAX: Duration = Duration::seconds(1_800);

#[derive(Serialize)]
pub(super) struct Report {
    seed: u64,
    faults: bool,
    orders: usize,
    seconds: f64,
    orders_a_minute: f64,
    /// From the last order, and the last fault, until all had settled.
    settled_after_s: f64,
    kills: u64,
    line: BTreeMap<&'static str, u64>,
    judged: Judged,
    verdict: &'static str,
}

pub(super) async fn campaign(args: &Args) -> Result<Report, String> {
    let peer = Peer::open(&args.facts)?;
    if !tables::sales(&peer.postgres).await?.is_empty() {
        return Err("this Tryton has sales already: `peers/tryton/setup fresh` first".into());
    }
    let proxy = Proxy::start(&peer.address, args.seed, args.faults).await.map_err(|e| format!("no free port: {e}"))?;
    let ground = Ground::new(args.keep.as_deref())?;
    let (channel, systems) = systems(args.seed, ground.url()).await?;
    let way = format!("http://{}", proxy.address);
    let hub = ground.start(&peer, &way, SETTLING, orders::ROUNDING_WITHIN, &systems).await?;

    let whole = Stopwatch::start();
    let mut rng = Rng::named(args.seed, "plan");
    let within = if args.faults { CANCEL_WITHIN_FAULTS_MS } else { CANCEL_WITHIN_MS };
    let purposes = orders::purposes(args.orders, args.cancellations, within, &mut rng);
    let in_flight = args.in_flight.unwrap_or(if args.faults { IN_FLIGHT_FAULTS } else { IN_FLIGHT });
    let (stop, stopped) = oneshot::channel();
    let killing = async {
        if !args.faults {
            return Ok(0);
        }
        kill_and_restart(&peer, Rng::named(args.seed, "kills"), stopped).await
    };
    let trading = async {
        let placed = trade(&systems, &channel, &hub.door, &purposes, in_flight).await;
        proxy.mend();
        let _ = stop.send(());
        placed
    };
    let (kills, placed) = tokio::join!(killing, trading);
    let (kills, placed) = (kills?, placed?);
    eprintln!("{} orders placed in {} s; they settle", placed.len(), whole.elapsed().0 / 1_000);

    let watch = Stopwatch::start();
    let found = settle(&hub.door, &placed).await?;
    let (settled, seconds) = (watch.elapsed(), whole.elapsed());
    hub.end().await?;
    let judged = judge(&placed, &found, &tables::sales(&peer.postgres).await?, &peer.shops);
    let seconds = seconds.0 as f64 / 1_000.0;
    Ok(Report {
        seed: args.seed,
        faults: args.faults,
        orders: placed.len(),
        seconds,
        orders_a_minute: placed.len() as f64 * 60.0 / seconds,
        settled_after_s: settled.0 as f64 / 1_000.0,
        kills,
        line: proxy.counts(),
        verdict: if judged.is_good() { "good" } else { "Tryton's books are not the storefront's" },
        judged,
    })
}

/// All systems but the ERP. Nothing is lost at the shelf and nobody is suspected: what Tryton shows must be what was ordered.
async fn systems(seed: u64, hub: String) -> Result<(String, Systems), String> {
    let mut config = Config { orders: Mix::plain(), ..Config::default() };
    // The market DE captures each shipment, which needs it.
    config.payment.multicapture = true;
    config.warehouse.short_pick_rate = 0.0;
    config.warehouse.pick_after_ms = PICK_AFTER_MS;
    let channel = config.storefront.channel.clone();
    let now: serve::Clock = Arc::new(|| Clock::System.now().0);
    let options = serve::Options { hub: Some(hub), ..serve::Options::new(now) };
    let systems = serve::start(World::new(seed, config), options).await.map_err(|e| format!("a system cannot listen: {e}"))?;
    Ok((channel, systems))
}

/// Places all orders, so many under way at once.
async fn trade(
    systems: &Systems,
    channel: &str,
    door: &Door,
    purposes: &[Purpose],
    in_flight: usize,
) -> Result<Vec<Placed>, String> {
    let mut placed: Vec<Placed> = Vec::new();
    let (mut ended, mut told) = (0, 0);
    while placed.len() < purposes.len() {
        while placed.len() < purposes.len().min(ended + in_flight.max(1)) {
            let order = orders::place(&mut systems.world(), purposes[placed.len()], Clock::System.now().0)?;
            systems.wake();
            if let Purpose::Cancelled { after_ms } = order.purpose {
                cancel(door, channel, &order, Duration(i64::try_from(after_ms).unwrap_or(0)));
            }
            placed.push(order);
        }
        clock::pause(LOOK_EVERY).await;
        let found = door.orders().await?;
        ended = placed.iter().filter(|order| found.get(&order.name()).is_some_and(rests)).count();
        if placed.len() >= told + 20 {
            told = placed.len();
            eprintln!("{told} orders placed, {ended} of them ended");
        }
    }
    Ok(placed)
}

fn rests(found: &Found) -> bool {
    found.is_ended() || found.waits_for_a_person()
}

fn cancel(door: &Door, channel: &str, order: &Placed, after: Duration) {
    let (door, channel, site, number) = (door.clone(), channel.to_owned(), order.site.clone(), order.number.clone());
    tokio::spawn(async move {
        clock::pause(after).await;
        door.cancel(&channel, &site, &number).await;
    });
}

/// Kills Tryton again and again until told to stop; leaves it alive.
async fn kill_and_restart(peer: &Peer, mut rng: Rng, mut stopped: oneshot::Receiver<()>) -> Result<u64, String> {
    let mut between = |(from, to): (u64, u64)| Duration(i64::try_from(rng.between(from..=to)).unwrap_or(0));
    let mut kills = 0;
    loop {
        tokio::select! {
            _ = &mut stopped => return Ok(kills),
            () = clock::pause(between(LIFE_MS)) => {}
        }
        peer.setup("kill-server").await?;
        kills += 1;
        clock::pause(between(DEATH_MS)).await;
        peer.setup("restart-server").await?;
    }
}

/// Waits until every order has ended, or waits for a person and no late answer helps it.
async fn settle(door: &Door, placed: &[Placed]) -> Result<BTreeMap<String, Found>, String> {
    let (whole, mut quiet, mut before) = (Stopwatch::start(), Stopwatch::start(), String::new());
    loop {
        let found = door.orders().await?;
        let of = |order: &Placed| found.get(&order.name());
        let ended = placed.iter().all(|order| of(order).is_some_and(Found::is_ended));
        let parked = placed.iter().all(|order| of(order).is_some_and(rests));
        // Planted orders wait for a person for good.
        let as_planned =
            parked && placed.iter().all(|order| order.purpose == Purpose::Held || of(order).is_some_and(Found::is_ended));
        let now = format!("{found:?}");
        if now != before {
            (quiet, before) = (Stopwatch::start(), now);
        }
        let patience = if parked { QUIET_PARKED } else { QUIET };
        if ended || as_planned || quiet.elapsed() > patience || whole.elapsed() > SETTLE_MAX {
            return Ok(found);
        }
        clock::pause(LOOK_EVERY).await;
    }
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.judged.is_good()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, orders, seconds, orders_a_minute, settled_after_s, .. } = self;
        writeln!(
            f,
            "{orders} orders of seed {seed} in {seconds:.0} s, {orders_a_minute:.1} a minute; settled {settled_after_s:.0} s after the last"
        )?;
        let line: Vec<String> = self.line.iter().map(|(what, count)| format!("{what} {count}")).collect();
        writeln!(f, "line: {}; Tryton killed {} times", line.join(", "), self.kills)?;
        writeln!(f, "{}{}", self.judged, self.verdict)
    }
}
