//! The two doors and the hub behind them: the experience API's own router over a socket, and the storefront's polled pages.

use super::{
    Report,
    mutant::{self, Mutant},
    town::{Garbled, stands_alone},
};
use crate::{town::Town, wiring};
use crossdock_canonical::{Duration, SystemName, Timestamp};
use crossdock_connect::{
    cut,
    http::{Method, Request, Response},
    scrub::scrub,
};
use crossdock_engine::{
    CommandRequest, Hub, HubError, OrderIntake, SystemView,
    core::{Config, order_intake_of},
    face::Asked,
    shell::client::Client,
    simulated::{Simulated, at_once},
};
use crossdock_flows::Answer;
use crossdock_server::{
    App, Auth, Code, Principals,
    auth::{
        keys,
        roles::{Role, Sites},
    },
};
use crossdock_simulators::{Config as Systems, Mix, World, json::Json, rng::Rng};
use crossdock_store::{Accepted, ExceptionQuery, InboxId, MemoryStore, PayloadHash, ProcessKey, ProcessQuery, ReadStore, Store};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpListener, runtime::Runtime};

const T0: Timestamp = Timestamp(1_795_510_800_000);
/// Everything must have found its end within this; the hub gives up on what keeps failing after two hours.
const PATIENCE: Duration = Duration::hours(6);
const ANSWER_MAX: Duration = Duration::seconds(20);
/// Findings of one run; more say nothing new.
const FINDINGS_MAX: usize = 20;

pub(super) struct Doors {
    sim: Simulated<Garbled>,
    store: Arc<MemoryStore>,
    rng: Rng,
    channel: String,
    runtime: Runtime,
    client: Client,
    url: String,
    key: String,
    desk: Arc<Desk>,
    /// Posts so far; each has a key of its own.
    posts: u64,
    /// What was accepted through the API, by the payload's number.
    posted: Vec<(u64, ProcessKey)>,
    /// Numbers of the orders whose mutants stand in pages.
    polled: Vec<(String, Mutant)>,
    /// Good orders, which must all close.
    good: Vec<ProcessKey>,
}

/// The hub as the router sees it: what it accepts is handed to the simulated one.
#[derive(Default)]
struct Desk {
    taken: Mutex<Vec<OrderIntake>>,
}

impl Hub for Desk {
    fn accept_order(&self, order: OrderIntake) -> Asked<'_, Accepted> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.push(order);
        let id = InboxId(i64::try_from(taken.len()).unwrap_or(i64::MAX));
        Box::pin(async move { Ok(Accepted::Stored(id)) })
    }

    fn webhook(&self, system: &SystemName, _: Request) -> Asked<'_, Vec<Accepted>> {
        let system = system.clone();
        Box::pin(async move { Err(HubError::NoSystem(system)) })
    }

    fn command(&self, command: CommandRequest) -> Asked<'_, Answer> {
        Box::pin(async move { Err(HubError::NoProcess(command.process)) })
    }

    fn systems(&self) -> Vec<SystemView> {
        Vec::new()
    }

    fn metrics(&self) -> String {
        String::new()
    }

    fn now(&self) -> Timestamp {
        T0
    }

    fn readiness(&self) -> Result<(), HubError> {
        Ok(())
    }
}

impl Doors {
    pub fn open(seed: u64) -> Result<Self, String> {
        let mut systems = Systems { orders: Mix::plain(), ..Systems::default() };
        systems.payment.multicapture = true;
        systems.warehouse.short_pick_rate = 0.0;
        let channel = systems.storefront.channel.clone();
        let store = Arc::new(MemoryStore::new());
        let town = Town::new(World::new(seed, systems), seed);
        let network = Garbled { town, mutants: HashMap::new(), broken: HashMap::new() };
        let sim = Simulated::new(Config { seed, ..Config::default() }, wiring::demo()?, store.clone(), network, T0);

        let runtime = Runtime::new().map_err(|e| e.to_string())?;
        let (key, kept) = keys::make("fuzz", Role::Machine, Sites::All, crossdock_server::random::system);
        let principals = Principals { keys: vec![kept], ..Principals::default() };
        let auth = Auth::new(principals, false, crossdock_server::random::system).map_err(|e| e.to_string())?;
        let desk = Arc::new(Desk::default());
        let app = App::new(desk.clone(), store.clone(), store.clone(), Arc::new(auth));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).map_err(|e| e.to_string())?;
        let url = format!("http://{}", listener.local_addr().map_err(|e| e.to_string())?);
        runtime.spawn(crossdock_server::serve(listener, crossdock_server::router(app), std::future::pending(), Duration(0)));
        let rng = Rng::named(seed, "fuzz");
        Ok(Self {
            sim,
            store,
            rng,
            channel,
            runtime,
            client: Client::new(1 << 20),
            url,
            key,
            desk,
            posts: 0,
            posted: Vec::new(),
            polled: Vec::new(),
            good: Vec::new(),
        })
    }

    /// Breaks an order and posts it in the storefront's words. The storefront has the order, and keeps it from being polled.
    pub fn post_mutant(&mut self, report: &mut Report) -> Result<(), String> {
        let (site, number, order) = self.shopper("not_exported")?;
        let Mutant { bytes, kinds } = mutant::of(&order, &mut self.rng)?;
        count(report, &kinds);
        let response = match self.post(&site, &number, &bytes) {
            Ok(response) => response,
            Err(reason) => return found(report, format!("payload {} ({kinds:?}) got no answer: {reason}", self.posts)),
        };
        let taken = std::mem::take(&mut *self.desk.taken.lock().unwrap_or_else(PoisonError::into_inner));
        if response.is_success() {
            let Some(order) = taken.into_iter().next() else {
                return found(report, format!("payload {} ({kinds:?}) was accepted by nobody", self.posts));
            };
            let process = self.keep(order)?;
            self.posted.push((self.posts, process));
            return Ok(());
        }
        match problem(&response) {
            Ok(code) if taken.is_empty() && response.status < 500 => report.count("post", &format!("refused {code}")),
            Ok(code) => {
                return found(
                    report,
                    format!("payload {} ({kinds:?}): {} {code}, {} kept", self.posts, response.status, taken.len()),
                );
            }
            Err(reason) => return found(report, format!("payload {} ({kinds:?}): {} {reason}", self.posts, response.status)),
        }
        Ok(())
    }

    /// Places an order that will read otherwise when it is polled.
    pub fn poll_mutant(&mut self, report: &mut Report) -> Result<(), String> {
        let (_, number, order) = self.shopper("ready")?;
        let Mutant { bytes, kinds } = mutant::of(&order, &mut self.rng)?;
        count(report, &kinds);
        self.sim.network.mutants.insert(number.clone(), bytes.clone());
        self.polled.push((number, Mutant { bytes, kinds }));
        Ok(())
    }

    /// One good order through each door.
    pub fn good(&mut self, report: &mut Report) -> Result<(), String> {
        let (site, number, order) = self.shopper("not_exported")?;
        let response = self.post(&site, &number, &order)?;
        let taken = std::mem::take(&mut *self.desk.taken.lock().unwrap_or_else(PoisonError::into_inner));
        match taken.into_iter().next() {
            Some(order) if response.is_success() => {
                let process = self.keep(order)?;
                self.good.push(process);
            }
            _ => found(report, format!("the good order {number} was answered {} {}", response.status, text(&response)))?,
        }
        let (site, number, _) = self.shopper("ready")?;
        self.good.push(ProcessKey::new("order", &format!("{}/{site}/{number}", self.channel)));
        Ok(())
    }

    pub fn run_a_while(&mut self) {
        let until = self.sim.now + Duration::seconds(30);
        self.sim.run(until, |_| false);
    }

    /// Runs until everything that was accepted has ended or waits for a person.
    pub fn settle(&mut self) {
        let until = self.sim.now + PATIENCE;
        while self.sim.now < until {
            let next = self.sim.now + Duration::minutes(2);
            self.sim.run(next, |_| false);
            let ends = self.ends();
            let good = self.good.iter().all(|process| ends.get(process).is_some_and(|end| end == "closed"));
            if good && self.sim.core.is_idle() && ends.values().all(|end| end != "open") {
                return;
            }
        }
    }

    /// What became of each payload and each good order.
    pub fn judge(&self, report: &mut Report) {
        let (ends, record) = (self.ends(), self.record());
        for (number, process) in &self.posted {
            match ends.get(process).map(String::as_str) {
                None | Some("open") => {
                    let _ = found(report, format!("payload {number} was accepted as {process} and is {:?}", ends.get(process)));
                }
                Some(end) => report.count("post", &format!("accepted, {end}")),
            }
        }
        for (number, Mutant { bytes, kinds }) in &self.polled {
            let hash = PayloadHash::of(&scrub(bytes).bytes).to_string();
            let own = self.named(number, bytes);
            let end = if stands_alone(bytes) {
                let process = record.get(&hash).cloned().or_else(|| own.filter(|process| ends.contains_key(process)));
                process.and_then(|process| ends.get(&process).cloned())
            } else {
                // Its page was refused while it was garbled; then the order came as it is.
                let order =
                    ends.iter().find(|(process, _)| &*process.kind == "order" && process.key.ends_with(&format!("/{number}")));
                order.map(|(_, end)| format!("page refused, then {end}"))
            };
            match end.as_deref() {
                None | Some("open") => {
                    let _ = found(report, format!("the polled order {number} ({kinds:?}) is {end:?}"));
                }
                Some(end) => report.count("poll", end),
            }
        }
        for process in &self.good {
            match ends.get(process).map(String::as_str) {
                Some("closed") => report.count("good", "closed"),
                end => {
                    let _ = found(report, format!("the good order {process} is {end:?}"));
                }
            }
        }
    }

    /// The process that a payload names, if it names one.
    fn named(&self, number: &str, bytes: &[u8]) -> Option<ProcessKey> {
        let site = cut::text(bytes, "siteId")?;
        let number = cut::text(bytes, "orderNo").unwrap_or(number.into());
        Some(ProcessKey::new("order", &format!("{}/{site}/{number}", self.channel)))
    }

    /// A shopper checks out, and the storefront has his order: its site, number and document.
    fn shopper(&mut self, export: &str) -> Result<(String, String, Vec<u8>), String> {
        let now = self.sim.now.0;
        let world = &mut self.sim.network.town.world;
        let (mut order, _) = world.generate(now);
        order.json.set("exportStatus", export);
        order.json.set("status", "new");
        let (site, number) = (order.site.to_owned(), order.number.clone());
        let document = order.json.render().into_bytes();
        // Read again by the simulator's own parser, so that what is broken is what would have been sent.
        Json::parse(&document)?;
        world.place(order, now)?;
        Ok((site, number, document))
    }

    fn post(&mut self, site: &str, number: &str, order: &[u8]) -> Result<Response, String> {
        self.posts += 1;
        let head =
            format!(r#"{{"channel":"{}","site":"{site}","number":"{number}","source":"storefront","order":"#, self.channel);
        let body = [head.as_bytes(), order, b"}"].concat();
        let request = Request::new(Method::Post, "/experience/v1/orders")
            .header("authorization", format!("Bearer {}", self.key))
            .header("idempotency-key", format!("fuzz-{}", self.posts))
            .json(body);
        self.runtime.block_on(self.client.raw(&self.url, request, ANSWER_MAX)).map_err(|e| e.to_string())
    }

    /// Hands an accepted order to the simulated hub, as the shell does.
    fn keep(&mut self, order: OrderIntake) -> Result<ProcessKey, String> {
        let intake = order_intake_of(order, self.sim.now);
        let crossdock_store::Addressee::Process(process) = intake.to.clone() else {
            return Err("an order is addressed to its process".into());
        };
        self.sim.accept(vec![intake], None).map_err(|e| e.to_string())?;
        Ok(process)
    }

    /// How each process ended; a process with an exception, its own or its payment's, waits for a person.
    fn ends(&self) -> HashMap<ProcessKey, String> {
        let mut parked: HashMap<String, String> = HashMap::new();
        let all = ExceptionQuery { limit: usize::MAX, ..ExceptionQuery::default() };
        for exception in at_once(self.store.exceptions(all)).unwrap_or_default() {
            parked.entry(exception.process.key.key.to_string()).or_insert_with(|| exception.row.class.to_string());
        }
        let mut ends = HashMap::new();
        let all = ProcessQuery { limit: usize::MAX, ..ProcessQuery::default() };
        for process in at_once(self.store.processes(all)).unwrap_or_default() {
            let status = &*process.row.summary.status;
            let end = match (status, parked.get(&*process.key.key)) {
                ("closed" | "cancelled" | "failed", _) => status.to_owned(),
                (_, Some(class)) => format!("parked {class}"),
                (_, None) => "open".to_owned(),
            };
            ends.insert(process.key, end);
        }
        ends
    }

    /// Which process has which payload on record.
    fn record(&self) -> HashMap<String, ProcessKey> {
        let mut record = HashMap::new();
        let mut seen = HashSet::new();
        let all = ProcessQuery { limit: usize::MAX, ..ProcessQuery::default() };
        for process in at_once(self.store.processes(all)).unwrap_or_default() {
            if !seen.insert(process.key.clone()) {
                continue;
            }
            for row in at_once(self.store.journal(&process.key)).unwrap_or_default() {
                let Ok(told) = serde_json::from_slice::<serde_json::Value>(&row.record) else { continue };
                let payload = told.pointer("/in/payload").and_then(serde_json::Value::as_str);
                let kept = payload.and_then(|hash| Some((hash.to_owned(), PayloadHash::parse(hash)?)));
                if let Some((text, hash)) = kept
                    && at_once(self.store.payload(&process.key, &hash)).is_ok_and(|bytes| bytes.is_some())
                {
                    record.insert(text, process.key.clone());
                }
            }
        }
        record
    }
}

fn count(report: &mut Report, kinds: &[&'static str]) {
    for kind in kinds {
        *report.mutations.entry(kind).or_default() += 1;
    }
}

fn found(report: &mut Report, what: String) -> Result<(), String> {
    report.findings.push(what);
    if report.findings.len() < FINDINGS_MAX {
        Ok(())
    } else {
        Err(format!("too much was found:\n{}", report.findings.join("\n")))
    }
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).chars().take(300).collect()
}

/// The code of a refusal, which must be a problem of the catalogue.
fn problem(response: &Response) -> Result<String, String> {
    if response.header("content-type") != Some("application/problem+json") {
        return Err(format!("no problem: {}", text(response)));
    }
    let body: serde_json::Value = serde_json::from_slice(&response.body).map_err(|e| format!("{e}: {}", text(response)))?;
    let code = body["code"].as_str().unwrap_or_default();
    match Code::ALL.iter().any(|known| known.as_str() == code) && body["status"] == response.status {
        true => Ok(code.to_owned()),
        false => Err(format!("not of the catalogue: {}", text(response))),
    }
}
