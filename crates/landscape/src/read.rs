//! Reads typed values out of YAML sections and collects every mistake on the way.
//!
//! A section learns its valid keys from what is asked of it: whatever is left when it is closed is unknown, and the nearest key that
//! was asked for is offered. A value that cannot be read gives a fault and `None`; nobody has to repeat the fault for the gap.

use crate::{
    fault::Faults,
    nearest::nearest,
    source::Spot,
    yaml::{Data, Key, Node},
};
use crossdock_canonical::Duration;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use std::sync::Arc;

/// The entries of one section, or of several laid over each other.
pub(crate) struct Section<'n> {
    /// For messages: `a market`, `fraud`.
    title: &'static str,
    /// Where a missing key is reported.
    pub spot: Spot,
    entries: Vec<(&'n Key, &'n Node)>,
    asked: Vec<&'static str>,
}

impl<'n> Section<'n> {
    /// `None`, with a fault, when the node is no section.
    pub fn open(title: &'static str, node: &'n Node, faults: &mut Faults) -> Option<Self> {
        match &node.data {
            Data::Map(entries) => Some(Self::of(title, node.spot, entries.iter().map(|(key, node)| (key, node)).collect())),
            _ => {
                wrong_type(node, "a section of keys", faults);
                None
            }
        }
    }

    pub fn of(title: &'static str, spot: Spot, entries: Vec<(&'n Key, &'n Node)>) -> Self {
        Self { title, spot, entries, asked: Vec::new() }
    }

    pub fn entry(&mut self, name: &'static str) -> Option<(&'n Key, &'n Node)> {
        self.asked.push(name);
        self.entries.iter().find(|(key, _)| key.text == name).copied()
    }

    pub fn node(&mut self, name: &'static str) -> Option<&'n Node> {
        self.entry(name).map(|(_, node)| node).filter(|node| !matches!(node.data, Data::Null))
    }

    /// The value of a key that must be there.
    pub fn need<T>(
        &mut self,
        name: &'static str,
        faults: &mut Faults,
        read: impl FnOnce(&'n Node, &mut Faults) -> Option<T>,
    ) -> Option<T> {
        match self.node(name) {
            Some(node) => read(node, faults),
            None => {
                let spot = self.entry(name).map_or(self.spot, |(key, _)| key.spot);
                faults.add(spot, "missing_key", format!("{} needs `{name}`", self.title));
                None
            }
        }
    }

    /// The value of a key that may be there.
    pub fn get<T>(
        &mut self,
        name: &'static str,
        faults: &mut Faults,
        read: impl FnOnce(&'n Node, &mut Faults) -> Option<T>,
    ) -> Option<T> {
        self.node(name).and_then(|node| read(node, faults))
    }

    /// The value of a key, or what it is when it is not given.
    pub fn or<T>(
        &mut self,
        name: &'static str,
        default: T,
        faults: &mut Faults,
        read: impl FnOnce(&'n Node, &mut Faults) -> Option<T>,
    ) -> T {
        self.get(name, faults, read).unwrap_or(default)
    }

    /// Reports the keys nobody asked for.
    pub fn close(self, faults: &mut Faults) {
        for (key, _) in &self.entries {
            if !self.asked.contains(&key.text.as_str()) {
                let found = faults.add(key.spot, "unknown_key", format!("{} has no key `{}`", self.title, key.text));
                found.suggest(valid(&key.text, self.asked.iter().copied()));
            }
        }
    }
}

/// "did you mean", or else the list of what would be valid when it is short.
pub(crate) fn valid<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    names.dedup();
    match nearest(given, names.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if names.is_empty() => None,
        None if names.len() <= 16 => Some(format!("valid: {}", names.join(", "))),
        None => None,
    }
}

pub(crate) fn wrong_type(node: &Node, expected: &str, faults: &mut Faults) {
    faults.add(node.spot, "wrong_type", format!("expected {expected}, found {}", node.kind()));
}

pub(crate) fn text(node: &Node, faults: &mut Faults) -> Option<Arc<str>> {
    match &node.data {
        Data::Text(text) if !text.trim().is_empty() => Some(text.clone()),
        Data::Text(_) => {
            faults.add(node.spot, "wrong_type", "expected text, found an empty one");
            None
        }
        Data::Number(_) | Data::Bool(_) => {
            let found = faults.add(node.spot, "wrong_type", format!("expected text, found {}", node.kind()));
            found.suggest(Some("put it in quotes"));
            None
        }
        _ => {
            wrong_type(node, "text", faults);
            None
        }
    }
}

pub(crate) fn truth(node: &Node, faults: &mut Faults) -> Option<bool> {
    match node.data {
        Data::Bool(truth) => Some(truth),
        _ => {
            wrong_type(node, "`true` or `false`", faults);
            None
        }
    }
}

/// A whole number from `least` on.
pub(crate) fn count(least: u32) -> impl Fn(&Node, &mut Faults) -> Option<u32> {
    move |node, faults| {
        let number = match node.data {
            Data::Number(number) if number.is_integer() => number.to_u32().filter(|n| *n >= least),
            _ => None,
        };
        if number.is_none() {
            faults.add(node.spot, "bad_number", format!("expected a whole number from {least} to {}", u32::MAX));
        }
        number
    }
}

/// An exact decimal that is not negative, as a number or as text.
pub(crate) fn decimal(node: &Node, faults: &mut Faults) -> Option<Decimal> {
    let number = match &node.data {
        Data::Number(number) => Some(*number),
        Data::Text(text) => crossdock_value::decimal::read(text),
        _ => None,
    };
    let number = number.filter(|n| !n.is_sign_negative() || n.is_zero());
    if number.is_none() {
        faults.add(node.spot, "bad_number", "expected a decimal that is not negative, such as 0.05");
    }
    number
}

pub(crate) fn duration(node: &Node, faults: &mut Faults) -> Option<Duration> {
    let duration = node.text().and_then(|text| Duration::parse(text)).filter(|d| d.0 > 0);
    if duration.is_none() {
        let found = faults.add(node.spot, "bad_duration", "expected a duration above zero, such as 500ms, 30s, 5m, 2h or 7d");
        if let Data::Number(number) = node.data {
            found.suggest(Some(format!("did you mean `{number}s`?")));
        }
    }
    duration
}

/// One of a fixed set of words.
pub(crate) fn word<'w, T: Copy>(words: &'w [(&'static str, T)]) -> impl Fn(&Node, &mut Faults) -> Option<T> + 'w {
    move |node, faults| {
        let given = text(node, faults)?;
        let found = words.iter().find(|(word, _)| *word == &*given).map(|(_, value)| *value);
        if found.is_none() {
            let names = words.iter().map(|(word, _)| *word);
            faults.add(node.spot, "unknown_value", format!("`{given}` is not valid here")).suggest(valid(&given, names));
        }
        found
    }
}

/// A list; a single value is not taken for one, so that a forgotten dash is noticed.
pub(crate) fn list<'n, T>(item: impl Fn(&'n Node, &mut Faults) -> Option<T>) -> impl Fn(&'n Node, &mut Faults) -> Option<Vec<T>> {
    move |node, faults| match &node.data {
        Data::List(items) => Some(items.iter().filter_map(|node| item(node, faults)).collect()),
        _ => {
            wrong_type(node, "a list", faults);
            None
        }
    }
}
