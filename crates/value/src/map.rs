//! JSON objects: keys in the order they were written.
//!
//! Most objects of a retail message have fewer than two dozen keys, where looking along a vector
//! is faster than hashing. Larger ones get an index, so that an object keyed by ten thousand SKUs
//! is not quadratic.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Value;

/// A JSON object that remembers the order of its keys.
///
/// Two maps are equal when they hold the same entries, whatever their order.
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: Vec<(Arc<str>, Value)>,
    /// Position of each key in `entries`; present exactly when there are `INDEX_FROM` or more.
    #[expect(clippy::box_collection, reason = "nearly all maps have none; they stay half the size")]
    index: Option<Box<HashMap<Arc<str>, usize>>>,
}

impl Map {
    /// Entries from which an index pays for itself.
    pub(crate) const INDEX_FROM: usize = 24;

    /// An empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty object with room for `capacity` entries.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { entries: Vec::with_capacity(capacity), index: None }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of `key`, if present.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.position(key).map(|at| &self.entries[at].1)
    }

    /// The value of `key` for change, if present.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.position(key).map(|at| &mut self.entries[at].1)
    }

    /// Whether `key` is present, if only as `null`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    /// Sets `key`, in its old place if it had one, and returns the value it replaced.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: impl Into<Value>) -> Option<Value> {
        let key = key.into();
        match self.position(&key) {
            Some(at) => Some(std::mem::replace(&mut self.entries[at].1, value.into())),
            None => {
                self.push(key, value.into());
                None
            }
        }
    }

    /// Removes `key` and keeps the order of the others.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.position(key)?;
        let (_, value) = self.entries.remove(at);
        self.reindex();
        Some(value)
    }

    /// The entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Value)> + DoubleEndedIterator {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.entries.iter().map(|(key, _)| key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// The values for change, in the order of their keys.
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Value> {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    /// The keys in alphabetical order, as jq's ordering and hashing want them.
    pub(crate) fn sorted(&self) -> Vec<(&Arc<str>, &Value)> {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_unstable_by(|left, right| left.0.cmp(right.0));
        entries
    }

    /// Puts `key` first. jq builds `{a, b, c}` from the right, one entry at a time; without this
    /// every object literal would be copied once per field.
    pub(crate) fn insert_first(&mut self, key: Arc<str>, value: Value) {
        match self.position(&key) {
            // As in `{a: 1} + {a: 2}`: the left gives the place, the right gives the value.
            Some(at) => self.entries[..=at].rotate_right(1),
            None => self.entries.insert(0, (key, value)),
        }
        self.reindex();
    }

    /// Adds an entry of which the caller knows that its key is not there.
    pub(crate) fn push(&mut self, key: Arc<str>, value: Value) {
        let at = self.entries.len();
        if let Some(index) = &mut self.index {
            index.insert(key.clone(), at);
        }
        self.entries.push((key, value));
        if at + 1 == Self::INDEX_FROM {
            self.reindex();
        }
    }

    fn position(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.entries.iter().position(|(held, _)| &**held == key),
        }
    }

    fn reindex(&mut self) {
        self.index = (self.entries.len() >= Self::INDEX_FROM).then(|| {
            let keys = self.entries.iter().enumerate();
            Box::new(keys.map(|(at, (key, _))| (key.clone(), at)).collect())
        });
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key).is_some_and(|held| held == value))
    }
}

impl Eq for Map {}

impl<K: Into<Arc<str>>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Map::new();
        map.extend(entries);
        map
    }
}

impl<K: Into<Arc<str>>, V: Into<Value>> Extend<(K, V)> for Map {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl IntoIterator for Map {
    type Item = (Arc<str>, Value);
    type IntoIter = std::vec::IntoIter<(Arc<str>, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(map: &Map) -> Vec<&str> {
        map.keys().map(|key| &**key).collect()
    }

    #[test]
    fn order_is_kept_through_insert_replace_and_remove() {
        let mut map: Map = [("c", 1), ("a", 2), ("b", 3)].into_iter().collect();
        map.insert("a", 9);
        map.remove("c");
        map.insert("c", 4);
        assert_eq!(keys(&map), ["a", "b", "c"]);
        assert_eq!(map.get("a"), Some(&Value::from(9)));
    }

    #[test]
    fn a_large_map_finds_every_key_after_changes() {
        let mut map: Map = (0..100).map(|n| (format!("k{n}"), n)).collect();
        map.remove("k10");
        map.insert_first("first".into(), Value::Null);
        map.insert_first("k50".into(), Value::Null);
        assert_eq!(map.len(), 100);
        assert_eq!(&keys(&map)[..3], ["k50", "first", "k0"]);
        for n in (0..100).filter(|n| *n != 10) {
            assert_eq!(map.get(&format!("k{n}")), Some(&Value::from(n)));
        }
        assert!(!map.contains_key("k10"));
    }

    #[test]
    fn equality_does_not_depend_on_order() {
        let left: Map = [("a", 1), ("b", 2)].into_iter().collect();
        let right: Map = [("b", 2), ("a", 1)].into_iter().collect();
        assert_eq!(left, right);
    }
}
