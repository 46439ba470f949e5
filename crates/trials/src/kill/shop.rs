//! The world around a hub that dies: the simulated systems on real sockets, and shoppers who keep ordering and change their minds.

use crossdock_canonical::Duration;
use crossdock_connect::http::{Method, Request};
use crossdock_engine::shell::{
    client::Client,
    clock::{self, Clock, Stopwatch},
};
use crossdock_simulators::{
    Config, End, Expectation, SYSTEMS, World,
    serve::{self, Running as Systems},
};
use crossdock_verify::{Ledgers, parse_all};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::Ipv4Addr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// After this long an order no longer counts as under way: it waits for a person, or the judge will say what it waits for.
const SLOW: Duration = Duration::seconds(90);
/// How long orders may take to come to their ends when nobody orders any more.
const SETTLE_MAX: Duration = Duration::seconds(240);
/// How long nothing may be written in any ledger before it counts as rest ...
const QUIET: Duration = Duration::seconds(5);
/// ... and how long while orders are still under way: a breaker and a backoff may hold them for a minute.
const QUIET_UNDER_WAY: Duration = Duration::seconds(75);
const PATIENCE: Duration = Duration::seconds(5);
/// How often an order is handed over until it is acknowledged.
const POSTS_MAX: u32 = 1_000;
const REPEAT_EVERY: Duration = Duration::millis(200);

pub(crate) struct Shop {
    pub systems: Arc<Systems>,
    pub expectations: Vec<Expectation>,
    pub channel: String,
    /// How many orders were posted.
    pub posted: usize,
    /// Number of each order under way, with when it was placed.
    open: HashMap<String, i64>,
    /// Rows of the storefront's ledger that were looked at.
    seen: usize,
    client: Arc<Client>,
    key: String,
    hub: String,
    /// What came of the orders that were posted.
    pub posts: Arc<Mutex<Posts>>,
}

/// What somebody keeps who hands orders over by the interface: what was acknowledged, and how everything else was answered.
#[derive(Default)]
pub(crate) struct Posts {
    /// Site, number, and when: milliseconds since 1970.
    pub acknowledged: Vec<(String, String, i64)>,
    /// By status, 0 for no answer at all: how many, and the slowest in milliseconds.
    pub refused: BTreeMap<u16, (u64, i64)>,
}

impl Shop {
    pub async fn open(seed: u64, hub: String, key: String) -> Result<Self, String> {
        let config = Self::config();
        Self::with(World::new(seed, config.clone()), &config, Ipv4Addr::LOCALHOST, hub, key).await
    }

    /// The systems of the demo, as far as what is tried here does not need them otherwise.
    pub fn config() -> Config {
        let mut config = Config::default();
        // The market DE captures each shipment, which needs it.
        config.payment.multicapture = true;
        // The interface wants a quantity with each line; how lines are cancelled is the simulation's matter.
        config.orders.cancel_line = 0.0;
        config
    }

    /// With systems that listen at an address.
    pub async fn with(world: World, config: &Config, at: Ipv4Addr, hub: String, key: String) -> Result<Self, String> {
        let now: serve::Clock = Arc::new(|| Clock::System.now().0);
        let options = serve::Options { address: at, hub: Some(hub.clone()), ..serve::Options::new(now) };
        let systems = serve::start(world, options).await.map_err(|e| format!("a system cannot listen: {e}"))?;
        Ok(Self {
            systems: Arc::new(systems),
            expectations: Vec::new(),
            posted: 0,
            channel: config.storefront.channel.clone(),
            open: HashMap::new(),
            seen: 0,
            client: Arc::new(Client::new(1 << 20)),
            key,
            hub,
            posts: Arc::default(),
        })
    }

    /// Looks which orders have ended and says how many are under way.
    pub fn under_way(&mut self) -> usize {
        let world = self.systems.world();
        if let Some(ledger) = world.ledger("storefront") {
            for row in ledger.rows().iter().skip(self.seen) {
                if row.operation == "status" && row.state != "new" {
                    self.open.remove(&*row.scope.order);
                }
            }
            self.seen = ledger.rows().len();
        }
        drop(world);
        let now = Clock::System.now().0;
        self.open.retain(|_, placed| now - *placed < SLOW.0);
        self.open.len()
    }

    pub fn place(&mut self, count: usize) {
        let now = Clock::System.now().0;
        for _ in 0..count {
            let expectation = self.systems.world().place_next(now);
            if !matches!(expectation.expected_end, End::Parked(_)) {
                self.open.insert(expectation.order.clone(), now);
            }
            if let Some(after) = expectation.cancel_after_ms {
                self.cancel(&expectation, Duration(i64::try_from(after).unwrap_or(0)));
            }
            self.expectations.push(expectation);
        }
        self.systems.wake();
    }

    /// Hands orders over by the interface, each with one key until it is acknowledged. The storefront has them, and does not offer them to
    /// polls.
    pub fn post(&mut self, count: usize) -> Result<(), String> {
        for _ in 0..count {
            let now = Clock::System.now().0;
            let mut world = self.systems.world();
            let (mut order, expectation) = world.generate(now);
            order.json.set("exportStatus", "not_exported");
            order.json.set("status", "new");
            let (site, number, document) = (order.site.to_owned(), order.number.clone(), order.json.render());
            world.place(order, now)?;
            drop(world);
            if !matches!(expectation.expected_end, End::Parked(_)) {
                self.open.insert(expectation.order.clone(), now);
            }
            self.expectations.push(expectation);
            self.posted += 1;
            let head =
                format!(r#"{{"channel":"{}","site":"{site}","number":"{number}","source":"storefront","order":"#, self.channel);
            let request = Request::new(Method::Post, "/experience/v1/orders")
                .header("authorization", format!("Bearer {}", self.key))
                .header("idempotency-key", format!("post-{number}"))
                .json([head.as_bytes(), document.as_bytes(), b"}"].concat());
            let (client, hub, posts) = (self.client.clone(), self.hub.clone(), self.posts.clone());
            tokio::spawn(async move {
                for _ in 0..POSTS_MAX {
                    let watch = Stopwatch::start();
                    let status = client.raw(&hub, request.clone(), PATIENCE).await.map_or(0, |response| response.status);
                    let took = watch.elapsed().0;
                    {
                        let mut posts = posts.lock().unwrap_or_else(PoisonError::into_inner);
                        if (200..300).contains(&status) {
                            posts.acknowledged.push((site, number, Clock::System.now().0));
                            return;
                        }
                        let (count, slowest) = posts.refused.entry(status).or_default();
                        (*count, *slowest) = (*count + 1, took.max(*slowest));
                    }
                    clock::pause(REPEAT_EVERY).await;
                }
            });
        }
        self.systems.wake();
        Ok(())
    }

    /// The shopper asks to cancel, with one key until somebody answers: the hub may be dead, or not know his order yet.
    fn cancel(&self, expectation: &Expectation, after: Duration) {
        let body = json!({"channel": self.channel, "site": expectation.site, "reason": "the shopper asked"}).to_string();
        let request = Request::new(Method::Post, format!("/experience/v1/orders/{}/cancellations", expectation.order))
            .header("authorization", format!("Bearer {}", self.key))
            .header("idempotency-key", format!("shopper-{}", expectation.order))
            .json(body.into_bytes());
        let (client, hub) = (self.client.clone(), self.hub.clone());
        tokio::spawn(async move {
            clock::pause(after).await;
            for _ in 0..600 {
                match client.raw(&hub, request.clone(), PATIENCE).await {
                    Ok(response) if response.is_success() || response.status == 409 || response.status == 422 => return,
                    _ => clock::pause(Duration::millis(200)).await,
                }
            }
        });
    }

    /// Waits until nothing more is written in any ledger.
    pub async fn comes_to_rest(&mut self) {
        let (whole, mut quiet, mut rows) = (Stopwatch::start(), Stopwatch::start(), self.rows());
        while whole.elapsed() < SETTLE_MAX {
            clock::pause(Duration::millis(200)).await;
            let enough = if self.under_way() == 0 { QUIET } else { QUIET_UNDER_WAY };
            if quiet.elapsed() >= enough {
                return;
            }
            let now = self.rows();
            if now != rows {
                (quiet, rows) = (Stopwatch::start(), now);
            }
        }
    }

    pub fn ledgers(&self) -> Ledgers {
        let world = self.systems.world();
        let texts: Vec<(&str, String)> = SYSTEMS.iter().filter_map(|name| Some((*name, world.ledger(name)?.lines(0)))).collect();
        parse_all(texts.iter().map(|(name, lines)| (*name, lines.as_str())))
    }

    /// Writes each ledger into a folder, for `crossdock verify` and for people.
    pub fn keep_ledgers(&self, folder: &Path) -> std::io::Result<()> {
        let world = self.systems.world();
        for (name, ledger) in SYSTEMS.iter().filter_map(|name| Some((name, world.ledger(name)?))) {
            std::fs::write(folder.join(format!("{name}.jsonl")), ledger.lines(0))?;
        }
        Ok(())
    }

    /// Numbers of the orders that the storefront has cancelled, by whomever.
    pub fn cancelled(&self) -> HashSet<String> {
        let world = self.systems.world();
        let rows = world.ledger("storefront").map(|ledger| ledger.rows()).unwrap_or_default();
        let is_end = |state: &str| state == "cancelled";
        rows.iter().filter(|row| row.operation == "status" && is_end(&row.state)).map(|row| row.scope.order.to_string()).collect()
    }

    /// Rows in all ledgers: what does not grow any more has come to rest.
    pub fn rows(&self) -> usize {
        let world = self.systems.world();
        SYSTEMS.iter().filter_map(|name| world.ledger(name)).map(|ledger| ledger.rows().len()).sum()
    }
}
