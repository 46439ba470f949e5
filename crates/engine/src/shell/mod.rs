//! The tokio side of the engine: one task drives the core, others load, commit, send and poll as it says, and report back.
//!
//! Nothing is decided here. A commit is awaited before the core hears of it; an attempt is driven by its connector until it ends.

pub mod client;
pub mod clock;
mod drive;
mod intake;
mod poll;
pub mod schedule;
mod wire;

use crate::{
    CommandRequest, Hub, HubError, OrderIntake, SystemView, Wiring,
    core::{BreakerState, Config, Core, Input, Output},
    face::Asked,
};
use client::Client;
use clock::Clock;
use crossdock_canonical::{Duration, SystemName, Timestamp};
use crossdock_connect::http::Request;
use crossdock_flows::Answer;
use crossdock_store::{Accepted, CursorWrite, InboxId, Loaded, ProcessKey, ReadStore, Store, StoreError, Transition};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};
use tokio::sync::{mpsc, oneshot, watch};

/// Settings of a running hub.
#[derive(Clone, Debug)]
pub struct Options {
    pub core: Config,
    /// Inbox rows beyond which accepting answers 503.
    pub inbox_cap: u64,
    /// How often the systems are asked about every open process; `None` never.
    pub reconcile_every: Option<Duration>,
    /// Jobs at their times.
    pub schedules: Vec<schedule::Schedule>,
    /// Largest answer read from a system, in bytes.
    pub answer_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { core: Config::default(), inbox_cap: 200_000, reconcile_every: None, schedules: Vec::new(), answer_max: 8 << 20 }
    }
}

/// Inputs that the core hears in one round.
const BATCH_MAX: usize = 256;

type Waiting = HashMap<InboxId, oneshot::Sender<Result<Answer, HubError>>>;

/// A hub that runs in this process.
pub struct Running {
    store: Arc<dyn Store>,
    read: Arc<dyn ReadStore>,
    wiring: Wiring,
    clock: Clock,
    options: Options,
    inputs: mpsc::UnboundedSender<Input>,
    waiting: Mutex<Waiting>,
    /// One poll of a system at a time: its cursor goes forward only.
    polls: HashMap<SystemName, tokio::sync::Mutex<()>>,
    view: RwLock<View>,
    stopping: watch::Sender<bool>,
}

/// What the core last told of itself.
#[derive(Default)]
struct View {
    systems: Vec<SystemView>,
    stats: crate::core::Stats,
    inbox: (usize, bool),
    lanes: usize,
    idle: bool,
}

impl Running {
    /// Takes the leases, reads what a former run left, and starts.
    pub async fn start(
        store: Arc<dyn Store>,
        read: Arc<dyn ReadStore>,
        wiring: Wiring,
        clock: Clock,
        mut options: Options,
    ) -> Result<Arc<Self>, StoreError> {
        let leases = store.lease("this", clock.now()).await?;
        options.core.epoch = leases.iter().map(|lease| lease.epoch).max().unwrap_or(1);
        let mut core = Core::new(options.core.clone(), wiring.clone(), clock.now());
        for name in wiring.systems.keys() {
            if let Some(bytes) = store.cursor(&breaker_cursor(name)).await?
                && let Ok(state) = serde_json::from_slice::<BreakerState>(&bytes)
            {
                core.restore_breaker(name, state);
            }
        }
        let (inputs, received) = mpsc::unbounded_channel();
        let (stopping, stopped) = watch::channel(false);
        let polls = wiring.systems.keys().map(|name| (name.clone(), tokio::sync::Mutex::default())).collect();
        let hub = Arc::new(Self {
            store,
            read,
            wiring,
            clock,
            options,
            inputs,
            waiting: Mutex::default(),
            polls,
            view: RwLock::default(),
            stopping,
        });
        let client = Arc::new(Client::new(hub.options.answer_max));
        tokio::spawn(run(hub.clone(), core, received, client.clone(), stopped.clone()));
        poll::start(&hub, &client, &stopped);
        schedule::start(&hub, &client, &stopped);
        Ok(hub)
    }

    /// Stops taking and sending; what is under way ends or is found again by the next run.
    pub fn stop(&self) {
        let _ = self.stopping.send(true);
    }

    /// Whether nothing is queued or under way (timers and future retries apart).
    pub fn is_idle(&self) -> bool {
        self.view.read().unwrap_or_else(PoisonError::into_inner).idle
    }

    pub fn resume(&self, system: &SystemName) {
        let _ = self.inputs.send(Input::Resume(system.clone()));
    }

    /// Asks the systems about every settled effect of a process.
    pub fn reconcile(&self, process: ProcessKey) {
        let _ = self.inputs.send(Input::Reconcile(process));
    }

    pub fn read_store(&self) -> &Arc<dyn ReadStore> {
        &self.read
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
}

/// Drives the core: one input at a time, in order.
async fn run(
    hub: Arc<Running>,
    mut core: Core,
    mut received: mpsc::UnboundedReceiver<Input>,
    client: Arc<Client>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut out = Vec::new();
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut told_at = Timestamp(0);
    core.step(Input::Start, hub.clock.now(), &mut out);
    loop {
        perform_all(&hub, &client, out.drain(..));
        let now = hub.clock.now();
        if now - told_at >= Duration::millis(200) {
            told_at = now;
            tell(&hub, &core, now);
        }
        let wake = core.wake_at().map_or(Duration::millis(500), |at| Duration((at - now).0.clamp(1, 500)));
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            count = received.recv_many(&mut batch, BATCH_MAX) => {
                if count == 0 {
                    return;
                }
                // What is ready to tell the core something does so first: together they cost one round.
                tokio::task::yield_now().await;
                while batch.len() < BATCH_MAX && let Ok(input) = received.try_recv() {
                    batch.push(input);
                }
                let now = hub.clock.now();
                core.step_all(batch.drain(..), now, &mut out);
            }
            () = clock::pause(wake) => core.step(Input::Tick, hub.clock.now(), &mut out),
        }
    }
}

fn tell(hub: &Running, core: &Core, now: Timestamp) {
    let view = View {
        systems: core.health(now),
        stats: core.stats,
        inbox: core.inbox_depth(),
        lanes: core.lanes_in_memory(),
        idle: core.is_idle(),
    };
    *hub.view.write().unwrap_or_else(PoisonError::into_inner) = view;
}

/// Begins the outputs of a batch. Its commits share a task, and so do its loads: their answers come together.
fn perform_all(hub: &Arc<Running>, client: &Arc<Client>, outputs: impl Iterator<Item = Output>) {
    let (mut commits, mut loads) = (Vec::new(), Vec::new());
    for output in outputs {
        match output {
            Output::Commit(transition) => commits.push(transition),
            Output::Load(process) => loads.push(process),
            other => perform(hub, client, other),
        }
    }
    if !commits.is_empty() {
        tokio::spawn(commit(hub.clone(), commits));
    }
    if !loads.is_empty() {
        tokio::spawn(load_all(hub.clone(), loads));
    }
}

/// Begins one output; its answer comes back as an input.
fn perform(hub: &Arc<Running>, client: &Arc<Client>, output: Output) {
    let hub = hub.clone();
    match output {
        Output::Answer { row, result } => {
            let waiter = hub.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&row);
            if let Some(waiter) = waiter {
                let _ = waiter.send(result);
            }
        }
        Output::Commit(transition) => {
            tokio::spawn(commit(hub, vec![transition]));
        }
        Output::Send(job) => {
            let client = client.clone();
            tokio::spawn(async move {
                let ended = drive::attempt(&hub, &client, *job).await;
                let _ = hub.inputs.send(Input::Ended(Box::new(ended)));
            });
        }
        Output::Load(process) => {
            tokio::spawn(load_all(hub, vec![process]));
        }
        Output::StorePin(pin) => {
            tokio::spawn(async move {
                let result = hub.store.put_pin(&pin.hash, pin.bytes.to_vec()).await;
                let _ = hub.inputs.send(Input::PinStored { hash: pin.hash, result });
            });
        }
        Output::LookUp { process, transition } => {
            tokio::spawn(async move {
                clock::pause(Duration::millis(100)).await;
                let result = hub.store.was_committed(&process, transition).await;
                let _ = hub.inputs.send(Input::LookedUp { process, result });
            });
        }
        Output::LoadRequest { process, no, hash } => {
            tokio::spawn(async move {
                let bytes = hub.store.payload(&process, &hash).await;
                let _ = hub.inputs.send(Input::RequestLoaded { process, no, bytes });
            });
        }
        Output::Resolve(row) => {
            tokio::spawn(async move {
                let process = match &row.to {
                    crossdock_store::Addressee::Theirs { system, kind, id } => hub.store.resolve(system.as_str(), kind, id).await,
                    crossdock_store::Addressee::Process(process) => Ok(Some(process.clone())),
                };
                let _ = hub.inputs.send(Input::Resolved { row, process });
            });
        }
        Output::ReadInbox { after, limit } => {
            tokio::spawn(async move {
                let input = match hub.store.inbox(after, limit).await {
                    Ok(rows) => Input::InboxRead { complete: rows.len() < limit, rows },
                    Err(_) => {
                        clock::pause(Duration::millis(500)).await;
                        Input::InboxRead { rows: Vec::new(), complete: false }
                    }
                };
                let _ = hub.inputs.send(input);
            });
        }
        Output::ReadDue { system, before, limit } => {
            tokio::spawn(async move {
                let input = match hub.store.due_effects(system.as_str(), before, limit).await {
                    Ok(effects) => Input::Due { complete: effects.len() < limit, system, effects },
                    Err(_) => {
                        clock::pause(Duration::millis(500)).await;
                        Input::Due { system, effects: Vec::new(), complete: false }
                    }
                };
                let _ = hub.inputs.send(input);
            });
        }
        Output::ReadTimers { before, limit } => {
            tokio::spawn(async move {
                let input = match hub.store.due_timers(before, limit).await {
                    Ok(timers) => Input::Timers { complete: timers.len() < limit, timers, until: before },
                    Err(_) => {
                        clock::pause(Duration::millis(500)).await;
                        Input::Timers { timers: Vec::new(), until: hub.clock.now(), complete: true }
                    }
                };
                let _ = hub.inputs.send(input);
            });
        }
        Output::SaveBreaker { system, state } => {
            tokio::spawn(async move {
                let body = serde_json::to_vec(&state).expect("a breaker state is plain data");
                let write = CursorWrite { name: breaker_cursor(&system).into(), body };
                if let Err(error) = hub.store.set_cursor(write).await {
                    tracing::warn!(%system, %error, "the breaker's state was not stored");
                }
            });
        }
    }
}

/// Hands transitions to the store, all before the first answer is awaited.
async fn commit(hub: Arc<Running>, transitions: Vec<Box<Transition>>) {
    let begun: Vec<_> =
        transitions.into_iter().map(|transition| (transition.process.clone(), hub.store.commit(*transition))).collect();
    let mut paused = false;
    for (process, reply) in begun {
        let result = reply.await;
        // Once for all: what keeps one from being stored keeps the others.
        if !paused && matches!(result, Err(StoreError::Busy(_) | StoreError::Unavailable(_))) {
            paused = true;
            clock::pause(Duration::millis(100)).await;
        }
        let _ = hub.inputs.send(Input::Committed { process, result });
    }
}

async fn load_all(hub: Arc<Running>, processes: Vec<ProcessKey>) {
    let begun: Vec<_> = processes
        .into_iter()
        .map(|process| {
            let loading = hub.store.load(&process);
            (process, loading)
        })
        .collect();
    for (process, loading) in begun {
        let input = loaded(&hub, process, loading.await).await;
        let _ = hub.inputs.send(input);
    }
}

async fn loaded(hub: &Running, process: ProcessKey, result: Result<Option<Loaded>, StoreError>) -> Input {
    match result {
        Ok(None) => Input::Loaded { process, result: Ok(None), pin: None },
        Ok(Some(loaded)) => {
            let hash = loaded.row.policy.clone();
            let pin = match hub.store.pin(&hash).await {
                Ok(Some(bytes)) => hub.wiring.policies.read(&hash, &bytes).ok(),
                Ok(None) => None,
                Err(error) => {
                    clock::pause(Duration::millis(500)).await;
                    return Input::Loaded { process, result: Err(error), pin: None };
                }
            };
            Input::Loaded { process, result: Ok(Some(Box::new(loaded))), pin }
        }
        Err(error) => {
            clock::pause(Duration::millis(500)).await;
            Input::Loaded { process, result: Err(error), pin: None }
        }
    }
}

fn breaker_cursor(system: &SystemName) -> String {
    format!("breaker/{system}")
}

impl Hub for Running {
    fn accept_order(&self, order: OrderIntake) -> Asked<'_, Accepted> {
        Box::pin(self.take_order(order))
    }

    fn webhook(&self, system: &SystemName, request: Request) -> Asked<'_, Vec<Accepted>> {
        Box::pin(self.take_webhook(system.clone(), request))
    }

    fn command(&self, command: CommandRequest) -> Asked<'_, Answer> {
        Box::pin(self.take_command(command))
    }

    fn systems(&self) -> Vec<SystemView> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).systems.clone()
    }

    fn metrics(&self) -> String {
        use std::fmt::Write;
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let stats = view.stats;
        let mut text = String::new();
        for (name, help, value) in [
            ("crossdock_transitions_total", "Transitions handed to the store.", stats.commits),
            (
                "crossdock_transitions_refused_total",
                "Transitions the store refused; their lanes read again.",
                stats.commits_refused,
            ),
            ("crossdock_calls_total", "Attempts sent to systems.", stats.sent),
            ("crossdock_probes_total", "Probes sent to systems.", stats.probes),
            ("crossdock_retries_total", "Attempts that were not the first.", stats.retries),
            ("crossdock_unknown_total", "Attempts whose end was unclear.", stats.unknown),
            ("crossdock_parked_total", "Effects and messages parked for a person.", stats.parked),
        ] {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
        }
        for (name, help, value) in [
            ("crossdock_inbox_rows_in_memory", "Inbox rows waiting in memory.", view.inbox.0 as u64),
            ("crossdock_inbox_overflow", "1 while more inbox rows wait in the store.", u64::from(view.inbox.1)),
            ("crossdock_lanes_in_memory", "Processes held in memory.", view.lanes as u64),
        ] {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
        let _ = writeln!(
            text,
            "# HELP crossdock_system_breaker 1 for the breaker's present state.\n# TYPE crossdock_system_breaker gauge"
        );
        for system in &view.systems {
            let _ = writeln!(text, "crossdock_system_breaker{{system=\"{}\",state=\"{}\"}} 1", system.name, system.breaker);
        }
        let _ = writeln!(text, "# HELP crossdock_system_in_flight Calls under way.\n# TYPE crossdock_system_in_flight gauge");
        for system in &view.systems {
            let _ = writeln!(text, "crossdock_system_in_flight{{system=\"{}\"}} {}", system.name, system.in_flight);
        }
        let _ =
            writeln!(text, "# HELP crossdock_system_waiting Effects ready to be sent.\n# TYPE crossdock_system_waiting gauge");
        for system in &view.systems {
            let _ = writeln!(text, "crossdock_system_waiting{{system=\"{}\"}} {}", system.name, system.waiting);
        }
        text
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn readiness(&self) -> Result<(), String> {
        if *self.stopping.borrow() {
            return Err("shutting down".into());
        }
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        if view.inbox.1 {
            return Err("the inbox is behind".into());
        }
        Ok(())
    }
}
