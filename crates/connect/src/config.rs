//! A system's configuration as a connector gets it: plain values that the landscape has read, and a way to name every fault in them.

use crate::secret::{Secret, Secrets};
use crossdock_canonical::{Role, SystemName};
use crossdock_value::Value;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// One file of `systems/`, with the mappings that name it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemConfig {
    pub name: SystemName,
    /// The connector's folder name: `salesforce-b2c`, `http-json` ...
    pub connector: String,
    pub roles: Vec<Role>,
    /// The base address that request targets are appended to.
    pub url: String,
    /// How requests are authorized; the texts in it that are secrets are references (`env:NAME`, `file:PATH`).
    #[serde(default)]
    pub auth: Value,
    #[serde(default)]
    pub limits: Limits,
    /// The connector's own settings; its README lists them.
    #[serde(default)]
    pub settings: Value,
    /// `mappings/` entries of this system by the body they make: an operation, or a message kind.
    #[serde(default)]
    pub mappings: BTreeMap<String, Value>,
}

/// What the system can stand, over all processes and nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Calls in flight.
    pub concurrency: u32,
    /// Calls begun within a second; absent is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<u32>,
    /// One attempt, such as `30s`; absent is the connector's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrency: 8, rate_per_second: None, timeout: None }
    }
}

/// One fault in a configuration, at a place that `crossdock check` can point to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// Dotted, below the system's file: `settings.operations.erp.create_order.body`. A key with dots is in brackets:
    /// `settings.operations[erp.create_order].body`.
    pub path: String,
    /// Bytes within the text at `path`, for a fault inside an expression.
    pub span: Option<Range<usize>>,
    pub message: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl std::error::Error for ConfigFault {}

impl SystemConfig {
    /// Hash of everything that shapes a request, for `Prepared::mapping`. Secrets are in it as references only.
    pub fn fingerprint(&self) -> Arc<str> {
        let mut hash = Sha256::new();
        for part in [&self.connector, &self.url] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(crossdock_value::to_json(&self.settings));
        for (name, mapping) in &self.mappings {
            hash.update(name.as_bytes());
            hash.update(crossdock_value::to_json(mapping));
        }
        Arc::from(hex::encode(&hash.finalize()[..8]))
    }

    /// One attempt's time limit in milliseconds: as configured, else the connector's.
    pub fn timeout_ms(&self, default_ms: i64, faults: &mut Vec<ConfigFault>) -> i64 {
        let Some(text) = &self.limits.timeout else { return default_ms };
        match crossdock_canonical::Duration::parse(text) {
            Some(duration) if duration.0 > 0 => duration.0,
            _ => {
                faults.push(fault("limits.timeout", format!("{text:?} is not a duration such as `500ms`, `30s` or `2m`")));
                default_ms
            }
        }
    }
}

pub fn fault(path: impl Into<String>, message: impl Into<String>) -> ConfigFault {
    ConfigFault { path: path.into(), span: None, message: message.into() }
}

/// Reads one object of a configuration key by key, and complains about what is missing, of another kind, or left over.
///
/// It never stops at the first fault: a getter that fails answers a default and remembers why.
pub struct Section<'a> {
    value: &'a Value,
    path: String,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub fn new(value: &'a Value, path: impl Into<String>, faults: &mut Vec<ConfigFault>) -> Self {
        let path = path.into();
        if !value.is_null() && value.as_obj().is_none() {
            faults.push(fault(&path, format!("expected keys and values, found {}", value.kind())));
        }
        Self { value, path, known: Vec::new() }
    }

    pub fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// The value of `key`, `Null` when absent.
    pub fn get(&mut self, key: &'static str) -> &'a Value {
        self.known.push(key);
        self.value.get(key)
    }

    pub fn section(&mut self, key: &'static str, faults: &mut Vec<ConfigFault>) -> Section<'a> {
        let path = self.path_of(key);
        Section::new(self.get(key), path, faults)
    }

    pub fn text(&mut self, key: &'static str, faults: &mut Vec<ConfigFault>) -> Option<&'a str> {
        let value = self.get(key);
        if !value.is_null() && value.as_str().is_none() {
            faults.push(fault(self.path_of(key), format!("expected text, found {}", value.kind())));
        }
        value.as_str()
    }

    pub fn required(&mut self, key: &'static str, faults: &mut Vec<ConfigFault>) -> &'a str {
        if self.value.get(key).is_null() {
            self.known.push(key);
            faults.push(fault(&self.path, format!("`{key}` is missing")));
            return "";
        }
        self.text(key, faults).unwrap_or("")
    }

    pub fn flag(&mut self, key: &'static str, default: bool, faults: &mut Vec<ConfigFault>) -> bool {
        let value = self.get(key);
        if !value.is_null() && value.as_bool().is_none() {
            faults.push(fault(self.path_of(key), format!("expected true or false, found {}", value.kind())));
        }
        value.as_bool().unwrap_or(default)
    }

    /// A whole number within `range`.
    pub fn number(&mut self, key: &'static str, default: i64, range: Range<i64>, faults: &mut Vec<ConfigFault>) -> i64 {
        let value = self.get(key);
        match value.as_i64() {
            Some(n) if range.contains(&n) => n,
            None if value.is_null() => default,
            _ => {
                let last = range.end - 1;
                faults.push(fault(self.path_of(key), format!("expected a whole number from {} to {last}", range.start)));
                default
            }
        }
    }

    /// A duration such as `30s`, in milliseconds.
    pub fn duration(&mut self, key: &'static str, default_ms: i64, faults: &mut Vec<ConfigFault>) -> i64 {
        let value = self.get(key);
        if value.is_null() {
            return default_ms;
        }
        match value.as_str().and_then(crossdock_canonical::Duration::parse) {
            Some(duration) => duration.0,
            None => {
                faults.push(fault(self.path_of(key), "expected a duration such as `500ms`, `30s`, `2m`, `1h` or `7d`"));
                default_ms
            }
        }
    }

    /// A list of texts; one text alone is a list of one.
    pub fn texts(&mut self, key: &'static str, faults: &mut Vec<ConfigFault>) -> Option<Vec<String>> {
        let value = self.get(key);
        match value {
            Value::Null => None,
            Value::Str(text) => Some(vec![text.to_string()]),
            Value::Arr(items) if items.iter().all(|item| item.as_str().is_some()) => {
                Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            _ => {
                faults.push(fault(self.path_of(key), "expected a list of texts"));
                None
            }
        }
    }

    /// A secret by its reference; required.
    pub fn secret(&mut self, key: &'static str, url: &str, secrets: &Secrets, faults: &mut Vec<ConfigFault>) -> Secret {
        let known = faults.len();
        let text = self.required(key, faults);
        if faults.len() > known {
            return Secret::new("");
        }
        secrets.resolve(text, url).unwrap_or_else(|error| {
            faults.push(fault(self.path_of(key), error.to_string()));
            Secret::new("")
        })
    }

    /// Complains about keys nobody asked for, naming the nearest one that exists.
    pub fn finish(self, faults: &mut Vec<ConfigFault>) {
        let Some(map) = self.value.as_obj() else { return };
        for key in map.keys().filter(|key| !self.known.contains(&&***key)) {
            let hint = match nearest(key, &self.known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            faults.push(fault(join(&self.path, key), format!("`{key}` is not a setting; {hint}")));
        }
    }
}

/// Appends a key to a dotted path.
pub fn join(path: &str, key: &str) -> String {
    match (path.is_empty(), key.contains('.')) {
        (_, true) => format!("{path}[{key}]"),
        (true, false) => key.to_owned(),
        (false, false) => format!("{path}.{key}"),
    }
}

/// The known name closest to `given`, if it is close enough to be meant.
pub fn nearest<'n>(given: &str, known: &[&'n str]) -> Option<&'n str> {
    known
        .iter()
        .map(|name| (distance(given, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance in bytes; keys are ASCII.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.bytes().enumerate() {
            let substituted = diagonal + usize::from(l != r);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossdock_value::value;

    #[test]
    fn all_faults_of_a_section_are_named_at_once() {
        let given = value!({"site": 5, "page": 900, "wait": "5 minutes", "token": "abc", "pase": 1});
        let mut faults = Vec::new();
        let mut section = Section::new(&given, "settings", &mut faults);
        section.text("site", &mut faults);
        section.required("channel", &mut faults);
        section.number("page", 200, 1..201, &mut faults);
        section.duration("wait", 1, &mut faults);
        section.secret("token", "https://a.example", &Secrets::placeholders(), &mut faults);
        section.finish(&mut faults);
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 6, "{told:#?}");
        assert!(told[0].starts_with("settings.site: expected text, found number"), "{}", told[0]);
        assert!(told[1].contains("`channel` is missing"), "{}", told[1]);
        assert!(told[2].contains("from 1 to 200"), "{}", told[2]);
        assert!(told[5].contains("did you mean `page`?"), "{}", told[5]);
    }

    #[test]
    fn the_fingerprint_follows_settings_and_mappings_but_not_limits() {
        let config = SystemConfig {
            name: "erp".into(),
            connector: "http-json".into(),
            roles: vec![Role::Erp],
            url: "http://127.0.0.1:1".into(),
            auth: Value::Null,
            limits: Limits::default(),
            settings: value!({"a": 1}),
            mappings: BTreeMap::new(),
        };
        let mut limited = config.clone();
        limited.limits.concurrency = 1;
        assert_eq!(config.fingerprint(), limited.fingerprint());
        let mut mapped = config.clone();
        mapped.mappings.insert("erp.create_order".into(), value!({"x": ".y"}));
        assert_ne!(config.fingerprint(), mapped.fingerprint());
    }
}
