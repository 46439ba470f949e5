//! Contracts: JSON Schemas by kind of message. They say what a canonical message must at least hold.

use crossdock_value::{Value, to_json};
use std::{collections::BTreeMap, fmt};

/// Violations told of one message; more say nothing new.
const TOLD_MAX: usize = 5;

/// A schema that can be checked against.
pub(crate) struct Contract {
    pub(crate) schema: Value,
    validator: jsonschema::Validator,
}

impl Contract {
    /// The error says what is wrong with the schema.
    pub(crate) fn new(schema: Value) -> Result<Self, String> {
        let read = plain(&schema).map_err(|e| e.to_string())?;
        // Without references to elsewhere: what a message must hold cannot depend on a network.
        let validator = jsonschema::options().build(&read).map_err(|error| error.to_string())?;
        Ok(Self { schema, validator })
    }

    /// Names what is missing or wrong and where. Values are left out: they may be a person's.
    pub(crate) fn check(&self, message: &Value) -> Result<(), String> {
        let message = plain(message).map_err(|e| e.to_string())?;
        let mut found = self.validator.iter_errors(&message);
        let told: Vec<String> = found.by_ref().take(TOLD_MAX).map(|error| told(&error)).collect();
        let more = if found.next().is_some() { "; and more" } else { "" };
        if told.is_empty() { Ok(()) } else { Err(told.join("; ") + more) }
    }
}

fn told(error: &jsonschema::ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    let place = if place.is_empty() { "the message" } else { &place };
    format!("{place}: {}", error.masked())
}

fn plain(value: &Value) -> serde_json::Result<serde_json::Value> {
    serde_json::from_slice(&to_json(value))
}

impl fmt::Debug for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Contract").field(&self.schema).finish()
    }
}

/// By kind of message.
pub(crate) type Contracts = BTreeMap<String, Contract>;
