//! One world from its first order to rest.

use super::{judge, weather::Weather};
use crate::town::{Line, Town};
use crossdock_canonical::{Duration, Timestamp};
use crossdock_engine::{
    Wiring,
    core::Config,
    simulated::{CommitFault, Simulated, at_once},
};
use crossdock_simulators::{Config as Systems, Expectation, Faults, SYSTEMS, World, rng::Rng};
use crossdock_store::{MemoryStore, ProcessKey, Store};
use crossdock_value::{Value, value};
use sha2::{Digest, Sha256};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    rc::Rc,
    sync::Arc,
};

/// How long a slow commit takes: effects that are due may be read from the store again meanwhile.
const SLOW_MS: RangeInclusive<u64> = 200..=15_000;
/// When every world begins: a Tuesday before the busiest week of the year.
const T0: Timestamp = Timestamp(1_795_510_800_000);
/// Between two orders, on average twice this.
const PAUSE_MS: u64 = 60;
/// After the last fault everything must have settled within this.
const PATIENCE: Duration = Duration::hours(1);
/// How often a shopper whose order has not arrived yet asks again.
const ASK_AGAIN: Duration = Duration::millis(200);

#[derive(Clone, Debug)]
pub struct Setting {
    pub orders: u32,
    pub faults: bool,
    /// Prints the journal of the processes whose key ends so.
    pub trace: Option<String>,
}

/// What came of one world.
#[derive(Debug)]
pub struct Outcome {
    pub seed: u64,
    pub orders: u64,
    /// Hash of everything the core heard and every system did.
    pub trace: String,
    pub repeated: bool,
    pub steps: u64,
    pub faults: BTreeMap<String, u64>,
    pub ends: BTreeMap<String, u64>,
    pub findings: Vec<String>,
    /// From the last fault until everything was settled.
    pub settled_after: Duration,
}

/// What happens to a world at a time.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Order,
    Cancel(usize),
    Crash,
}

pub(super) struct Run {
    pub sim: Simulated<Town>,
    pub store: Arc<MemoryStore>,
    pub channel: String,
    pub expectations: Vec<Expectation>,
    /// Counted by the store's fault hook.
    commits: Rc<RefCell<Commits>>,
    crashes: u64,
    agenda: BTreeSet<(Timestamp, u64, Happening)>,
    entries: u64,
}

struct Commits {
    rng: Rng,
    refused: f64,
    reply_lost: f64,
    vanished: f64,
    slow: f64,
    counts: BTreeMap<&'static str, u64>,
}

pub fn run(wiring: &Wiring, seed: u64, setting: &Setting) -> Outcome {
    let mut run = Run::new(wiring, seed);
    let mut rng = Rng::named(seed, "agenda");
    let mut at = T0;
    for _ in 0..setting.orders {
        at = at + Duration(i64::try_from(rng.between(0..=PAUSE_MS * 4)).unwrap_or(0));
        run.plan(at, Happening::Order);
    }
    if setting.faults {
        let weather = Weather::of(seed, u64::try_from((at - T0).0).unwrap_or(0).max(1_000));
        for crash in &weather.crashes {
            run.plan(T0 + Duration(i64::try_from(*crash).unwrap_or(0)), Happening::Crash);
        }
        run.begin(weather);
    }
    while let Some((at, _, happening)) = run.agenda.pop_first() {
        run.sim.run(at, |_| false);
        run.happen(happening);
    }
    // Faults go on for a while on what was placed last.
    if setting.faults {
        let until = run.sim.now + Duration::seconds(30);
        run.sim.run(until, |_| false);
        run.mend();
    }
    let mended = run.sim.now;
    run.settle(mended + PATIENCE);
    let settled_after = run.sim.now - mended;
    if let Some(number) = &setting.trace {
        judge::print_journal(&run, number);
    }
    let (ends, mut findings) = judge::judge(&run);
    if run.sim.now >= mended + PATIENCE {
        findings.insert(0, format!("not settled {PATIENCE} after the last fault"));
    }
    Outcome {
        seed,
        orders: u64::from(setting.orders),
        trace: run.trace(),
        repeated: false,
        steps: run.sim.steps,
        faults: run.fault_counts(),
        ends,
        findings,
        settled_after,
    }
}

impl Run {
    fn new(wiring: &Wiring, seed: u64) -> Self {
        let mut systems = Systems::default();
        // The market DE captures each shipment, which needs it.
        systems.payment.multicapture = true;
        // A short pick ends an order otherwise than its kind says.
        systems.warehouse.short_pick_rate = 0.0;
        let channel = systems.storefront.channel.clone();
        let store = Arc::new(MemoryStore::new());
        let town = Town::new(World::new(seed, systems), seed);
        let config = Config { seed, ..Config::default() };
        let mut sim = Simulated::new(config, wiring.clone(), store.clone(), town, T0);
        let commits = Commits {
            rng: Rng::named(seed, "commits"),
            refused: 0.0,
            reply_lost: 0.0,
            vanished: 0.0,
            slow: 0.0,
            counts: BTreeMap::new(),
        };
        let commits = Rc::new(RefCell::new(commits));
        let hook = commits.clone();
        sim.on_commit(move |_| hook.borrow_mut().draw());
        Self { sim, store, channel, expectations: Vec::new(), commits, crashes: 0, agenda: BTreeSet::new(), entries: 0 }
    }

    fn plan(&mut self, at: Timestamp, happening: Happening) {
        self.entries += 1;
        self.agenda.insert((at, self.entries, happening));
    }

    fn begin(&mut self, weather: Weather) {
        for (system, faults) in weather.systems {
            self.sim.network.world.set_faults(system, faults, T0.0);
        }
        self.sim.network.line = weather.line;
        let mut commits = self.commits.borrow_mut();
        (commits.refused, commits.reply_lost, commits.vanished, commits.slow) =
            (weather.commit_refused, weather.commit_reply_lost, weather.commit_vanished, weather.commit_slow);
    }

    /// The last fault was that one.
    fn mend(&mut self) {
        for system in SYSTEMS {
            self.sim.network.world.set_faults(system, Faults::default(), self.sim.now.0);
        }
        self.sim.network.line = Line::default();
        let mut commits = self.commits.borrow_mut();
        (commits.refused, commits.reply_lost, commits.vanished, commits.slow) = (0.0, 0.0, 0.0, 0.0);
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.sim.now;
        match happening {
            Happening::Order => {
                let expectation = self.sim.network.world.place_next(now.0);
                if let Some(after) = expectation.cancel_after_ms {
                    let place = self.expectations.len();
                    self.plan(now + Duration(i64::try_from(after).unwrap_or(0)), Happening::Cancel(place));
                }
                self.expectations.push(expectation);
            }
            Happening::Cancel(place) => self.cancel(place),
            Happening::Crash => {
                self.crashes += 1;
                self.sim.crash();
            }
        }
    }

    /// The shopper asks to cancel. He may be faster than the poll that brings his order.
    fn cancel(&mut self, place: usize) {
        let expectation = &self.expectations[place];
        let process = self.process(expectation);
        let known = at_once(self.store.load(&process)).is_ok_and(|loaded| loaded.is_some());
        if !known {
            self.plan(self.sim.now + ASK_AGAIN, Happening::Cancel(place));
            return;
        }
        let lines: Vec<Value> = expectation.cancel_lines.iter().map(|line| value!({"line": (line.as_str())})).collect();
        let mut body = value!({"reason": "the shopper asked"});
        if !lines.is_empty() {
            body.insert("lines", Value::from(lines));
        }
        let key = format!("shopper-{}", expectation.order);
        self.sim.command(&process, "cancel", body, &key).expect("the memory store takes commands");
    }

    pub fn process(&self, expectation: &Expectation) -> ProcessKey {
        ProcessKey::new("order", &format!("{}/{}/{}", self.channel, expectation.site, expectation.order))
    }

    /// Runs until every order is where it should be and nothing moves, looked at every few seconds.
    fn settle(&mut self, until: Timestamp) {
        while self.sim.now < until {
            if judge::is_settled(self) {
                return;
            }
            let next = self.sim.now + Duration::seconds(5);
            self.sim.run(next, |_| false);
        }
    }

    fn trace(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.sim.trace_hash());
        for system in SYSTEMS {
            hash.update(self.sim.network.world.ledger(system).map(crossdock_simulators::Ledger::digest).unwrap_or_default());
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    fn fault_counts(&self) -> BTreeMap<String, u64> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let own = self.commits.borrow();
        let systems = self.sim.network.world.fault_counts();
        let all = systems.values().flatten().chain(&self.sim.network.counts).chain(&own.counts);
        for (class, count) in all {
            *counts.entry((*class).to_owned()).or_default() += count;
        }
        if self.crashes > 0 {
            counts.insert("crash".into(), self.crashes);
        }
        counts
    }
}

impl Commits {
    fn draw(&mut self) -> CommitFault {
        let (fault, class) = if self.rng.chance(self.refused) {
            (CommitFault::Refused, "commit_refused")
        } else if self.rng.chance(self.reply_lost) {
            (CommitFault::ReplyLost, "commit_reply_lost")
        } else if self.rng.chance(self.vanished) {
            (CommitFault::Vanished, "commit_vanished")
        } else if self.rng.chance(self.slow) {
            let ms = self.rng.between(SLOW_MS);
            (CommitFault::Slow(Duration::millis(i64::try_from(ms).unwrap_or(0))), "commit_slow")
        } else {
            return CommitFault::None;
        };
        *self.counts.entry(class).or_default() += 1;
        fault
    }
}
