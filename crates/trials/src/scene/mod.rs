//! A stage for one failure that users meet: the real core, flows, connectors and landscape among the simulated systems, in simulated time.
//!
//! What happened is read from the systems' ledgers; of the hub only what a person would see of it: how a process stands, and its
//! exceptions.
//!
//! The same scene is played on every store and on several nodes, see `Hub`. What is expected of it does not know on which.

mod hub;

pub use hub::Hub;

use crate::{town::Town, wiring};
use crossdock_canonical::{Duration, Timestamp};
use crossdock_engine::{
    PolicySource, Wiring,
    core::Config,
    simulated::{Nodes, at_once},
};
use crossdock_simulators::{Config as Systems, Expectation, Faults, Ledger, OrderJson, Row, SYSTEMS, World};
use crossdock_store::{ExceptionQuery, ExceptionRow, FullStore, Intake, ProcessKey};
use crossdock_verify::{HubView, Invariant, Options, Verdict, known_flows, parse_all, verify};
use hub::Stores;
use std::{
    cell::{Ref, RefMut},
    sync::Arc,
};

const T0: Timestamp = Timestamp(1_795_510_800_000);

/// A heartbeat that stands still for so long is a node that is gone. Longer than in production, for each beat is a transaction.
const LEASE: Duration = Duration::seconds(4);

pub struct Scene {
    hub: Hub,
    sim: Nodes<Town>,
    /// After the nodes, so that it is closed when they have ended.
    stores: Stores,
    channel: String,
    wiring: Wiring,
}

impl Scene {
    /// The demo's landscape and systems; `set` changes the systems before they begin.
    ///
    /// # Panics
    /// When the store cannot be had: the machine lacks what the tests need.
    pub fn new(hub: Hub, seed: u64, set: impl FnOnce(&mut Systems)) -> Self {
        let mut systems = Systems::default();
        // The market DE captures each shipment, which needs it; a short pick ends an order otherwise than a scene expects.
        systems.payment.multicapture = true;
        systems.warehouse.short_pick_rate = 0.0;
        set(&mut systems);
        let channel = systems.storefront.channel.clone();
        let wiring = wiring::demo().expect("the demo's landscape is sound");
        let stores = Stores::of(hub).unwrap_or_else(|reason| panic!("no store for {hub:?}: {reason}"));
        let town = Town::new(World::new(seed, systems), seed);
        let config = Config { seed, ..Config::default() };
        let mut sim = Nodes::new(config, wiring.clone(), town, LEASE, T0);
        for store in &stores.ways {
            if hub.is_shared() { sim.join(store.clone()) } else { sim.join_alone(store.clone()) }
        }
        Self { hub, sim, stores, channel, wiring }
    }

    pub fn now(&self) -> Timestamp {
        self.sim.now
    }

    pub fn store(&self) -> &dyn FullStore {
        &*self.stores.ways[0]
    }

    pub fn world(&self) -> RefMut<'_, World> {
        RefMut::map(self.sim.network_mut(), |town| &mut town.world)
    }

    /// A system or a person sends the hub something.
    pub fn accept(&mut self, message: Intake) {
        self.sim.accept(vec![message]).expect("the store takes it");
    }

    /// The hub dies and starts again at once; of several nodes one does, each time another.
    pub fn crash(&mut self) {
        self.sim.crash();
    }

    /// Runs until what a dead node had has been taken over, by another or by itself.
    pub fn take_over(&mut self) {
        if self.hub.is_shared() {
            self.run_for(Duration(2 * LEASE.0));
        }
    }

    /// A shopper orders.
    pub fn place(&mut self) -> Expectation {
        self.world().place_next(self.now().0)
    }

    /// The next order, not placed.
    pub fn generate(&mut self) -> (OrderJson, Expectation) {
        self.world().generate(self.now().0)
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
        assert!(self.world().set_faults(system, faults, self.now().0), "there is no {system}");
    }

    pub fn run_for(&mut self, time: Duration) {
        let until = self.sim.now + time;
        self.sim.run(until);
    }

    /// Runs until it is so; panics when it is not by then.
    pub fn until(&mut self, what: &str, within: Duration, holds: impl Fn(&Self) -> bool) {
        let until = self.sim.now + within;
        while !holds(self) {
            assert!(self.sim.now < until, "{what}: not within {within}");
            self.run_for(Duration::seconds(1));
        }
    }

    /// The hub ends, all its nodes, and another version of it starts on the same store, with other policies for what it begins.
    pub fn deploy(&mut self, policies: Arc<dyn PolicySource>) {
        self.wiring.policies = policies;
        self.sim.upgrade(&self.wiring);
    }

    pub fn process(&self, order: &Expectation) -> ProcessKey {
        ProcessKey::new("order", &format!("{}/{}/{}", self.channel, order.site, order.order))
    }

    /// `open`, `held`, `closed`, `cancelled`, `failed`; empty when there is no such process.
    pub fn status(&self, process: &ProcessKey) -> String {
        let loaded = at_once(self.store().load(process)).expect("the store answers");
        loaded.map(|loaded| loaded.row.summary.status.to_string()).unwrap_or_default()
    }

    pub fn all_are(&self, orders: &[Expectation], status: &str) -> bool {
        orders.iter().all(|order| self.status(&self.process(order)) == status)
    }

    /// What waits for a person.
    pub fn exceptions(&self) -> Vec<(ProcessKey, ExceptionRow)> {
        let all = ExceptionQuery { limit: usize::MAX, ..ExceptionQuery::default() };
        let found = at_once(self.store().exceptions(all)).expect("the store answers");
        found.into_iter().map(|view| (view.process.key, view.row)).collect()
    }

    pub fn ledger(&self, system: &str) -> Ref<'_, Ledger> {
        Ref::map(self.sim.network(), |town| town.world.ledger(system).expect("a scene names systems that are there"))
    }

    /// What a system did for an order under one name, lines apart.
    pub fn rows(&self, system: &str, operation: &str, order: &str) -> Vec<Row> {
        let is_meant = |row: &&Row| row.operation == operation && &*row.scope.order == order && row.line.is_empty();
        self.ledger(system).rows().iter().filter(is_meant).cloned().collect()
    }

    /// What breaks an invariant, by the systems' ledgers against each other and against the hub.
    pub fn broken(&self) -> Vec<String> {
        let town = self.sim.network();
        let ledger = |system: &&'static str| Some((*system, town.world.ledger(system)?.lines(0)));
        let texts: Vec<(&str, String)> = SYSTEMS.iter().filter_map(ledger).collect();
        let ledgers = parse_all(texts.iter().map(|(name, lines)| (*name, lines.as_str())));
        let hub = at_once(HubView::read(self.store())).expect("the store answers");
        let report = verify(&ledgers, Some(&hub), Some(&known_flows), &Options::at_rest(self.sim.now));
        let told = |invariant: Invariant| match report.verdict(invariant) {
            Some(Verdict::Violated { findings, .. }) => findings.iter().map(|f| format!("{}: {f}", invariant.id())).collect(),
            _ => Vec::new(),
        };
        Invariant::ALL.into_iter().flat_map(told).collect()
    }
}
