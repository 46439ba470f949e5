//! Lets the core run any flow without knowing its types.

use crossdock_canonical::Timestamp;
use crossdock_flows::{Answer, Flow, Input, Plan, Policy};
use crossdock_value::Value;
use serde_json::value::RawValue;
use std::{any::Any, marker::PhantomData, sync::Arc};

/// A flow with its types erased.
pub trait Driver: Send + Sync {
    fn kind(&self) -> &'static str;
    fn schema(&self) -> u32;
    fn logic(&self) -> u32;
    /// Whether a message of this kind begins a process.
    fn starts_with(&self, message: &str) -> bool;
    fn fresh(&self) -> State;
    fn read(&self, schema: u32, bytes: &[u8]) -> Result<State, String>;
    fn step(&self, state: &State, input: &Input, policy: &Policy, logic: u32, at: Timestamp) -> Step;
    /// The state without the end of this effect; `None` if the flow heard none.
    fn reopened(&self, state: &State, step: &str, intent: &str) -> Option<State>;
    /// The state in which this effect was still called for; `None` if that cannot be told.
    fn before_called_off(&self, state: &State, step: &str, intent: &str) -> Option<State>;
    /// The document after a command that amends it; `None` for every other command.
    fn amended(&self, command: &str, document: &Value, body: &Value) -> Option<Value>;
    /// What a state calls for, without hearing anything.
    fn plan(&self, state: &State, policy: &Policy, logic: u32, at: Timestamp) -> Plan;
}

/// A flow's state, shared between a lane's memory and the draft it may become.
#[derive(Clone)]
pub struct State(Arc<dyn Any + Send + Sync>);

/// What one input led to.
pub struct Step {
    pub state: State,
    pub bytes: Arc<[u8]>,
    pub events: Vec<EventRecord>,
    pub answer: Option<Answer>,
    pub plan: Plan,
}

#[derive(serde::Serialize)]
pub struct EventRecord {
    pub name: &'static str,
    pub body: Box<RawValue>,
}

/// `Driver` for one flow.
pub struct FlowDriver<F>(PhantomData<fn() -> F>);

impl<F> Default for FlowDriver<F> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<F: Flow> Driver for FlowDriver<F>
where
    F::State: Sync,
{
    fn kind(&self) -> &'static str {
        F::KIND
    }

    fn schema(&self) -> u32 {
        F::SCHEMA
    }

    fn logic(&self) -> u32 {
        F::LOGIC
    }

    fn starts_with(&self, message: &str) -> bool {
        F::STARTS.iter().any(|kind| *kind == message || *kind == "*")
    }

    fn fresh(&self) -> State {
        State(Arc::new(F::State::default()))
    }

    fn read(&self, schema: u32, bytes: &[u8]) -> Result<State, String> {
        let state = if schema == F::SCHEMA {
            serde_json::from_slice(bytes).map_err(|e| e.to_string())?
        } else {
            let value = crossdock_value::parse(bytes, &crossdock_value::Limits::default()).map_err(|e| e.to_string())?;
            F::upcast(schema, value).map_err(|e| e.to_string())?
        };
        Ok(State(Arc::new(state)))
    }

    fn step(&self, state: &State, input: &Input, policy: &Policy, logic: u32, at: Timestamp) -> Step {
        let before: &F::State = state.0.downcast_ref().expect("a lane keeps the state its own driver made");
        let heard = F::hear(before, input, policy, at);
        let after = heard.events.iter().fold(before.clone(), |state, event| F::apply(state, event, at));
        let plan = F::decide(&after, policy, logic, at);
        let events = heard
            .events
            .iter()
            .map(|event| EventRecord {
                name: F::event_name(event),
                body: serde_json::value::to_raw_value(event).expect("events are plain data with string keys"),
            })
            .collect();
        let bytes = serde_json::to_vec(&after).expect("states are plain data with string keys").into();
        Step { state: State(Arc::new(after)), bytes, events, answer: heard.answer, plan }
    }

    fn reopened(&self, state: &State, step: &str, intent: &str) -> Option<State> {
        let state: &F::State = state.0.downcast_ref().expect("a lane keeps the state its own driver made");
        F::reopened(state, step, intent).map(|state| State(Arc::new(state)))
    }

    fn before_called_off(&self, state: &State, step: &str, intent: &str) -> Option<State> {
        let state: &F::State = state.0.downcast_ref().expect("a lane keeps the state its own driver made");
        F::before_called_off(state, step, intent).map(|state| State(Arc::new(state)))
    }

    fn amended(&self, command: &str, document: &Value, body: &Value) -> Option<Value> {
        F::amended(command, document, body)
    }

    fn plan(&self, state: &State, policy: &Policy, logic: u32, at: Timestamp) -> Plan {
        let state: &F::State = state.0.downcast_ref().expect("a lane keeps the state its own driver made");
        F::decide(state, policy, logic, at)
    }
}

/// Folds recorded events again, for `verify`: the state that the journal gives.
pub fn refold<F: Flow>(events: &[(Timestamp, Box<RawValue>)]) -> Result<F::State, serde_json::Error> {
    events.iter().try_fold(F::State::default(), |state, (at, body)| {
        let event: F::Event = serde_json::from_str(body.get())?;
        Ok(F::apply(state, &event, *at))
    })
}
