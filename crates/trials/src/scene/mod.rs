//! A stage for one failure that users meet: the real core, flows, connectors and landscape among the simulated systems, in simulated time.
//!
//! What happened is read from the systems' ledgers; of the hub only what a person would see of it: how a process stands, and its
//! exceptions.

use crate::{town::Town, wiring};
use crossdock_canonical::{Duration, Timestamp};
use crossdock_engine::{
    PolicySource, Wiring,
    core::Config,
    simulated::{Simulated, at_once},
};
use crossdock_simulators::{Config as Systems, Expectation, Faults, Ledger, OrderJson, Row, SYSTEMS, World};
use crossdock_store::{ExceptionQuery, ExceptionRow, MemoryStore, ProcessKey, ReadStore, Store};
use crossdock_verify::{HubView, Invariant, Options, Verdict, known_flows, parse_all, verify};
use std::sync::Arc;

const T0: Timestamp = Timestamp(1_795_510_800_000);

pub struct Scene {
    pub sim: Simulated<Town>,
    pub store: Arc<MemoryStore>,
    pub channel: String,
    wiring: Wiring,
    config: Config,
}

impl Scene {
    /// The demo's landscape and systems; `set` changes the systems before they begin.
    pub fn new(seed: u64, set: impl FnOnce(&mut Systems)) -> Self {
        let mut systems = Systems::default();
        // The market DE captures each shipment, which needs it; a short pick ends an order otherwise than a scene expects.
        systems.payment.multicapture = true;
        systems.warehouse.short_pick_rate = 0.0;
        set(&mut systems);
        let channel = systems.storefront.channel.clone();
        let wiring = wiring::demo().expect("the demo's landscape is sound");
        let store = Arc::new(MemoryStore::new());
        let town = Town::new(World::new(seed, systems), seed);
        let config = Config { seed, ..Config::default() };
        let sim = Simulated::new(config.clone(), wiring.clone(), store.clone(), town, T0);
        Self { sim, store, channel, wiring, config }
    }

    pub fn world(&mut self) -> &mut World {
        &mut self.sim.network.world
    }

    /// A shopper orders.
    pub fn place(&mut self) -> Expectation {
        let now = self.sim.now.0;
        self.world().place_next(now)
    }

    /// The next order, not placed.
    pub fn generate(&mut self) -> (OrderJson, Expectation) {
        let now = self.sim.now.0;
        self.world().generate(now)
    }

    /// A shopper orders every so often.
    pub fn place_many(&mut self, count: usize, pause: Duration) -> Vec<Expectation> {
        (0..count)
            .map(|_| {
                self.run_for(pause);
                self.place()
            })
            .collect()
    }

    pub fn faults(&mut self, system: &str, faults: Faults) {
        let now = self.sim.now.0;
        assert!(self.world().set_faults(system, faults, now), "there is no {system}");
    }

    pub fn run_for(&mut self, time: Duration) {
        let until = self.sim.now + time;
        self.sim.run(until, |_| false);
    }

    /// Runs until it is so; panics when it is not by then.
    pub fn until(&mut self, what: &str, within: Duration, holds: impl Fn(&Self) -> bool) {
        let until = self.sim.now + within;
        while !holds(self) {
            assert!(self.sim.now < until, "{what}: not within {within}");
            self.run_for(Duration::seconds(1));
        }
    }

    /// The hub ends and another version of it starts on the same store, with other policies for what it begins.
    pub fn deploy(self, policies: Arc<dyn PolicySource>) -> Self {
        let Self { sim, store, channel, wiring, config } = self;
        let wiring = Wiring { policies, ..wiring };
        let now = sim.now;
        let sim = Simulated::new(config.clone(), wiring.clone(), store.clone(), sim.network, now);
        Self { sim, store, channel, wiring, config }
    }

    pub fn process(&self, order: &Expectation) -> ProcessKey {
        ProcessKey::new("order", &format!("{}/{}/{}", self.channel, order.site, order.order))
    }

    /// `open`, `held`, `closed`, `cancelled`, `failed`; empty when there is no such process.
    pub fn status(&self, process: &ProcessKey) -> String {
        let loaded = at_once(self.store.load(process)).expect("the memory store answers");
        loaded.map(|loaded| loaded.row.summary.status.to_string()).unwrap_or_default()
    }

    pub fn all_are(&self, orders: &[Expectation], status: &str) -> bool {
        orders.iter().all(|order| self.status(&self.process(order)) == status)
    }

    /// What waits for a person.
    pub fn exceptions(&self) -> Vec<(ProcessKey, ExceptionRow)> {
        let all = ExceptionQuery { limit: usize::MAX, ..ExceptionQuery::default() };
        let found = at_once(self.store.exceptions(all)).expect("the memory store answers");
        found.into_iter().map(|view| (view.process.key, view.row)).collect()
    }

    pub fn ledger(&self, system: &str) -> &Ledger {
        self.sim.network.world.ledger(system).expect("a scene names systems that are there")
    }

    /// What a system did for an order under one name, lines apart.
    pub fn rows(&self, system: &str, operation: &str, order: &str) -> Vec<&Row> {
        let rows = self.ledger(system).rows().iter();
        rows.filter(|row| row.operation == operation && &*row.scope.order == order && row.line.is_empty()).collect()
    }

    /// What breaks an invariant, by the systems' ledgers against each other and against the hub.
    pub fn broken(&self) -> Vec<String> {
        let ledger = |system: &&'static str| Some((*system, self.sim.network.world.ledger(system)?.lines(0)));
        let texts: Vec<(&str, String)> = SYSTEMS.iter().filter_map(ledger).collect();
        let ledgers = parse_all(texts.iter().map(|(name, lines)| (*name, lines.as_str())));
        let hub = at_once(Box::pin(HubView::read(&*self.store))).expect("the memory store answers");
        let report = verify(&ledgers, Some(&hub), Some(&known_flows), &Options::at_rest(self.sim.now));
        let told = |invariant: Invariant| match report.verdict(invariant) {
            Some(Verdict::Violated { findings, .. }) => findings.iter().map(|f| format!("{}: {f}", invariant.id())).collect(),
            _ => Vec::new(),
        };
        Invariant::ALL.into_iter().flat_map(told).collect()
    }
}
