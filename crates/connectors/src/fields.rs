//! Reading a vendor's object field by field, with nothing lost: what is not taken can be had as the rest.
//!
//! A field of the wrong kind is a fault with its path, never a default: a changed field shows up in the result or refuses the record.

use crossdock_canonical::Timestamp;
use crossdock_canonical::order::{Attribute, Attributes};
use crossdock_value::{Decimal, Value};
use std::fmt;

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub path: String,
    pub reason: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

pub(crate) type Read<T> = Result<T, Unreadable>;

/// One object being read. Absent and `null` are the same for what is taken; both stay visible in the rest.
pub(crate) struct Fields<'a> {
    value: &'a Value,
    path: String,
    taken: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub fn of(value: &'a Value, path: impl Into<String>) -> Read<Self> {
        let path = path.into();
        match value {
            Value::Obj(_) => Ok(Self { value, path, taken: Vec::new() }),
            other => Err(Unreadable { path, reason: format!("expected an object, found {}", other.kind()) }),
        }
    }

    /// The object under `key`, if there is one.
    pub fn object(&mut self, key: &'static str) -> Read<Option<Fields<'a>>> {
        let path = self.path_of(key);
        match self.take(key) {
            Value::Null => Ok(None),
            value => Fields::of(value, path).map(Some),
        }
    }

    /// The objects under `key`, with their places.
    pub fn objects(&mut self, key: &'static str) -> Read<Vec<Fields<'a>>> {
        let path = self.path_of(key);
        match self.take(key) {
            Value::Null => Ok(Vec::new()),
            Value::Arr(items) => items.iter().enumerate().map(|(n, item)| Fields::of(item, format!("{path}[{n}]"))).collect(),
            other => Err(Unreadable { path, reason: format!("expected a list, found {}", other.kind()) }),
        }
    }

    pub fn text(&mut self, key: &'static str) -> Read<Option<String>> {
        match self.take(key) {
            Value::Null => Ok(None),
            Value::Str(text) => Ok(Some(text.to_string())),
            other => Err(self.fault(key, format!("expected text, found {}", other.kind()))),
        }
    }

    pub fn decimal(&mut self, key: &'static str) -> Read<Option<Decimal>> {
        match self.take(key) {
            Value::Null => Ok(None),
            Value::Num(number) => Ok(Some(*number)),
            other => Err(self.fault(key, format!("expected a number, found {}", other.kind()))),
        }
    }

    pub fn flag(&mut self, key: &'static str) -> Read<Option<bool>> {
        match self.take(key) {
            Value::Null => Ok(None),
            Value::Bool(flag) => Ok(Some(*flag)),
            other => Err(self.fault(key, format!("expected true or false, found {}", other.kind()))),
        }
    }

    pub fn instant(&mut self, key: &'static str) -> Read<Option<Timestamp>> {
        match self.text(key)? {
            None => Ok(None),
            Some(text) => match Timestamp::parse(&text) {
                Some(instant) => Ok(Some(instant)),
                None => Err(self.fault(key, "expected an instant such as 2026-11-24T10:00:00.000Z")),
            },
        }
    }

    /// Looks without taking: the field stays in the rest.
    pub fn peek(&self, key: &str) -> &'a Value {
        self.value.get(key)
    }

    /// Marks a field as represented elsewhere.
    pub fn take(&mut self, key: &'static str) -> &'a Value {
        self.taken.push(key);
        self.value.get(key)
    }

    pub fn missing(&self, key: &str) -> Unreadable {
        self.fault(key, "is missing")
    }

    pub fn fault(&self, key: &str, reason: impl Into<String>) -> Unreadable {
        Unreadable { path: self.path_of(key), reason: reason.into() }
    }

    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Everything that was not taken, untouched.
    pub fn rest(self) -> Attributes {
        let map = self.value.as_obj().expect("checked when it was opened");
        map.iter()
            .filter(|(key, _)| !self.taken.contains(&&***key))
            .map(|(key, value)| (key.to_string(), Attribute(value.clone())))
            .collect()
    }
}

/// A group of attributes as one value.
pub(crate) fn grouped(attributes: Attributes) -> Option<Attribute> {
    if attributes.is_empty() {
        return None;
    }
    Some(Attribute(attributes.into_iter().map(|(key, attribute)| (key, attribute.0)).collect::<crossdock_value::Map>().into()))
}
