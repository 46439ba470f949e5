//! What the flow files share: the step table, the record of how steps ended, and consequences. No business rule lives here.

use crate::{Ended, Flow, Heard};
use crossdock_canonical::{Outcome, Timestamp};
use crossdock_value::Value;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// Declares a flow's step table: the names stored for ever, what each asks of which role, the business event when it is done,
/// and the step that undoes it.
macro_rules! steps {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $operation:ident, $event:literal, undo: [$($undo:ident)?];)*) => {
        /// The steps of this flow in the order of an undisturbed life, undoing steps last. Names are stored for ever: a step whose
        /// meaning changes gets a new name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Step { $($(#[$doc])* $variant),* }

        /// The summary a newcomer reads first.
        pub const STEPS: &[Step] = &[$(Step::$variant),*];

        impl Step {
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
            /// What it asks; the role asked is the operation's.
            pub const fn operation(self) -> crossdock_canonical::Operation {
                match self { $(Self::$variant => crossdock_canonical::Operation::$operation),* }
            }
            /// The business event when it is done.
            pub const fn event(self) -> &'static str {
                match self { $(Self::$variant => $event),* }
            }
            /// The step that undoes it; `None` where nothing needs undoing, or nothing can.
            pub const fn undo(self) -> Option<Self> {
                match self { $(Self::$variant => steps!(@undo $($undo)?)),* }
            }
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }

        impl serde::Serialize for Step {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.name())
            }
        }
        impl<'de> serde::Deserialize<'de> for Step {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let name = std::borrow::Cow::<str>::deserialize(d)?;
                Self::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("{name:?} is not a step of this flow")))
            }
        }
    };
    (@undo) => { None };
    (@undo $undo:ident) => { Some(Self::$undo) };
}

/// How the effects of a process ended, by name. What is not here is open, or was never asked for.
///
/// A sorted list with shared texts: states are cloned at every input, and this is their longest part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent, bound = "S: Serialize + DeserializeOwned")]
pub struct Ends<S>(Vec<(S, Arc<str>, Ended)>);

impl<S> Default for Ends<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S: Ord + Copy> Ends<S> {
    fn place(&self, step: S, intent: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(s, i, _)| s.cmp(&step).then_with(|| (**i).cmp(intent)))
    }

    pub fn get(&self, step: S, intent: &str) -> Option<Ended> {
        self.place(step, intent).ok().map(|at| self.0[at].2)
    }

    /// Done, or skipped by a person.
    pub fn through(&self, step: S, intent: &str) -> bool {
        self.get(step, intent).is_some_and(Ended::is_through)
    }

    /// Ended in any way.
    pub fn ended(&self, step: S, intent: &str) -> bool {
        self.get(step, intent).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = (S, &str, Ended)> {
        self.0.iter().map(|(step, intent, ended)| (*step, &**intent, *ended))
    }

    /// Whether an end says something new. A refusal may still become *done* (a person had it retried); what is done can only be
    /// reversed; nothing late moves it back.
    pub fn is_news(&self, step: S, intent: &str, ended: Ended) -> bool {
        match (self.get(step, intent), ended) {
            (None, _) => true,
            (Some(Ended::Refused | Ended::Reversed), Ended::Done | Ended::Skipped) => true,
            (Some(Ended::Skipped), Ended::Done) => true,
            (Some(Ended::Done | Ended::Skipped), Ended::Reversed) => true,
            (Some(_), _) => false,
        }
    }

    /// As if it had not ended.
    pub fn forget(&mut self, step: S, intent: &str) {
        if let Ok(at) = self.place(step, intent) {
            self.0.remove(at);
        }
    }

    /// Records an end if it is news, and says so.
    pub fn record(&mut self, step: S, intent: &str, ended: Ended) -> bool {
        let news = self.is_news(step, intent, ended);
        if news {
            match self.place(step, intent) {
                Ok(at) => self.0[at].2 = ended,
                Err(at) => self.0.insert(at, (step, Arc::from(intent), ended)),
            }
        }
        news
    }
}

/// No input has more consequences than this; reaching it means a rule that answers itself.
const MAX_CONSEQUENCES: usize = 1_000;

/// Adds to what was heard the events that follow from it, one at a time, until `next` knows no more.
///
/// So every decision that later steps rely on is an event of its own, stored with its numbers, and not a thing `decide` works out
/// anew each time.
pub fn with_consequences<F: Flow>(
    state: &F::State,
    mut heard: Heard<F::Event>,
    at: Timestamp,
    next: impl Fn(&F::State) -> Option<F::Event>,
) -> Heard<F::Event> {
    let mut state = heard.events.iter().fold(state.clone(), |state, event| F::apply(state, event, at));
    for _ in 0..MAX_CONSEQUENCES {
        let Some(event) = next(&state) else { return heard };
        state = F::apply(state, &event, at);
        heard.events.push(event);
    }
    debug_assert!(false, "{} never comes to rest", F::KIND);
    heard
}

/// Canonical JSON of plain data.
pub fn json<T: Serialize + ?Sized>(data: &T) -> Value {
    crossdock_value::to_value(data).expect("canonical data has text keys and exact numbers, which is all that can fail")
}

/// One field of an outcome's evidence or of a body; `None` when it is absent or not what it should be.
pub fn field<T: DeserializeOwned>(body: &Value, name: &str) -> Option<T> {
    match body.get(name) {
        Value::Null => None,
        value => crossdock_value::from_value(value).ok(),
    }
}

/// A reason as states and events may keep it: a short machine word. Free text may name a person, so only the sealed command has it.
pub fn reason_word(body: &Value, otherwise: &str) -> String {
    let word = body.get("reason").as_str().filter(|text| {
        (1..=40).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    });
    word.unwrap_or(otherwise).to_owned()
}

/// The stable word of a refusal.
pub fn code_of(outcome: &Outcome) -> String {
    if outcome.code.is_empty() { "unnamed".to_owned() } else { outcome.code.chars().take(64).collect() }
}
