//! Stray: a message about a record that nobody placed. It waits for a person here, so that it is never dropped in silence.

use crossdock_canonical::Timestamp;
use crossdock_flows::{Exception, Flow, Heard, Input, Plan, Policy, Status, Summary};
use serde::{Deserialize, Serialize};

/// Not a business flow; the engine's own.
pub struct Stray;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub from: String,
    pub kind: String,
    pub closed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    Arrived { from: String, kind: String },
    Closed { reason: String },
}

impl Flow for Stray {
    type State = State;
    type Event = Event;
    const KIND: &'static str = "stray";
    const SCHEMA: u32 = 1;
    const LOGIC: u32 = 1;
    const STARTS: &'static [&'static str] = &["*"];

    fn hear(_: &State, input: &Input, _: &Policy, _: Timestamp) -> Heard<Event> {
        match input {
            Input::Message { from, kind, .. } => {
                Heard::events(vec![Event::Arrived { from: from.to_string(), kind: kind.clone() }])
            }
            Input::Command { name, body, .. } if name == "close" => {
                let reason = body.get("reason").as_str().unwrap_or_default().to_owned();
                Heard::taken(vec![Event::Closed { reason }])
            }
            Input::Command { name, .. } => {
                Heard::refused("unknown_command", format!("a stray message takes only `close`, not {name}"))
            }
            Input::Settled { .. } | Input::Skipped { .. } | Input::Withdrawn { .. } | Input::Timer { .. } => Heard::nothing(),
        }
    }

    fn apply(state: State, event: &Event, _: Timestamp) -> State {
        match event {
            // Another one after it was closed opens it again.
            Event::Arrived { from, kind } => State { from: from.clone(), kind: kind.clone(), closed: false },
            Event::Closed { .. } => State { closed: true, ..state },
        }
    }

    fn decide(state: &State, _: &Policy, _: u32, _: Timestamp) -> Plan {
        let exception = Exception {
            name: "stray".into(),
            class: "stray".into(),
            step: None,
            intent: None,
            cause: format!("{} sent {} about a record that is not known here", state.from, state.kind),
            suggestion: "find out what it belongs to, then close it with a reason".into(),
        };
        Plan {
            exceptions: if state.closed { Vec::new() } else { vec![exception] },
            summary: Summary {
                stage: if state.closed { "closed" } else { "stray" }.into(),
                status: if state.closed { Status::Closed } else { Status::Open },
                waiting_for: String::new(),
            },
            ..Plan::default()
        }
    }

    fn reopened(_: &State, _: &str, _: &str) -> Option<State> {
        None
    }

    fn event_name(event: &Event) -> &'static str {
        match event {
            Event::Arrived { .. } => "stray.arrived",
            Event::Closed { .. } => "stray.closed",
        }
    }
}
