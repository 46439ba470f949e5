//! The tokio side of the engine: one task drives the core, others load, commit, send and poll as it says, and report back.
//!
//! Nothing is decided here. A commit is awaited before the core hears of it; an attempt is driven by its connector until it ends.

mod breakers;
pub mod client;
pub mod clock;
mod drive;
mod intake;
mod lookout;
mod poll;
pub mod retention;
pub mod schedule;
pub mod standing;
mod turns;
mod waiting;
mod wire;

use crate::{
    CommandRequest, Hub, HubError, NodeView, OrderIntake, SystemView, Wiring,
    core::{BreakerState, Config, Core, Input, Output},
    face::Asked,
};
use client::Client;
use clock::Clock;
use crossdock_canonical::{Duration, SystemName, Timestamp};
use crossdock_connect::http::Request;
use crossdock_flows::Answer;
use crossdock_store::{Accepted, CursorWrite, Loaded, ProcessKey, ReadStore, Store, StoreError, Transition};
use standing::{NodeOptions, Standing};
use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, watch};
use turns::Change;
use waiting::Waiting;

/// Settings of a running hub.
#[derive(Clone, Debug)]
pub struct Options {
    pub core: Config,
    /// Inbox rows, in memory and in the store, at which accepting answers that there is no room.
    pub inbox_cap: u64,
    /// How often the systems are asked about every open process; `None` never.
    pub reconcile_every: Option<Duration>,
    /// Jobs at their times.
    pub schedules: Vec<schedule::Schedule>,
    /// How it takes part where several nodes share the store.
    pub node: NodeOptions,
    /// How long a command waits for its answer where another node has to give it.
    pub answer_within: Duration,
    /// What is not kept for ever.
    pub retention: retention::Retention,
    /// Largest answer read from a system, in bytes.
    pub answer_max: usize,
    /// Calls under way at once, to all systems together; a socket each.
    pub calls_max: usize,
    /// One thing at a time, each in its turn: a call, a write to the store, a question of a poll. Two lives of a hub to which the same
    /// happens then do the same in the same order.
    pub takes_turns: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            core: Config::default(),
            inbox_cap: 200_000,
            reconcile_every: None,
            schedules: Vec::new(),
            node: NodeOptions::default(),
            answer_within: Duration::seconds(10),
            retention: retention::Retention::default(),
            answer_max: 8 << 20,
            calls_max: 4_096,
            takes_turns: false,
        }
    }
}

/// The cursor that says, while it is not empty, that the store was restored to an older point: when, in milliseconds.
pub const RESTORED: &str = "restored";

/// Whether a person has said that the store was restored, and not yet that all is settled.
pub async fn is_restored(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(store.cursor(RESTORED).await?.is_some_and(|mark| !mark.is_empty()))
}

/// How long rows are given that others have to come before.
const HELD_BACK: Duration = Duration::millis(10);

/// Inputs that the core hears in one round.
const BATCH_MAX: usize = 256;

/// A hub that runs in this process.
pub struct Running {
    store: Arc<dyn Store>,
    read: Arc<dyn ReadStore>,
    wiring: Wiring,
    clock: Clock,
    options: Options,
    inputs: mpsc::UnboundedSender<Input>,
    breakers: mpsc::UnboundedSender<(SystemName, BreakerState)>,
    waiting: Waiting,
    /// One for each call that may begin. They are had in the order of asking.
    calls: Semaphore,
    /// Inbox rows that wait to be folded, in memory or not: counted now and then, and raised by what is accepted meanwhile.
    backlog: AtomicU64,
    counting: AtomicBool,
    /// Another node has taken over: this one writes and sends nothing any more.
    fenced: AtomicBool,
    /// Why the store did not answer when it was asked last.
    store_silent: RwLock<Option<StoreError>>,
    /// One poll of a system at a time: its cursor goes forward only.
    polls: HashMap<SystemName, tokio::sync::Mutex<()>>,
    view: RwLock<View>,
    standing: Standing,
    changes: mpsc::UnboundedSender<Change>,
    /// Partitions are being handed over; what comes in is still taken, for the other nodes.
    leaving: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
    /// Stopped, and whatever there was to hand over is handed over.
    ended: watch::Sender<bool>,
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
        let shared = store.is_shared();
        let leases = if shared { Vec::new() } else { store.lease(&options.node.id(), clock.now()).await? };
        options.core.restored = is_restored(&*store).await?;
        let config = Config { reconcile_every: options.reconcile_every, ..options.core.clone() };
        let mut core = Core::new(config, wiring.clone(), clock.now());
        for name in wiring.systems.keys() {
            if let Some(bytes) = store.cursor(&breaker_cursor(name)).await?
                && let Ok(state) = serde_json::from_slice::<BreakerState>(&bytes)
            {
                core.restore_breaker(name, state);
            }
        }
        let (inputs, received) = mpsc::unbounded_channel();
        let (stopping, stopped) = watch::channel(false);
        let (breakers, changed) = mpsc::unbounded_channel();
        let (changes, noted) = mpsc::unbounded_channel();
        let standing = Standing::new(&options.node, shared, clock.now());
        let polls = wiring.systems.keys().map(|name| (name.clone(), tokio::sync::Mutex::default())).collect();
        let calls = Semaphore::new(if options.takes_turns { 1 } else { options.calls_max });
        let hub = Arc::new(Self {
            calls,
            store,
            read,
            wiring,
            clock,
            options,
            inputs,
            breakers,
            waiting: Waiting::default(),
            backlog: AtomicU64::new(0),
            counting: AtomicBool::new(false),
            fenced: AtomicBool::new(false),
            store_silent: RwLock::default(),
            polls,
            view: RwLock::default(),
            standing,
            changes,
            leaving: watch::Sender::new(false),
            stopping,
            ended: watch::Sender::new(false),
        });
        let client = Arc::new(Client::new(hub.options.answer_max));
        tokio::spawn(keep_breakers(hub.store.clone(), changed));
        if shared {
            let turns = turns::join(&hub).await?;
            tokio::spawn(turns::run(turns, noted));
        } else {
            let _ = hub.inputs.send(Input::Gained(leases));
        }
        tokio::spawn(run(hub.clone(), core, received, client.clone()));
        poll::start(&hub, &client, &stopped);
        schedule::start(&hub, &client, &stopped);
        lookout::start(&hub, &stopped);
        retention::start(&hub, &stopped);
        if hub.options.core.restored {
            let hub = hub.clone();
            tokio::spawn(async move { poll::reconcile_open(&hub, None).await });
        }
        Ok(hub)
    }

    /// Where other nodes go on: begins to hand everything over to them, while requests that are under way still end here.
    pub fn hand_over(&self) {
        let _ = self.leaving.send(true);
    }

    /// Stops taking and sending; what is under way ends or is found again by the next run.
    pub fn stop(&self) {
        self.hand_over();
        let _ = self.stopping.send(true);
        if !self.standing.is_shared() {
            let _ = self.ended.send(true);
        }
    }

    /// Resolves when the hub has stopped and has handed its partitions over to the other nodes, at the latest after some seconds.
    pub async fn ended(&self) {
        let mut ended = self.ended.subscribe();
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Waits for its turn, where turns are taken; it ends with what is returned.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        if self.options.takes_turns { self.calls.acquire().await.ok() } else { None }
    }

    /// Calls under way.
    fn in_flight(&self) -> u32 {
        self.view.read().unwrap_or_else(PoisonError::into_inner).systems.iter().map(|system| system.in_flight).sum()
    }

    /// Resolves when the hub has stopped, or was stopped because another node took over.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // It cannot end otherwise: the sender is ours.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    pub fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Relaxed)
    }

    /// Whether the store was restored to an older point, and nobody has said yet that all is settled.
    pub fn is_restored(&self) -> bool {
        self.options.core.restored
    }

    /// Whether nothing is queued or under way (timers and future retries apart).
    pub fn is_idle(&self) -> bool {
        self.view.read().unwrap_or_else(PoisonError::into_inner).idle
    }

    /// A person says that a system may be called again, at every node.
    pub fn resume(&self, system: &SystemName) {
        self.standing.ask_all(format!("resume/{system}"), self.clock.now());
        let _ = self.inputs.send(Input::Resume(system.clone()));
    }

    /// Asks the systems about every settled effect of a process that is this node's; another does nothing.
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

/// Runs the core until it is told to stop or another node has taken over. Nobody waits for an answer after that.
async fn run(hub: Arc<Running>, core: Core, received: mpsc::UnboundedReceiver<Input>, client: Arc<Client>) {
    drive_core(&hub, core, received, client).await;
    // One that has handed all over still takes in what it is sent, for the others, until it is stopped.
    if !*hub.leaving.borrow() || hub.is_fenced() {
        hub.stop();
    }
    hub.stopped().await;
    hub.waiting.close();
}

/// Drives the core: one input at a time, in order.
async fn drive_core(hub: &Arc<Running>, mut core: Core, mut received: mpsc::UnboundedReceiver<Input>, client: Arc<Client>) {
    let mut ended = hub.ended.subscribe();
    let mut out = Vec::new();
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut told_at = Timestamp(0);
    loop {
        perform_all(hub, &client, out.drain(..));
        if hub.is_fenced() {
            tracing::error!("another node has taken over this hub's partitions: it ends here");
            return;
        }
        let now = hub.clock.now();
        if now - told_at >= Duration::millis(200) {
            told_at = now;
            tell(hub, &core, now);
        }
        let wake = core.wake_at().map_or(Duration::millis(500), |at| Duration((at - now).0.clamp(1, 500)));
        tokio::select! {
            biased;
            _ = ended.changed() => return,
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

fn tell(hub: &Arc<Running>, core: &Core, now: Timestamp) {
    let (rows, more) = core.inbox_depth();
    if more || rows > 0 || hub.backlog.load(Ordering::Relaxed) > 0 {
        count_backlog(hub);
    }
    let view = View {
        systems: core.health(now),
        stats: core.stats,
        inbox: core.inbox_depth(),
        lanes: core.lanes_in_memory(),
        idle: core.is_idle(),
    };
    *hub.view.write().unwrap_or_else(PoisonError::into_inner) = view;
}

/// Asks the store how many rows wait: memory does not hold them all. One count at a time.
fn count_backlog(hub: &Arc<Running>) {
    if hub.counting.swap(true, Ordering::Relaxed) {
        return;
    }
    let hub = hub.clone();
    tokio::spawn(async move {
        let before = hub.backlog.load(Ordering::Relaxed);
        if let Ok(rows) = hub.read.inbox_depth().await {
            // What was accepted meanwhile may be counted twice until the next count, never left out.
            let counted = |backlog: u64| Some(rows.saturating_add(backlog.saturating_sub(before)));
            let _ = hub.backlog.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
        }
        hub.counting.store(false, Ordering::Relaxed);
    });
}

async fn keep_breakers(store: Arc<dyn Store>, changes: mpsc::UnboundedReceiver<(SystemName, BreakerState)>) {
    breakers::keep(changes, |system, state| {
        let store = store.clone();
        async move {
            let body = serde_json::to_vec(&state).expect("a breaker state is plain data");
            let write = CursorWrite { name: breaker_cursor(&system).into(), body, seen: None };
            if let Err(error) = store.set_cursor(write).await {
                tracing::warn!(%system, %error, "the breaker's state was not stored");
            }
        }
    })
    .await;
}

/// Begins the outputs of a batch. Its commits share a task, and so do its loads: their answers come together.
fn perform_all(hub: &Arc<Running>, client: &Arc<Client>, outputs: impl Iterator<Item = Output>) {
    let (mut commits, mut loads) = (Vec::new(), Vec::new());
    for output in outputs {
        match output {
            Output::Commit(transition) => commits.push(*transition),
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
        Output::Answer { row, result } => hub.waiting.answer(row, result),
        Output::Commit(transition) => {
            tokio::spawn(commit(hub, vec![*transition]));
        }
        Output::Send(job) => {
            let client = client.clone();
            tokio::spawn(async move {
                // Nobody closes it: without one the hub itself is ending.
                let Ok(_call) = hub.calls.acquire().await else { return };
                let ended = drive::attempt(&hub, &client, job).await;
                let _ = hub.inputs.send(Input::Ended(Box::new(ended)));
            });
        }
        Output::Load(process) => {
            tokio::spawn(load_all(hub, vec![process]));
        }
        Output::StorePin(pin) => {
            tokio::spawn(async move {
                let _turn = hub.turn().await;
                let result = hub.store.put_pin(&pin.hash, pin.bytes.to_vec()).await;
                let _ = hub.inputs.send(Input::PinStored { hash: pin.hash, result });
            });
        }
        Output::LookUp { process, transition } => {
            tokio::spawn(async move {
                clock::pause(Duration::millis(100)).await;
                let result = hub.store.was_committed(&process, transition).await;
                let _ = hub.inputs.send(Input::LookedUp { process, transition, result });
            });
        }
        Output::LoadRequest(fetch) => {
            tokio::spawn(async move {
                let bytes = hub.store.payload(&fetch.process, &fetch.hash).await;
                let _ = hub.inputs.send(Input::RequestLoaded { fetch, bytes });
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
        Output::ReadInbox { of, after, limit } => {
            tokio::spawn(async move {
                let input = match hub.store.inbox(of, after, limit).await {
                    Ok(page) => {
                        if page.held_back {
                            clock::pause(HELD_BACK).await;
                        }
                        Input::InboxRead { complete: page.rows.len() < limit, held_back: page.held_back, rows: page.rows }
                    }
                    Err(_) => {
                        clock::pause(Duration::millis(500)).await;
                        Input::InboxRead { rows: Vec::new(), complete: false, held_back: false }
                    }
                };
                let _ = hub.inputs.send(input);
            });
        }
        Output::ReadDue { of, system, before, limit } => {
            tokio::spawn(async move {
                let input = match hub.store.due_effects(of, system.as_str(), before, limit).await {
                    Ok(effects) => Input::Due { complete: effects.len() < limit, system, effects },
                    Err(_) => {
                        clock::pause(Duration::millis(500)).await;
                        Input::Due { system, effects: Vec::new(), complete: false }
                    }
                };
                let _ = hub.inputs.send(input);
            });
        }
        Output::ReadTimers { of, before, limit } => {
            tokio::spawn(async move {
                let input = match hub.store.due_timers(of, before, limit).await {
                    Ok(timers) => Input::Timers { complete: timers.len() < limit, timers, until: before },
                    Err(_) => {
                        clock::pause(Duration::millis(500)).await;
                        Input::Timers { timers: Vec::new(), until: hub.clock.now(), complete: true }
                    }
                };
                let _ = hub.inputs.send(input);
            });
        }
        Output::GaveUp(release) => {
            let _ = hub.changes.send(Change::GaveUp(release));
        }
        Output::Superseded(partition) => {
            if hub.standing.is_shared() {
                let _ = hub.changes.send(Change::Superseded(partition));
            } else {
                hub.fenced.store(true, Ordering::Relaxed);
            }
        }
        Output::SaveBreaker { system, state } => {
            hub.standing.tell(&system, &state);
            let _ = hub.breakers.send((system, state));
        }
    }
}

/// Hands transitions to the store, all before the first answer is awaited.
async fn commit(hub: Arc<Running>, transitions: Vec<Transition>) {
    let _turn = hub.turn().await;
    let begun: Vec<_> = transitions
        .into_iter()
        .map(|transition| (transition.process.clone(), transition.id, hub.store.commit(transition)))
        .collect();
    let mut paused = false;
    for (process, transition, reply) in begun {
        let result = reply.await;
        // Once for all: what keeps one from being stored keeps the others.
        if !paused && matches!(result, Err(StoreError::Busy(_) | StoreError::Unavailable(_))) {
            paused = true;
            clock::pause(Duration::millis(100)).await;
        }
        let _ = hub.inputs.send(Input::Committed { process, transition, result });
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

    fn nodes(&self) -> Vec<NodeView> {
        if self.standing.is_shared() {
            return self.standing.views();
        }
        turns::alone(&self.standing, &self.options.node.id(), self.in_flight(), self.clock.now())
    }

    fn metrics(&self) -> String {
        use std::fmt::Write;
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let stats = view.stats;
        let nodes = self.nodes();
        let available = nodes.iter().filter(|node| node.available).count() as u64;
        let partitions = nodes.iter().filter(|node| node.is_this).map(|node| u64::from(node.partitions)).sum();
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
            ("crossdock_retractions_total", "Times that a system was told to cancel copies.", stats.retracted),
            ("crossdock_parked_total", "Effects and messages parked for a person.", stats.parked),
        ] {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
        }
        for (name, help, value) in [
            ("crossdock_inbox_rows_in_memory", "Inbox rows waiting in memory.", view.inbox.0 as u64),
            ("crossdock_inbox_overflow", "1 while more inbox rows wait in the store.", u64::from(view.inbox.1)),
            ("crossdock_nodes_available", "Nodes on the store whose hearts beat.", available),
            ("crossdock_partitions_owned", "Partitions that are this node's.", partitions),
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

    fn readiness(&self) -> Result<(), HubError> {
        self.accepts()?;
        if *self.leaving.borrow() { Err(HubError::Stopping) } else { Ok(()) }
    }

    fn accepts(&self) -> Result<(), HubError> {
        if self.is_fenced() {
            return Err(HubError::Superseded);
        }
        if let Some(error) = &*self.store_silent.read().unwrap_or_else(PoisonError::into_inner) {
            return Err(error.clone().into());
        }
        self.check_open()
    }
}
