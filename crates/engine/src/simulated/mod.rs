//! The simulated shell: drives the real core and real connectors over virtual time, against any `Store` and any `Network`. It stands where
//! `shell` stands in production and decides as little. Time stands still while a store is asked, so one seed gives one trace.
//!
//! `Simulated` is one hub, the only one on its store or one of several; `Nodes` runs several together.

mod membership;
mod nodes;

pub use nodes::{Door, Node, Nodes};

use crate::{
    System, Wiring,
    core::{Config, Core, End, Ended, HubMessage, Input, Job, JobKind, Output},
};
use crossdock_canonical::{Duration, OrderRef, SystemName, Timestamp};
use crossdock_connect::{
    Exchange, Message, Next, NextPoll, NextProbe, Probe, Token, TransportError,
    http::{Request, Response},
};
use crossdock_store::{Accepted, Addressee, Committed, CursorWrite, InboxRow, Intake, ProcessKey, Store, StoreError, Transition};
use crossdock_value::Value;
use membership::Membership;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

/// Turns at one instant beyond which a run is taken to go round in circles.
const TURNS_MAX: u32 = 1_000_000;

/// The world outside the hub.
pub trait Network {
    /// One request arrives at a system. The answer (or how the request ended without one) comes after the delay.
    fn send(&mut self, system: &SystemName, request: &Request, now: Timestamp) -> (Result<Response, TransportError>, Duration);

    /// Webhooks that leave systems by now.
    fn webhooks(&mut self, now: Timestamp) -> Vec<(SystemName, Request)>;

    /// When something will next happen out there by itself.
    fn next_event(&self) -> Option<Timestamp>;

    /// Whether the sender of a webhook was told that it was taken.
    fn webhook_answered(&mut self, system: &SystemName, request: &Request, taken: bool, now: Timestamp);
}

/// Faults of the store that a run may inject, asked before each commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    None,
    /// Nothing is written and the caller is told so.
    Refused,
    /// It is written, but the reply is lost.
    ReplyLost,
    /// Nothing is written, and the reply is lost.
    Vanished,
    /// It is written, and the reply takes so long.
    Slow(Duration),
}

enum Event {
    Core(Box<Input>),
    Step(Attempt),
    Poll(SystemName),
}

struct Attempt {
    job: Box<Job>,
    exchanges: Vec<Exchange>,
    started: Timestamp,
    renewed: bool,
}

pub struct Simulated<N> {
    pub core: Core,
    pub network: N,
    pub now: Timestamp,
    store: Arc<dyn Store>,
    wiring: Wiring,
    config: Config,
    events: BTreeMap<(Timestamp, u64), Event>,
    sequence: u64,
    tokens: HashMap<SystemName, (Token, Timestamp)>,
    /// One of several nodes.
    membership: Option<Membership>,
    /// Partitions that a commit found to be another's.
    pub superseded: Vec<u16>,
    /// It stored messages of which other nodes have not heard.
    has_stored: bool,
    answers: HashMap<crossdock_store::InboxId, Result<crossdock_flows::Answer, crate::HubError>>,
    commit_fault: Box<dyn FnMut(&Transition) -> CommitFault>,
    trace: Sha256,
    /// Inputs the core has heard.
    pub steps: u64,
}

impl<N: Network> Simulated<N> {
    /// The only hub on its store.
    pub fn new(config: Config, wiring: Wiring, store: Arc<dyn Store>, network: N, now: Timestamp) -> Self {
        let mut simulated = Self::idle(config, wiring, store, network, now);
        simulated.boot();
        simulated
    }

    /// One of several nodes on a store, which takes turns with the others and has no partition before its second. `lease` is how long a
    /// heartbeat must stand still.
    pub fn node(
        name: Arc<str>,
        lease: Duration,
        config: Config,
        wiring: Wiring,
        store: Arc<dyn Store>,
        network: N,
        now: Timestamp,
    ) -> Self {
        let membership = Some(Membership::new(name, lease, now));
        let mut simulated = Self { membership, ..Self::idle(config, wiring, store, network, now) };
        simulated.boot();
        simulated
    }

    fn idle(config: Config, wiring: Wiring, store: Arc<dyn Store>, network: N, now: Timestamp) -> Self {
        Self {
            core: Core::new(config.clone(), wiring.clone(), now),
            network,
            now,
            store,
            wiring,
            config,
            events: BTreeMap::new(),
            sequence: 0,
            tokens: HashMap::new(),
            membership: None,
            superseded: Vec::new(),
            has_stored: false,
            answers: HashMap::new(),
            commit_fault: Box::new(|_| CommitFault::None),
            trace: Sha256::new(),
            steps: 0,
        }
    }

    /// Other nodes may have stored messages; a store tells of it a little later.
    pub fn hear_of_arrivals(&mut self) {
        self.tell(Duration::millis(1), Input::Arrived);
    }

    /// Whether it stored messages since this was asked last.
    fn has_stored(&mut self) -> bool {
        std::mem::take(&mut self.has_stored)
    }

    /// When something will next happen at this hub by itself.
    pub fn next_event(&self) -> Option<Timestamp> {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        [event, self.core.wake_at(), self.next_turn()].into_iter().flatten().min()
    }

    fn next_turn(&self) -> Option<Timestamp> {
        self.membership.as_ref().and_then(Membership::next_turn)
    }

    /// A node hands over what it has and goes; `has_left` says when it is gone.
    pub fn leave(&mut self) {
        if let Some(membership) = &mut self.membership {
            let given = membership.leave(self.now);
            self.step(Input::GiveUp(given));
        }
    }

    pub fn is_leaving(&self) -> bool {
        self.membership.as_ref().is_some_and(Membership::is_leaving)
    }

    pub fn has_left(&self) -> bool {
        self.membership.as_ref().is_some_and(Membership::has_left)
    }

    pub fn on_commit(&mut self, fault: impl FnMut(&Transition) -> CommitFault + 'static) {
        self.commit_fault = Box::new(fault);
    }

    /// The hub dies and a new one starts on the same store. Whatever was under way is never heard of.
    pub fn crash(&mut self) {
        self.events.clear();
        self.tokens.clear();
        self.core = Core::new(self.config.clone(), self.wiring.clone(), self.now);
        if let Some(membership) = &mut self.membership {
            membership.restart(self.now);
        }
        self.boot();
    }

    /// The hub dies, and another version of it starts on the same store.
    pub fn upgrade(&mut self, wiring: Wiring) {
        self.wiring = wiring;
        self.crash();
    }

    /// Accepts an order as the experience API does.
    pub fn accept_order(&mut self, source: &SystemName, order: &OrderRef, body: &[u8]) -> Result<Accepted, StoreError> {
        let intake = Intake {
            to: Addressee::Process(ProcessKey::new("order", &order.to_string())),
            source: source.clone(),
            message_id: None,
            kind: "order.placed".into(),
            actor: "key:test".into(),
            body: crossdock_connect::scrub::scrub(body).bytes.into(),
            subject: format!("order:{order}").into(),
            at: self.now,
            starts: true,
        };
        Ok(self.accept(vec![intake], None)?[0])
    }

    /// Gives a command; its answer is found by `answer` when it is folded.
    pub fn command(&mut self, process: &ProcessKey, name: &str, body: Value, key: &str) -> Result<Accepted, StoreError> {
        let message = HubMessage::Command { name: name.into(), body, key: key.into(), seen_version: None, birth: None };
        let intake = Intake {
            to: Addressee::Process(process.clone()),
            source: SystemName::new("api"),
            message_id: Some(format!("{process}/{key}").into()),
            kind: "command".into(),
            actor: "person:test".into(),
            body: message.to_bytes(),
            subject: "system:hub".into(),
            at: self.now,
            starts: false,
        };
        Ok(self.accept(vec![intake], None)?[0])
    }

    pub fn answer(&self, row: crossdock_store::InboxId) -> Option<&Result<crossdock_flows::Answer, crate::HubError>> {
        self.answers.get(&row)
    }

    /// A person says that a system may be called again.
    pub fn resume(&mut self, system: &SystemName) {
        if let Some(membership) = &mut self.membership {
            membership.ask_all(format!("resume/{system}"), self.now);
        }
        self.step(Input::Resume(system.clone()));
    }

    /// Asks the systems about every settled effect of a process.
    pub fn reconcile(&mut self, process: &ProcessKey) {
        self.step(Input::Reconcile(process.clone()));
    }

    /// Runs until nothing more will happen before `until`, or until `done` says so; whether `done` did.
    ///
    /// # Panics
    /// When the core asks again and again to be woken and time does not move: in production that is a processor at full load.
    pub fn run(&mut self, until: Timestamp, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let (mut since, mut turns) = (self.now, 0_u32);
        loop {
            if done(self) {
                return true;
            }
            let next = [self.next_event(), self.network.next_event()].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= until) else {
                self.now = self.now.max(until);
                return done(self);
            };
            self.now = self.now.max(next);
            turns = if self.now == since { turns + 1 } else { 0 };
            since = self.now;
            assert!(turns < TURNS_MAX, "the core spins at {}: wake at {:?}", self.now, self.core.wake_at());
            self.turn();
        }
    }

    /// The hash of everything the core heard, in order.
    pub fn trace_hash(&self) -> String {
        self.trace.clone().finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
    }

    fn boot(&mut self) {
        for name in self.wiring.systems.keys() {
            if let Ok(Some(bytes)) = at_once(self.store.cursor(&breaker_cursor(name)))
                && let Ok(state) = serde_json::from_slice(&bytes)
            {
                self.core.restore_breaker(name, state);
            }
        }
        if self.membership.is_none() {
            let leases = at_once(self.store.lease("simulated", self.now)).unwrap_or_default();
            self.step(Input::Gained(leases));
        }
        let mut polled: Vec<SystemName> =
            self.wiring.systems.values().filter(|s| s.poll_every.is_some()).map(|s| s.name.clone()).collect();
        polled.sort();
        for system in polled {
            self.schedule(Duration::millis(1), Event::Poll(system));
        }
    }

    fn turn(&mut self) {
        for (system, request) in self.network.webhooks(self.now) {
            let taken = self.webhook(&system, &request);
            self.network.webhook_answered(&system, &request, taken, self.now);
        }
        let due = self.events.first_key_value().is_some_and(|((at, _), _)| *at <= self.now);
        match if due { self.events.pop_first() } else { None } {
            Some((_, Event::Core(input))) => self.step(*input),
            Some((_, Event::Step(attempt))) => self.drive(attempt),
            Some((_, Event::Poll(system))) => self.poll(&system),
            // Work that was begun goes on first: a node that stood still learns of it only afterwards.
            None if self.next_turn().is_some_and(|at| at <= self.now) => self.take_turn(),
            None => self.step(Input::Tick),
        }
    }

    fn take_turn(&mut self) {
        let Some(membership) = &mut self.membership else { return };
        for input in membership.take_turn(&*self.store, self.now) {
            self.step(input);
        }
    }

    /// Whether a call may leave: always on a store of one node, else while nobody can have taken its partition.
    fn may_leave(&self, job: &Job) -> bool {
        self.membership.as_ref().is_none_or(|membership| membership.is_sure_of(job.process.partition(), self.now))
    }

    /// What the store says of a transition, and after how long.
    fn commit(&mut self, transition: Transition) -> (Result<Committed, StoreError>, Duration) {
        let (lost, soon) = (|| Err(StoreError::Unknown("injected".into())), Duration::millis(1));
        let fault = (self.commit_fault)(&transition);
        match fault {
            CommitFault::Refused => return (Err(StoreError::Unavailable("injected".into())), soon),
            CommitFault::Vanished => return (lost(), soon),
            CommitFault::None | CommitFault::ReplyLost | CommitFault::Slow(_) => {}
        }
        let speaks = !transition.messages.is_empty();
        let committed = at_once(self.store.commit(transition));
        self.has_stored |= speaks && committed.is_ok();
        match fault {
            CommitFault::ReplyLost if committed.is_ok() => (lost(), soon),
            CommitFault::Slow(time) => (committed, time),
            _ => (committed, soon),
        }
    }

    fn step(&mut self, input: Input) {
        self.steps += 1;
        self.trace.update(self.now.0.to_be_bytes());
        self.trace.update(name_of(&input));
        let mut out = Vec::new();
        self.core.step(input, self.now, &mut out);
        for output in out {
            self.perform(output);
        }
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + after, self.sequence), event);
    }

    fn tell(&mut self, after: Duration, input: Input) {
        self.schedule(after, Event::Core(Box::new(input)));
    }

    fn perform(&mut self, output: Output) {
        let soon = Duration::millis(1);
        let store = self.store.clone();
        match output {
            Output::Answer { row, result } => {
                self.answers.insert(row, result);
            }
            Output::Commit(transition) => {
                self.trace.update(&transition.action.as_bytes()[..transition.action.len().min(64)]);
                let (process, id) = (transition.process.clone(), transition.id);
                let (result, after) = self.commit(*transition);
                self.tell(after, Input::Committed { process, transition: id, result });
            }
            Output::Send(job) if matches!(job.kind, JobKind::Attempt | JobKind::Retract(_)) && !self.may_leave(&job) => {
                let attempt = Attempt { job, exchanges: Vec::new(), started: self.now, renewed: false };
                self.end(attempt, End::NotSent);
            }
            Output::Send(job) => self.drive(Attempt { job, exchanges: Vec::new(), started: self.now, renewed: false }),
            Output::Load(process) => {
                let result = at_once(store.load(&process));
                let pin = result.as_ref().ok().and_then(Option::as_ref).and_then(|loaded| {
                    let hash = &loaded.row.policy;
                    let bytes = at_once(store.pin(hash)).ok()??;
                    self.wiring.policies.read(hash, &bytes).ok()
                });
                self.tell(soon, Input::Loaded { process, result: result.map(|l| l.map(Box::new)), pin });
            }
            Output::StorePin(pin) => {
                let result = at_once(store.put_pin(&pin.hash, pin.bytes.to_vec()));
                self.tell(soon, Input::PinStored { hash: pin.hash, result });
            }
            Output::LookUp { process, transition } => {
                let result = at_once(store.was_committed(&process, transition));
                self.tell(Duration::millis(50), Input::LookedUp { process, transition, result });
            }
            Output::LoadRequest(fetch) => {
                let bytes = at_once(store.payload(&fetch.process, &fetch.hash));
                self.tell(soon, Input::RequestLoaded { fetch, bytes });
            }
            Output::Resolve(row) => {
                let process = match &row.to {
                    Addressee::Theirs { system, kind, id } => at_once(store.resolve(system.as_str(), kind, id)),
                    Addressee::Process(process) => Ok(Some(process.clone())),
                };
                self.tell(soon, Input::Resolved { row, process });
            }
            Output::ReadInbox { of, after, limit } => {
                let page = at_once(store.inbox(of, after, limit)).unwrap_or_default();
                let (complete, held_back) = (page.rows.len() < limit, page.held_back);
                self.tell(soon, Input::InboxRead { complete, held_back, rows: page.rows });
            }
            Output::ReadDue { of, system, before, limit } => {
                let effects = at_once(store.due_effects(of, system.as_str(), before, limit)).unwrap_or_default();
                self.tell(soon, Input::Due { complete: effects.len() < limit, system, effects });
            }
            Output::ReadTimers { of, before, limit } => {
                let timers = at_once(store.due_timers(of, before, limit)).unwrap_or_default();
                self.tell(soon, Input::Timers { complete: timers.len() < limit, timers, until: before });
            }
            Output::GaveUp(release) => {
                if let Some(membership) = &mut self.membership {
                    membership.gave_up(release, self.now);
                }
            }
            Output::Superseded(partition) => {
                self.superseded.push(partition);
                if let Some(membership) = &mut self.membership {
                    membership.superseded(partition, self.now);
                }
            }
            Output::SaveBreaker { system, state } => {
                if let Some(membership) = &mut self.membership {
                    membership.tell(&system, &state);
                }
                let body = serde_json::to_vec(&state).expect("a breaker state is plain data");
                let _ = at_once(store.set_cursor(CursorWrite { name: breaker_cursor(&system).into(), body, seen: None }));
            }
        }
    }

    /// Goes on with an attempt until it must wait for an answer or has ended.
    fn drive(&mut self, mut attempt: Attempt) {
        let Some(system) = self.wiring.systems.get(&attempt.job.call.system).cloned() else { return };
        let job = &attempt.job;
        let request = match &job.kind {
            JobKind::Attempt => match system.connector.next(&job.call, &job.prepared, &attempt.exchanges) {
                Next::Send(request) => Ok(request),
                Next::End(outcome) => Err(End::Attempt(outcome)),
            },
            JobKind::Probe | JobKind::Audit => match system.connector.probe(&job.call, &job.prepared, &attempt.exchanges) {
                NextProbe::Send(request) => Ok(request),
                NextProbe::End(probe) => Err(if job.kind == JobKind::Audit { End::Audit(probe) } else { End::Probe(probe) }),
            },
            JobKind::Retract(copies) => match system.connector.retract(&job.call, copies, &attempt.exchanges) {
                Next::Send(request) => Ok(request),
                Next::End(outcome) => Err(End::Retract(outcome)),
            },
        };
        match request {
            Ok(request) if attempt.exchanges.len() < 64 => {
                let timeout = Duration(system.connector.capability(job.call.operation).map_or(30_000, |c| c.timeout_ms));
                let (answer, delay) = self.exchange(&system, &request, timeout, &mut attempt.renewed);
                attempt.exchanges.push(Exchange { request, answer });
                self.schedule(delay, Event::Step(attempt));
            }
            Ok(_) => {
                let outcome = crossdock_canonical::Outcome::unknown("too_many_exchanges", "");
                let end = match attempt.job.kind {
                    JobKind::Attempt => End::Attempt(outcome),
                    JobKind::Probe => End::Probe(Probe::Unclear(outcome)),
                    JobKind::Audit => End::Audit(Probe::Unclear(outcome)),
                    JobKind::Retract(_) => End::Retract(outcome),
                };
                self.end(attempt, end);
            }
            Err(end) => self.end(attempt, end),
        }
    }

    fn end(&mut self, attempt: Attempt, end: End) {
        let response = attempt.exchanges.last().and_then(|e| e.answer.as_ref().ok()).map(|r| r.body.clone());
        let Job { process, no, generation, epoch, call, .. } = *attempt.job;
        let took = self.now - attempt.started;
        let ended = Ended { process, system: call.system, no, generation, epoch, end, response, took };
        self.tell(Duration(0), Input::Ended(Box::new(ended)));
    }

    /// One request with credentials, as the HTTP client does it: a token where one is needed, renewed once when rejected.
    fn exchange(
        &mut self,
        system: &System,
        request: &Request,
        timeout: Duration,
        renewed: &mut bool,
    ) -> (Result<Response, TransportError>, Duration) {
        let mut signed = request.clone();
        let mut waited = Duration(0);
        if signed.authorize {
            match self.token(system) {
                Ok((token, took)) => {
                    waited = waited_for(waited, took);
                    system.connector.authorize(&mut signed, token.as_ref());
                }
                Err((error, took)) => return (Err(error), took),
            }
        }
        let (answer, took) = self.network.send(&system.name, &signed, self.now);
        let took = waited_for(waited, took);
        match answer {
            Ok(response)
                if response.status == 401 && signed.authorize && !*renewed && system.connector.token_request().is_some() =>
            {
                *renewed = true;
                self.tokens.remove(&system.name);
                let (answer, again) = self.exchange(system, request, timeout, renewed);
                (answer, waited_for(took, again))
            }
            _ if took > timeout => (Err(TransportError::Timeout(timeout.0)), timeout),
            answer => (answer, took),
        }
    }

    fn token(&mut self, system: &System) -> Result<(Option<Token>, Duration), (TransportError, Duration)> {
        let Some(request) = system.connector.token_request() else { return Ok((None, Duration(0))) };
        if let Some((token, until)) = self.tokens.get(&system.name)
            && *until > self.now
        {
            return Ok((Some(token.clone()), Duration(0)));
        }
        let (answer, took) = self.network.send(&system.name, &request, self.now);
        let refused = |text: String| (TransportError::NotAuthorized(text), took);
        let response = answer.map_err(|e| refused(e.to_string()))?;
        let token = system.connector.token(&response).map_err(|o| refused(o.code))?;
        self.tokens.insert(system.name.clone(), (token.clone(), self.now + Duration(token.lives_ms * 9 / 10)));
        Ok((Some(token), took))
    }

    fn poll(&mut self, name: &SystemName) {
        let Some(system) = self.wiring.systems.get(name).cloned() else { return };
        let Some(every) = system.poll_every else { return };
        let cursor_name: Arc<str> = format!("poll/{name}").into();
        if self.membership.as_ref().is_some_and(|membership| !membership.is_in_charge_of(&cursor_name, self.now)) {
            self.schedule(every, Event::Poll(name.clone()));
            return;
        }
        let seen = at_once(self.store.cursor(&cursor_name)).ok().flatten().unwrap_or_default();
        let cursor = crossdock_value::parse(&seen, &crossdock_value::Limits::default()).unwrap_or_default();
        let mut exchanges = Vec::new();
        let mut took = Duration(0);
        let mut again = every;
        while exchanges.len() < 64 {
            match system.connector.poll(&cursor, &exchanges, self.now) {
                Some(NextPoll::Send(request)) => {
                    let (answer, delay) = self.exchange(&system, &request, Duration::seconds(60), &mut false);
                    took = waited_for(took, delay);
                    exchanges.push(Exchange { request, answer });
                }
                Some(NextPoll::Page { messages, cursor, more }) => {
                    let rows = messages.into_iter().map(|m| self.intake_of(name, m)).collect();
                    let write = CursorWrite { name: cursor_name, body: crossdock_value::to_json(&cursor), seen: Some(seen) };
                    let _ = self.accept(rows, Some(write));
                    again = if more { Duration::millis(1) } else { every };
                    break;
                }
                Some(NextPoll::Failed(_)) | None => break,
            }
        }
        self.schedule(waited_for(again, took), Event::Poll(name.clone()));
    }

    /// A webhook arrives; whether it was taken.
    pub fn webhook(&mut self, name: &SystemName, request: &Request) -> bool {
        let Some(system) = self.wiring.systems.get(name).cloned() else { return false };
        match system.connector.webhook(name, request, self.now) {
            Ok(messages) => {
                let rows = messages.into_iter().map(|m| self.intake_of(name, m)).collect();
                self.accept(rows, None).is_ok()
            }
            Err(error) => {
                tracing::debug!(%name, %error, "webhook not taken");
                false
            }
        }
    }

    fn intake_of(&self, system: &SystemName, message: Message) -> Intake {
        crate::core::intake_of(system, message, self.now)
    }

    /// Accepts rows as an intake does. When it returns they are in the store, and the core hears of them a little later.
    pub fn accept(&mut self, rows: Vec<Intake>, cursor: Option<CursorWrite>) -> Result<Vec<Accepted>, StoreError> {
        let kept = rows.clone();
        let accepted = at_once(self.store.accept(rows, cursor))?;
        for (intake, accepted) in kept.into_iter().zip(&accepted) {
            if let Accepted::Stored(id) = accepted {
                self.has_stored = true;
                let row: InboxRow = crate::core::row_of(intake, *id);
                self.tell(Duration::millis(1), Input::Inbox(row));
            }
        }
        Ok(accepted)
    }
}

fn breaker_cursor(system: &SystemName) -> String {
    format!("breaker/{system}")
}

fn waited_for(a: Duration, b: Duration) -> Duration {
    Duration(a.0 + b.0)
}

/// What a store answers, in no time: a store that answers from threads of its own is waited for, and simulated time stands still.
pub fn at_once<T>(answer: impl Future<Output = T>) -> T {
    struct Caller(Thread);

    impl Wake for Caller {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut answer = pin!(answer);
    let waker = Waker::from(Arc::new(Caller(thread::current())));
    loop {
        match answer.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}

/// A word for the trace.
fn name_of(input: &Input) -> &'static [u8] {
    match input {
        Input::Gained(_) => b"gained",
        Input::Lost(_) => b"lost",
        Input::GiveUp(_) => b"give_up",
        Input::Share { .. } => b"share",
        Input::Warned(..) => b"warned",
        Input::Inbox(_) => b"inbox",
        Input::Arrived => b"arrived",
        Input::InboxRead { .. } => b"inbox_read",
        Input::Loaded { .. } => b"loaded",
        Input::PinStored { .. } => b"pinned",
        Input::Committed { .. } => b"committed",
        Input::LookedUp { .. } => b"looked_up",
        Input::Ended(_) => b"ended",
        Input::RequestLoaded { .. } => b"request",
        Input::Resolved { .. } => b"resolved",
        Input::Due { .. } => b"due",
        Input::Timers { .. } => b"timers",
        Input::Reconcile(_) => b"reconcile",
        Input::Resume(_) => b"resume",
        Input::Tick => b"tick",
    }
}
