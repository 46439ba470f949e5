//! Simulated nodes on one store and in one world. What systems and people send comes to them by turns, word of what one has stored goes to
//! the others, and each may die, stand still, leave and join.
//!
//! It stands where the balancer in front of the nodes and the store's notifications stand in production; what a node makes of its turn
//! is `Simulated`'s.

use super::{Network, Simulated, TURNS_MAX};
use crate::{Wiring, core::Config};
use crossdock_canonical::{Duration, SystemName, Timestamp};
use crossdock_connect::{
    TransportError,
    http::{Request, Response},
};
use crossdock_store::{Accepted, Intake, Store, StoreError};
use std::{
    cell::{Ref, RefCell, RefMut},
    ops::{Deref, DerefMut},
    rc::Rc,
    sync::Arc,
};

/// The way of one node into the world that all share. What the world sends by itself is handed out by `Nodes`.
pub struct Door<N>(Rc<RefCell<N>>);

impl<N: Network> Network for Door<N> {
    fn send(&mut self, system: &SystemName, request: &Request, now: Timestamp) -> (Result<Response, TransportError>, Duration) {
        self.0.borrow_mut().send(system, request, now)
    }

    fn webhooks(&mut self, _: Timestamp) -> Vec<(SystemName, Request)> {
        Vec::new()
    }

    fn next_event(&self) -> Option<Timestamp> {
        None
    }

    fn webhook_answered(&mut self, _: &SystemName, _: &Request, _: bool, _: Timestamp) {}
}

pub struct Node<N> {
    sim: Simulated<Door<N>>,
    paused_until: Timestamp,
}

impl<N> Deref for Node<N> {
    type Target = Simulated<Door<N>>;

    fn deref(&self) -> &Self::Target {
        &self.sim
    }
}

impl<N> DerefMut for Node<N> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.sim
    }
}

pub struct Nodes<N> {
    pub now: Timestamp,
    pub nodes: Vec<Node<N>>,
    network: Rc<RefCell<N>>,
    config: Config,
    wiring: Wiring,
    lease: Duration,
    born: u32,
    /// Who is given the next thing that comes.
    next: usize,
}

impl<N: Network> Nodes<N> {
    /// Nobody yet; a node whose heartbeat stands still for `lease` is taken to be gone.
    pub fn new(config: Config, wiring: Wiring, network: N, lease: Duration, now: Timestamp) -> Self {
        let network = Rc::new(RefCell::new(network));
        Self { now, nodes: Vec::new(), network, config, wiring, lease, born: 0, next: 0 }
    }

    /// A node starts, on a store that several share.
    pub fn join(&mut self, store: Arc<dyn Store>) {
        let (config, door) = (self.next_config(), Door(self.network.clone()));
        let name = format!("node-{}", self.born).into();
        let sim = Simulated::node(name, self.lease, config, self.wiring.clone(), store, door, self.now);
        self.nodes.push(Node { sim, paused_until: self.now });
    }

    /// The only hub on its store starts.
    pub fn join_alone(&mut self, store: Arc<dyn Store>) {
        let (config, door) = (self.next_config(), Door(self.network.clone()));
        let sim = Simulated::new(config, self.wiring.clone(), store, door, self.now);
        self.nodes.push(Node { sim, paused_until: self.now });
    }

    /// Jitter differs from node to node.
    fn next_config(&mut self) -> Config {
        let config = Config { seed: self.config.seed + u64::from(self.born), ..self.config.clone() };
        self.born += 1;
        config
    }

    pub fn network(&self) -> Ref<'_, N> {
        self.network.borrow()
    }

    pub fn network_mut(&self) -> RefMut<'_, N> {
        self.network.borrow_mut()
    }

    /// A node by its place, at the present time.
    pub fn node(&mut self, at: usize) -> &mut Simulated<Door<N>> {
        let sim = &mut self.nodes[at].sim;
        sim.now = sim.now.max(self.now);
        sim
    }

    /// Some node takes messages in, each time another.
    ///
    /// # Panics
    /// When there is none.
    pub fn accept(&mut self, rows: Vec<Intake>) -> Result<Vec<Accepted>, StoreError> {
        let at = self.next_awake().expect("a node is there");
        self.node(at).accept(rows, None)
    }

    /// A node dies and starts again at once, each time another.
    ///
    /// # Panics
    /// When there is none.
    pub fn crash(&mut self) {
        let at = self.next_awake().expect("a node is there");
        self.node(at).crash();
    }

    /// All die and start again as another version.
    pub fn upgrade(&mut self, wiring: &Wiring) {
        self.wiring = wiring.clone();
        for at in 0..self.nodes.len() {
            self.node(at).upgrade(wiring.clone());
        }
    }

    /// A node stands still, as its machine does when it is short of everything.
    pub fn pause(&mut self, at: usize, until: Timestamp) {
        self.nodes[at].paused_until = until;
    }

    /// Runs all of them until then.
    ///
    /// # Panics
    /// When something is to be done again and again and time does not move.
    pub fn run(&mut self, until: Timestamp) {
        let (mut since, mut rounds) = (self.now, 0_u32);
        loop {
            self.pass_word_on();
            let Some(next) = self.next_event().filter(|at| *at <= until) else { break };
            self.now = self.now.max(next);
            rounds = if self.now == since { rounds + 1 } else { 0 };
            since = self.now;
            assert!(rounds < TURNS_MAX, "the nodes spin at {}", self.now);
            self.deliver();
            for at in 0..self.nodes.len() {
                if self.nodes[at].paused_until <= self.now {
                    let now = self.now;
                    self.node(at).run(now, |_| false);
                }
            }
            self.nodes.retain(|node| !node.has_left());
        }
        self.now = self.now.max(until);
    }

    fn next_event(&self) -> Option<Timestamp> {
        let own = self.nodes.iter().filter_map(|node| Some(node.next_event()?.max(node.paused_until)));
        own.chain(self.network.borrow().next_event()).min()
    }

    fn next_awake(&mut self) -> Option<usize> {
        let count = self.nodes.len();
        let at = (self.next..self.next + count).map(|at| at % count).find(|at| self.nodes[*at].paused_until <= self.now)?;
        self.next = at + 1;
        Some(at)
    }

    fn deliver(&mut self) {
        let sent = self.network.borrow_mut().webhooks(self.now);
        for (system, request) in sent {
            let taken = self.next_awake().is_some_and(|at| self.node(at).webhook(&system, &request));
            self.network.borrow_mut().webhook_answered(&system, &request, taken, self.now);
        }
    }

    /// Who stored a message knows of it; the others do not.
    fn pass_word_on(&mut self) {
        let spoke: Vec<bool> = self.nodes.iter_mut().map(|node| node.has_stored()).collect();
        for at in 0..self.nodes.len() {
            if spoke.iter().enumerate().any(|(by, spoke)| *spoke && by != at) {
                self.node(at).hear_of_arrivals();
            }
        }
    }
}
