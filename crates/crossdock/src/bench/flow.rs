//! The flow of the benchmark: six effects, each named when the one before it is done. It is an order flow in shape only: it decides
//! nothing, so that what is measured is what every flow needs.

use crossdock_canonical::{Duration, Operation, OutcomeClass, SystemName, Timestamp};
use crossdock_flows::{Effect, Flow, Heard, Input, Plan, Policy, Status, Summary, Target};
use crossdock_value::Value;
use serde::{Deserialize, Serialize};

pub struct SixSteps;

/// One step: its name, its system, and what is asked of it.
pub struct Step {
    pub name: &'static str,
    pub system: &'static str,
    pub operation: Operation,
}

/// The steps in their order.
pub const STEPS: [Step; 6] = [
    Step { name: "screen", system: "fraud", operation: Operation::Screen },
    Step { name: "authorize", system: "payment", operation: Operation::PaymentAuthorize },
    Step { name: "reserve", system: "inventory", operation: Operation::Reserve },
    Step { name: "book", system: "erp", operation: Operation::ErpCreateOrder },
    Step { name: "release", system: "warehouse", operation: Operation::WmsRelease },
    Step { name: "notify", system: "notification", operation: Operation::Notify },
];

/// The message of an opaque order; a mapped one comes as `order.placed`.
pub const PLACED: &str = "bench.placed";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    placed: bool,
    /// Steps done, of `STEPS`.
    done: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    Placed,
    StepDone { step: String },
}

impl Flow for SixSteps {
    type State = State;
    type Event = Event;
    const KIND: &'static str = "order";
    const SCHEMA: u32 = 1;
    const LOGIC: u32 = 1;
    const STARTS: &'static [&'static str] = &[PLACED, "order.placed"];

    fn hear(state: &State, input: &Input, _: &Policy, _: Timestamp) -> Heard<Event> {
        match input {
            Input::Message { .. } if !state.placed => Heard::events(vec![Event::Placed]),
            Input::Settled { step, outcome, .. } if outcome.class == OutcomeClass::Done => {
                Heard::events(vec![Event::StepDone { step: step.clone() }])
            }
            Input::Skipped { step, .. } => Heard::events(vec![Event::StepDone { step: step.clone() }]),
            Input::Command { name, .. } => Heard::refused("unknown_command", format!("the benchmark's flow takes no {name}")),
            Input::Message { .. } | Input::Settled { .. } | Input::Withdrawn { .. } | Input::Timer { .. } => Heard::nothing(),
        }
    }

    fn apply(state: State, event: &Event, _: Timestamp) -> State {
        match event {
            Event::Placed => State { placed: true, ..state },
            Event::StepDone { step } if STEPS.get(state.done).is_some_and(|next| next.name == step) => {
                State { done: state.done + 1, ..state }
            }
            Event::StepDone { .. } => state,
        }
    }

    fn decide(state: &State, _: &Policy, _: u32, _: Timestamp) -> Plan {
        let next = STEPS.get(state.done).filter(|_| state.placed);
        let effect = next.map(|step| Effect {
            step: step.name,
            intent: String::new(),
            target: Target::System(SystemName::new(step.system)),
            operation: step.operation,
            args: Value::Null,
            deadline: Duration::minutes(5),
        });
        let summary = Summary {
            stage: next.map_or("closed", |step| step.name).into(),
            status: if next.is_some() { Status::Open } else { Status::Closed },
            waiting_for: String::new(),
        };
        Plan { effects: effect.into_iter().collect(), summary, ..Plan::default() }
    }

    fn reopened(_: &State, _: &str, _: &str) -> Option<State> {
        None
    }

    fn event_name(event: &Event) -> &'static str {
        match event {
            Event::Placed => "bench.placed",
            Event::StepDone { .. } => "bench.step_done",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossdock_canonical::Outcome;

    #[test]
    fn six_effects_follow_each_other_and_close_the_order() {
        let (policy, at) = (Policy::none(), Timestamp(0));
        let mut state = State::default();
        let mut input = Input::Message { from: SystemName::new("shop"), kind: PLACED.into(), body: Value::Null };
        for step in &STEPS {
            let heard = SixSteps::hear(&state, &input, &policy, at);
            state = heard.events.iter().fold(state, |state, event| SixSteps::apply(state, event, at));
            let plan = SixSteps::decide(&state, &policy, SixSteps::LOGIC, at);
            assert_eq!(plan.effects.iter().map(|effect| effect.step).collect::<Vec<_>>(), [step.name]);
            input = Input::Settled { step: step.name.into(), intent: String::new(), outcome: Outcome::done(Value::Null) };
        }
        let heard = SixSteps::hear(&state, &input, &policy, at);
        state = heard.events.iter().fold(state, |state, event| SixSteps::apply(state, event, at));
        let plan = SixSteps::decide(&state, &policy, SixSteps::LOGIC, at);
        assert!(plan.effects.is_empty() && plan.summary.status == Status::Closed);
    }
}
