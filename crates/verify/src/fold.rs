//! Folding a process's journal again, with the flow's own `apply`: the one piece of the hub that this check runs, because it is what
//! the promise is about.

use crossdock_canonical::Timestamp;
use crossdock_flows::{Flow, order::OrderFlow, payment::PaymentFlow};
use serde_json::value::RawValue;

/// A process as the journal and its row tell it.
pub struct Recorded<'a> {
    pub kind: &'a str,
    /// Version of `state`'s encoding.
    pub schema: u32,
    pub state: &'a [u8],
    /// Bodies of its events with the time each was folded at, oldest first.
    pub events: &'a [(Timestamp, Box<RawValue>)],
}

/// What folding again gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fold {
    Same,
    Differs,
    Unreadable(String),
    /// No flow of this kind is known here.
    Unknown,
}

/// The flows the hub is built with.
pub fn known_flows(recorded: &Recorded<'_>) -> Fold {
    match recorded.kind {
        OrderFlow::KIND => flow::<OrderFlow>(recorded),
        PaymentFlow::KIND => flow::<PaymentFlow>(recorded),
        _ => Fold::Unknown,
    }
}

/// Folds as a process of `F`. States of older schemas are read as the hub reads them.
pub fn flow<F: Flow>(recorded: &Recorded<'_>) -> Fold {
    let read = |schema: u32, state: &[u8]| {
        if schema == F::SCHEMA {
            return serde_json::from_slice(state).map_err(|error| error.to_string());
        }
        let value = crossdock_value::parse(state, &crossdock_value::Limits::default()).map_err(|error| error.to_string())?;
        F::upcast(schema, value).map_err(|error| error.to_string())
    };
    compare(recorded, read, |events| {
        events.iter().try_fold(F::State::default(), |state, (at, body)| {
            let event = serde_json::from_str(body.get()).map_err(|error| error.to_string())?;
            Ok(F::apply(state, &event, *at))
        })
    })
}

/// Compares what `read` makes of the stored state (with its schema version) and what `refold` makes of the events.
pub fn compare<S: PartialEq>(
    recorded: &Recorded<'_>,
    read: impl FnOnce(u32, &[u8]) -> Result<S, String>,
    refold: impl FnOnce(&[(Timestamp, Box<RawValue>)]) -> Result<S, String>,
) -> Fold {
    match (read(recorded.schema, recorded.state), refold(recorded.events)) {
        (Ok(stored), Ok(folded)) if stored == folded => Fold::Same,
        (Ok(_), Ok(_)) => Fold::Differs,
        (Err(reason), _) | (_, Err(reason)) => Fold::Unreadable(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossdock_flows::{Input, Policy};

    /// The order flow hearing a document that is none: its one event and the state it leads to.
    fn heard() -> (Vec<(Timestamp, Box<RawValue>)>, Vec<u8>) {
        let at = Timestamp(5);
        let body = crossdock_value::parse(b"{}", &crossdock_value::Limits::default()).expect("JSON");
        let input = Input::Message { from: "storefront".into(), kind: "order.placed".into(), body };
        let events = OrderFlow::hear(&Default::default(), &input, &Policy::none(), at).events;
        let state = events.iter().fold(Default::default(), |state, event| OrderFlow::apply(state, event, at));
        let bodies = events.iter().map(|event| (at, serde_json::value::to_raw_value(event).expect("plain data")));
        (bodies.collect(), serde_json::to_vec(&state).expect("plain data"))
    }

    #[test]
    fn a_real_flow_folds_to_its_state_and_to_no_other() {
        let (events, state) = heard();
        assert!(!events.is_empty(), "the flow heard it");
        let fold = |kind, schema, state: &[u8], events: &[_]| known_flows(&Recorded { kind, schema, state, events });
        assert_eq!(fold("order", OrderFlow::SCHEMA, &state, &events), Fold::Same);
        assert_eq!(fold("order", OrderFlow::SCHEMA, &state, &[]), Fold::Differs);
        assert_eq!(fold("stray", OrderFlow::SCHEMA, &state, &events), Fold::Unknown);
        assert!(matches!(fold("order", OrderFlow::SCHEMA, b"{", &events), Fold::Unreadable(_)));
        assert!(matches!(fold("order", OrderFlow::SCHEMA + 1, &state, &events), Fold::Unreadable(_)));
    }
}
