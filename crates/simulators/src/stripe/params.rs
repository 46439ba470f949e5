//! Form-encoded parameters: `amount=1290&metadata[order]=O1`.

use super::Refusal;
use crate::http::{Call, form};

pub struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn body(call: &Call) -> Result<Self, Refusal> {
        let body = std::str::from_utf8(&call.request.body)
            .map_err(|_| Refusal::parameter("body", "parameter_invalid", "The body must be UTF-8, form-encoded."))?;
        if body.trim_start().starts_with('{') {
            let message = "Send application/x-www-form-urlencoded, not JSON.";
            return Err(Refusal::parameter("body", "parameter_invalid", message));
        }
        Ok(Params(form(body)))
    }

    pub fn query(call: &Call) -> Self {
        Params(call.query.clone())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// Refuses what this call does not know, by the name before the first bracket.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        let base = |name: &str| name.split('[').next().unwrap_or("").to_owned();
        match self.0.iter().find(|(name, _)| !known.contains(&base(name).as_str())) {
            Some((name, _)) => Err(Refusal::parameter(name, "parameter_unknown", format!("Received unknown parameter: {name}"))),
            None => Ok(()),
        }
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        match self.get(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(Refusal::parameter(name, "parameter_invalid_boolean", format!("Invalid boolean: {other}"))),
        }
    }

    /// A whole number of minor units, at least 1.
    pub(super) fn minor(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(value) if (1..=99_999_999_999).contains(&value) => Ok(Some(value)),
            Ok(_) => Err(Refusal::parameter(name, "parameter_invalid_integer", "This value must be greater than or equal to 1.")),
            Err(_) => Err(Refusal::parameter(name, "parameter_invalid_integer", format!("Invalid integer: {text}"))),
        }
    }

    pub fn metadata(&self) -> Vec<(String, String)> {
        let pair = |(name, value): &(String, String)| {
            let inner = name.strip_prefix("metadata[")?.strip_suffix(']')?;
            Some((inner.to_owned(), value.clone()))
        };
        self.0.iter().filter_map(pair).collect()
    }
}
