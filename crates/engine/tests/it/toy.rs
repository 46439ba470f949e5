//! A flow that does what its first message says: a list of calls one after the other (or all at once), timers, questions to others.

use crossdock_canonical::{Duration, Operation, Outcome, SystemName, Timestamp};
use crossdock_flows::{Effect, Exception, Flow, Heard, Input, Plan, Policy, Reply, Status, Summary, Target, Timer};
use crossdock_value::{Value, value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const STEPS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    pub script: Vec<Step>,
    /// Step -> class of its end.
    pub ended: BTreeMap<String, String>,
    pub notes: Vec<i64>,
    pub timers: BTreeMap<String, Timestamp>,
    pub fired: Vec<String>,
    /// Whom it asked, and what they answered.
    pub asked: BTreeMap<String, String>,
    /// Keys of the questions it was asked.
    pub questions: Vec<String>,
    /// Steps it no longer calls for, and those it heard were withdrawn.
    pub dropped: Vec<String>,
    pub withdrawn: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub system: String,
    pub operation: String,
    pub deadline_ms: i64,
    /// Does not wait for the step before it.
    #[serde(default)]
    pub at_once: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    Placed { script: Vec<Step> },
    Ended { step: String, class: String },
    Noted { n: i64 },
    TimerSet { name: String, due: Option<Timestamp> },
    Fired { name: String },
    Asked { whom: String },
    Answered { whom: String, class: String },
    Questioned { key: String },
    Dropped { step: String, wanted: bool },
    Withdrawn { step: String },
}

pub fn hear(state: &State, input: &Input) -> Heard<Event> {
    match input {
        Input::Message { kind, body, .. } => match kind.as_str() {
            "toy.placed" | "order.placed" if state.script.is_empty() => {
                let script = if kind == "toy.placed" { body.get("script") } else { body.get("custom").get("c_script") };
                Heard::events(vec![Event::Placed { script: crossdock_value::from_value(script).expect("tests write scripts") }])
            }
            "toy.note" => Heard::events(vec![Event::Noted { n: body.get("n").as_i64().expect("a number") }]),
            "toy.timer" => {
                let name = body.get("name").as_str().expect("a name").to_owned();
                Heard::events(vec![Event::TimerSet { name, due: body.get("due").as_i64().map(Timestamp) }])
            }
            "toy.drop" | "toy.want" => {
                let step = body.get("step").as_str().expect("a step").to_owned();
                Heard::events(vec![Event::Dropped { step, wanted: kind == "toy.want" }])
            }
            "toy.ask" => Heard::events(vec![Event::Asked { whom: body.get("whom").as_str().expect("a key").to_owned() }]),
            _ => Heard::nothing(),
        },
        Input::Settled { step, intent, outcome } => Heard::events(vec![ended(step, intent, outcome.class.as_str())]),
        Input::Skipped { step, intent, .. } => Heard::events(vec![ended(step, intent, "skipped")]),
        Input::Withdrawn { step, .. } => Heard::events(vec![Event::Withdrawn { step: step.clone() }]),
        Input::Timer { name } => Heard::events(vec![Event::Fired { name: name.clone() }]),
        Input::Command { name, key, .. } => match name.as_str() {
            "ping" => Heard::taken(vec![Event::Questioned { key: key.clone() }]),
            "note" => Heard::taken(vec![Event::Noted { n: 0 }]),
            _ => Heard::refused("unknown_command", "a toy takes ping and note"),
        },
    }
}

fn ended(step: &str, intent: &str, class: &str) -> Event {
    if step == "ask" {
        Event::Answered { whom: intent.to_owned(), class: class.to_owned() }
    } else {
        Event::Ended { step: step.to_owned(), class: class.to_owned() }
    }
}

pub fn apply(mut state: State, event: &Event) -> State {
    match event {
        Event::Placed { script } => state.script.clone_from(script),
        Event::Ended { step, class } => {
            state.ended.insert(step.clone(), class.clone());
        }
        Event::Noted { n } => state.notes.push(*n),
        Event::TimerSet { name, due: Some(due) } => {
            state.timers.insert(name.clone(), *due);
        }
        Event::TimerSet { name, due: None } => {
            state.timers.remove(name);
        }
        Event::Fired { name } => {
            state.timers.remove(name);
            state.fired.push(name.clone());
        }
        Event::Asked { whom } => {
            state.asked.insert(whom.clone(), String::new());
        }
        Event::Answered { whom, class } => {
            state.asked.insert(whom.clone(), class.clone());
        }
        Event::Questioned { key } => state.questions.push(key.clone()),
        Event::Dropped { step, wanted: true } => state.dropped.retain(|dropped| dropped != step),
        Event::Dropped { step, wanted: false } => state.dropped.push(step.clone()),
        Event::Withdrawn { step } => state.withdrawn.push(step.clone()),
    }
    state
}

pub fn decide(state: &State, kind: &'static str) -> Plan {
    let through = |name: &str| matches!(state.ended.get(name).map(String::as_str), Some("done" | "skipped"));
    let mut plan = Plan::default();
    let mut open = true;
    for (step, name) in state.script.iter().zip(STEPS) {
        if state.dropped.iter().any(|dropped| dropped == name) {
            continue;
        }
        if (open || step.at_once) && !state.ended.contains_key(name) {
            plan.effects.push(Effect {
                step: name,
                intent: String::new(),
                target: Target::System(SystemName::new(&step.system)),
                operation: step.operation.parse::<Operation>().expect("tests name operations"),
                args: value!({"step": name}),
                deadline: Duration(step.deadline_ms),
            });
        }
        open = open && through(name);
        let end = state.ended.get(name).map(String::as_str);
        if let Some(class @ ("refused" | "reversed")) = end {
            plan.exceptions.push(Exception {
                name: format!("{name} {class}"),
                class: class.into(),
                step: Some(name.into()),
                intent: None,
                cause: format!("{name} was {class}"),
                suggestion: "look".into(),
            });
        }
    }
    for whom in state.asked.keys() {
        plan.effects.push(Effect {
            step: "ask",
            intent: whom.clone(),
            target: Target::Process { kind, key: whom.clone() },
            operation: Operation::HubCommand,
            args: value!({"command": "ping", "body": {}}),
            deadline: Duration::minutes(1),
        });
    }
    plan.replies = state.questions.iter().map(|key| Reply { to: key.clone(), outcome: Outcome::done(Value::Null) }).collect();
    plan.timers = state.timers.iter().map(|(name, due)| Timer { name: name.clone(), due: *due }).collect();
    let closed =
        !state.script.is_empty() && open && state.timers.is_empty() && state.asked.values().all(|answer| !answer.is_empty());
    plan.summary = Summary {
        stage: if closed { "closed" } else { "going" }.into(),
        status: if closed { Status::Closed } else { Status::Open },
        waiting_for: String::new(),
    };
    plan
}

macro_rules! toy_flow {
    ($name:ident, $kind:literal, $starts:expr) => {
        pub struct $name;

        impl Flow for $name {
            type State = State;
            type Event = Event;
            const KIND: &'static str = $kind;
            const SCHEMA: u32 = 1;
            const LOGIC: u32 = 1;
            const STARTS: &'static [&'static str] = $starts;

            fn hear(state: &State, input: &Input, _: &Policy, _: Timestamp) -> Heard<Event> {
                hear(state, input)
            }
            fn apply(state: State, event: &Event, _: Timestamp) -> State {
                apply(state, event)
            }
            fn decide(state: &State, policy: &Policy, _: u32, _: Timestamp) -> Plan {
                let mut plan = decide(state, $kind);
                // So that a test sees under which policy it ran.
                plan.summary.waiting_for = policy.market.to_string();
                plan
            }
            fn reopened(state: &State, step: &str, _: &str) -> Option<State> {
                let mut state = state.clone();
                state.ended.remove(step).map(|_| state)
            }
            fn before_called_off(state: &State, step: &str, _: &str) -> Option<State> {
                let mut state = state.clone();
                state.dropped.retain(|dropped| dropped != step);
                Some(state)
            }
            fn event_name(event: &Event) -> &'static str {
                match event {
                    Event::Placed { .. } => "toy.placed",
                    Event::Ended { .. } => "toy.ended",
                    Event::Noted { .. } => "toy.noted",
                    Event::TimerSet { .. } => "toy.timer_set",
                    Event::Fired { .. } => "toy.fired",
                    Event::Asked { .. } => "toy.asked",
                    Event::Answered { .. } => "toy.answered",
                    Event::Questioned { .. } => "toy.questioned",
                    Event::Dropped { .. } => "toy.dropped",
                    Event::Withdrawn { .. } => "toy.withdrawn",
                }
            }
        }
    };
}

toy_flow!(Toy, "toy", &["toy.placed"]);
// A toy that starts with a canonical order, for what only orders have: a policy, a priority, a document.
toy_flow!(ToyOrder, "order", &["order.placed"]);
