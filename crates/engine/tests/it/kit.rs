//! A hub over a memory store in a town of scripted systems, and the words in which tests speak of it.

use crate::{
    town::{Act, Place, Plain, Town},
    toy::{State, Step, Toy, ToyOrder},
};
use crossdock_canonical::{Duration, MarketId, OrderRef, SystemName, Timestamp};
use crossdock_connect::{Capability, Identity};
use crossdock_engine::{
    FlowDriver, HubError, Pinned, PolicySource, Stray, System, Wiring,
    core::{Config, HubMessage},
    simulated::{CommitFault, Simulated, at_once},
    wiring::{Contracts, Limits, Retry, pin},
};
use crossdock_flows::{Answer, Policy};
use crossdock_store::{
    Accepted, Addressee, EffectRow, EffectState, ExceptionRow, InboxId, Intake, Loaded, MemoryStore, ProcessKey, ReadStore,
    Store, Transition,
};
use crossdock_value::{Value, value};
use std::{
    collections::VecDeque,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

pub const T0: Timestamp = Timestamp(1_800_000_000_000);
pub const SETTLING: Duration = Duration::seconds(10);
pub const TIMEOUT: Duration = Duration::seconds(5);

/// What the systems of a test are like.
#[derive(Clone)]
pub struct Setting {
    pub identity: Identity,
    pub probes: bool,
    /// Whether what is there twice can be taken back.
    pub retracts: bool,
    pub key_lifetime: Option<Duration>,
    pub limits: Limits,
    pub config: Config,
    pub systems: Vec<&'static str>,
}

impl Default for Setting {
    fn default() -> Self {
        let retry = Retry { give_up_after: Duration::hours(1), ..Limits::default().retry };
        Self {
            identity: Identity::UniqueReference,
            probes: true,
            retracts: false,
            key_lifetime: None,
            limits: Limits { retry, ..Limits::default() },
            config: Config::default(),
            systems: vec!["erp", "shop"],
        }
    }
}

impl Setting {
    pub fn identity(identity: Identity) -> Self {
        Self { identity, probes: identity != Identity::None, ..Self::default() }
    }

    /// The town, and how a hub is wired to it.
    pub fn build(&self, store: &Arc<MemoryStore>, mended: &Arc<AtomicBool>) -> (Town, Wiring) {
        let mut town = Town::new(store.clone());
        let capability = Capability {
            identity: self.identity,
            key_lifetime_ms: self.key_lifetime.map(|d| d.0),
            settling_ms: SETTLING.0,
            probes: self.probes,
            timeout_ms: TIMEOUT.0,
            retracts: self.retracts,
        };
        let mut systems = Vec::new();
        for name in &self.systems {
            let place = Place {
                identity: self.identity,
                applied: Vec::new(),
                taken_back: 0,
                script: VecDeque::new(),
                always: Act::Apply,
                takes: Duration::millis(20),
                hidden: Duration(0),
                look_up: None,
            };
            town.places.insert(SystemName::new(name), place);
            systems.push(System {
                name: SystemName::new(name),
                roles: Vec::new(),
                product: "plain".into(),
                base: "http://plain".into(),
                connector: Arc::new(Plain { capability, mended: mended.clone() }),
                limits: self.limits,
                poll_every: None,
            });
        }
        let contracts = Arc::new(TestContracts(mended.clone()));
        let wiring = Wiring { contracts, ..Wiring::new(systems, drivers(), Arc::new(TestPolicies)) };
        (town, wiring)
    }
}

/// One market, `test`, for everything.
pub struct TestPolicies;

impl PolicySource for TestPolicies {
    fn policy_for(&self, document: &Value) -> Result<Pinned, String> {
        let market = document.get("custom").get("c_market").as_str().unwrap_or("test");
        if market == "nowhere" {
            return Err("no market takes this order".into());
        }
        Ok(pin(Policy { market: MarketId::new(market), ..Policy::none() }))
    }
}

/// A note says a number that is not negative, until the landscape is mended.
struct TestContracts(Arc<AtomicBool>);

impl Contracts for TestContracts {
    fn check(&self, kind: &str, message: &Value) -> Result<(), String> {
        match message.get("n").as_i64() {
            Some(n) if kind == "toy.note" && n < 0 && !self.0.load(Ordering::Relaxed) => Err("/n: less than 0".into()),
            _ => Ok(()),
        }
    }
}

pub struct Lab {
    pub sim: Simulated<Town>,
    pub store: Arc<MemoryStore>,
    pub mended: Arc<AtomicBool>,
    /// Every transition that was handed to the store, whatever became of it.
    pub handed: Arc<Mutex<Vec<Transition>>>,
    /// What becomes of the next commits.
    pub faults: Arc<Mutex<VecDeque<CommitFault>>>,
}

impl Deref for Lab {
    type Target = Simulated<Town>;
    fn deref(&self) -> &Self::Target {
        &self.sim
    }
}

impl DerefMut for Lab {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.sim
    }
}

impl Drop for Lab {
    /// What holds in every test.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        assert_eq!(self.sim.network.broken, Vec::<String>::new());
        let handed = self.handed.lock().expect("no test panicked while holding it");
        for transition in handed.iter() {
            check_generations(&self.store, transition);
        }
    }
}

/// A generation above the first is made only by a transition that records *absent* or follows a refusal.
fn check_generations(store: &MemoryStore, transition: &Transition) {
    let Some(record) = &transition.record else { return };
    let record: serde_json::Value = serde_json::from_slice(record).expect("records are JSON");
    let journal = at_once(store.journal(&transition.process)).expect("the memory store answers");
    for effect in transition.effects.iter().filter(|e| e.generation > 1) {
        let before = journal.iter().filter(|row| row.version <= transition.version).rev().find_map(|row| {
            let record: serde_json::Value = serde_json::from_slice(&row.record).ok()?;
            record["effects"].as_array()?.iter().find(|e| e["no"] == effect.no).cloned()
        });
        let before = before.expect("an effect is on record before its second generation");
        if before["generation"].as_u64() == Some(u64::from(effect.generation)) {
            continue;
        }
        let absent = record["attempt"]["probe"] == "absent";
        assert!(
            absent || before["state"] == "refused",
            "{} went from {before} to generation {}",
            transition.process,
            effect.generation
        );
    }
}

impl Lab {
    pub fn new() -> Self {
        Self::with(Setting::default())
    }

    pub fn with(setting: Setting) -> Self {
        let store = Arc::new(MemoryStore::new());
        let mended = Arc::new(AtomicBool::new(false));
        let (town, wiring) = setting.build(&store, &mended);
        let mut sim = Simulated::new(setting.config, wiring, store.clone(), town, T0);
        let handed: Arc<Mutex<Vec<Transition>>> = Arc::default();
        let faults: Arc<Mutex<VecDeque<CommitFault>>> = Arc::default();
        let (keep, next) = (handed.clone(), faults.clone());
        sim.on_commit(move |transition| {
            keep.lock().expect("one thread").push(transition.clone());
            next.lock().expect("one thread").pop_front().unwrap_or(CommitFault::None)
        });
        Self { sim, store, mended, handed, faults }
    }

    pub fn place(&mut self, system: &str) -> &mut Place {
        self.sim.network.places.get_mut(system).expect("tests build their systems")
    }

    /// What the system does next, in this order.
    pub fn script(&mut self, system: &str, acts: impl IntoIterator<Item = Act>) {
        self.place(system).script.extend(acts);
    }

    /// A toy whose steps each call `system` once, one after the other.
    pub fn toy(&mut self, number: &str, steps: usize, system: &str) -> ProcessKey {
        self.toy_with(number, vec![step(system); steps])
    }

    pub fn toy_with(&mut self, number: &str, script: Vec<Step>) -> ProcessKey {
        let script = crossdock_value::to_value(&script).expect("plain data");
        self.message(number, "toy.placed", None, &crossdock_value::to_json(&value!({"script": script})));
        key(number)
    }

    pub fn note(&mut self, number: &str, n: i64) {
        self.message(number, "toy.note", None, format!(r#"{{"n": {n}}}"#).as_bytes());
    }

    pub fn message(&mut self, number: &str, kind: &str, id: Option<&str>, body: &[u8]) -> Accepted {
        let to = Addressee::Process(key(number));
        self.deliver(to, kind, id, body)
    }

    pub fn deliver(&mut self, to: Addressee, kind: &str, id: Option<&str>, body: &[u8]) -> Accepted {
        let intake = Intake {
            to,
            source: SystemName::new("shop"),
            message_id: id.map(Into::into),
            kind: kind.into(),
            actor: "system:shop".into(),
            body: body.into(),
            subject: "system:shop".into(),
            at: self.sim.now,
            starts: kind.ends_with(".placed"),
        };
        self.sim.accept(vec![intake], None).expect("the memory store answers")[0]
    }

    /// A canonical order whose flow does as `script` says.
    pub fn order(&mut self, number: &str, delivery: &str, method: &str, script: &[Step]) -> ProcessKey {
        let reference = OrderRef { channel: "ch".into(), site: "de".into(), number: number.into() };
        let order = canonical(number, delivery, method, script, "test");
        self.sim.accept_order(&SystemName::new("hub"), &reference, &order).expect("the memory store answers");
        ProcessKey::new("order", &reference.to_string())
    }

    pub fn command(&mut self, process: &ProcessKey, name: &str, body: Value) -> Answer {
        let key = format!("{name}-{}", self.sim.steps);
        let Ok(Accepted::Stored(row)) = self.sim.command(process, name, body, &key) else { panic!("the command was not stored") };
        self.wait_for_answer(row).expect("the engine took it")
    }

    /// A command from somebody who saw a version.
    pub fn command_at(
        &mut self,
        process: &ProcessKey,
        name: &str,
        body: Value,
        seen_version: Option<u64>,
    ) -> Result<Answer, HubError> {
        let message = HubMessage::Command { name: name.into(), body, key: "k".into(), seen_version, birth: None };
        let intake = Intake {
            to: Addressee::Process(process.clone()),
            source: SystemName::new("api"),
            message_id: None,
            kind: "command".into(),
            actor: "person:anna".into(),
            body: message.to_bytes(),
            subject: "system:hub".into(),
            at: self.sim.now,
            starts: false,
        };
        let Accepted::Stored(row) = self.sim.accept(vec![intake], None).expect("the memory store answers")[0] else {
            panic!("the command was not stored")
        };
        self.wait_for_answer(row)
    }

    fn wait_for_answer(&mut self, row: InboxId) -> Result<Answer, HubError> {
        let until = self.sim.now + Duration::seconds(5);
        assert!(self.sim.run(until, |sim| sim.answer(row).is_some()), "no answer to the command");
        self.sim.answer(row).expect("it is there").clone()
    }

    /// A toy with nothing to do but to wait for a timer; nothing runs meanwhile.
    pub fn deliver_quietly(&mut self, n: u32, due: Timestamp) {
        let number = n.to_string();
        self.message(&number, "toy.placed", None, br#"{"script": []}"#);
        self.message(&number, "toy.timer", None, format!(r#"{{"name": "t", "due": {}}}"#, due.0).as_bytes());
    }

    pub fn run_for(&mut self, time: Duration) {
        let until = self.sim.now + time;
        self.sim.run(until, |_| false);
    }

    /// Runs until a process is closed; panics when it is not by then.
    pub fn close(&mut self, process: &ProcessKey, within: Duration) {
        let store = self.store.clone();
        let until = self.sim.now + within;
        // Looked at now and then: it costs more than a step.
        let closed =
            self.sim.run(until, |sim| (sim.steps.is_multiple_of(8) || sim.now >= until) && status(&store, process) == "closed");
        assert!(closed, "{process} is not closed within {within}: {:?} {:?}", self.effects(process), self.exceptions(process));
    }

    pub fn load(&self, process: &ProcessKey) -> Loaded {
        at_once(self.store.load(process)).expect("the memory store answers").unwrap_or_else(|| panic!("there is no {process}"))
    }

    pub fn state(&self, process: &ProcessKey) -> State {
        serde_json::from_slice(&self.load(process).row.state).expect("toys write JSON")
    }

    pub fn effects(&self, process: &ProcessKey) -> Vec<EffectRow> {
        self.load(process).effects
    }

    pub fn effect(&self, process: &ProcessKey, step: &str) -> EffectRow {
        self.effects(process).into_iter().find(|e| &*e.step == step).unwrap_or_else(|| panic!("no effect {step}"))
    }

    pub fn effect_state(&self, process: &ProcessKey, step: &str) -> EffectState {
        self.effect(process, step).state
    }

    pub fn exceptions(&self, process: &ProcessKey) -> Vec<(String, ExceptionRow)> {
        self.load(process).exceptions.into_iter().map(|(name, row)| (name.to_string(), row)).collect()
    }

    pub fn classes(&self, process: &ProcessKey) -> Vec<String> {
        self.exceptions(process).into_iter().map(|(_, row)| row.class.to_string()).collect()
    }

    /// Requests that would change something, as they arrived.
    pub fn sends(&self, system: &str) -> Vec<crate::town::Arrival> {
        self.sim.network.arrivals.iter().filter(|a| !a.probe && !a.retract && a.system.as_str() == system).cloned().collect()
    }

    pub fn probes(&self, system: &str) -> Vec<crate::town::Arrival> {
        self.sim.network.arrivals.iter().filter(|a| a.probe && a.system.as_str() == system).cloned().collect()
    }

    /// How often copies were to be taken back.
    pub fn retracts(&self, system: &str) -> usize {
        self.sim.network.arrivals.iter().filter(|a| a.retract && a.system.as_str() == system).count()
    }

    /// What was done to a process, as the audit tells it.
    pub fn actions(&self, process: &ProcessKey) -> Vec<String> {
        let handed = self.handed.lock().expect("one thread");
        handed.iter().filter(|t| t.process == *process).map(|t| t.action.to_string()).collect()
    }

    pub fn applied(&self, system: &str) -> usize {
        self.sim.network.places[&SystemName::new(system)].applied.len()
    }

    pub fn fail_commits(&self, faults: impl IntoIterator<Item = CommitFault>) {
        self.faults.lock().expect("one thread").extend(faults);
    }

    pub fn mend(&self) {
        self.mended.store(true, Ordering::Relaxed);
    }

    pub fn inbox_depth(&self) -> u64 {
        at_once(self.store.inbox_depth()).expect("the memory store answers")
    }

    pub fn breaker(&self, system: &str) -> String {
        let views = self.sim.core.health(self.sim.now);
        views.into_iter().find(|v| v.name == system).expect("tests build their systems").breaker
    }
}

/// A canonical order whose flow does as `script` says, in the market that `market` names.
pub fn canonical(number: &str, delivery: &str, method: &str, script: &[Step], market: &str) -> Vec<u8> {
    let zero = value!({"amount": "0.00", "currency": "EUR"});
    crossdock_value::to_json(&value!({
        "channel": "ch", "site": "de", "number": number, "placed_at": "2027-01-15T08:00:00Z", "currency": "EUR", "taxation": "gross",
        "customer": {"guest": true}, "lines": [], "payments": [],
        "shipments": [{"id": "s1", "delivery": delivery, "method": method}],
        "totals": {"lines_net": zero.clone(), "shipping_net": zero.clone(), "tax": zero.clone(), "grand": zero},
        "custom": {"c_script": crossdock_value::to_value(script).expect("plain data"), "c_market": market},
    }))
}

pub fn drivers() -> Vec<Arc<dyn crossdock_engine::Driver>> {
    vec![
        Arc::new(FlowDriver::<Toy>::default()),
        Arc::new(FlowDriver::<ToyOrder>::default()),
        Arc::new(FlowDriver::<Stray>::default()),
    ]
}

pub fn status(store: &MemoryStore, process: &ProcessKey) -> String {
    let loaded = at_once(store.load(process)).expect("the memory store answers");
    loaded.map(|l| l.row.summary.status.to_string()).unwrap_or_default()
}

pub fn key(number: &str) -> ProcessKey {
    ProcessKey::new("toy", &format!("ch/de/{number}"))
}

pub fn step(system: &str) -> Step {
    Step { system: system.into(), operation: "erp.create_order".into(), deadline_ms: 600_000, at_once: false }
}
