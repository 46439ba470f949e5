//! `ownership.yaml`: which system is the system of record of which canonical field.

use crate::{
    fault::Faults,
    read::valid,
    shape,
    terms::named,
    world::World,
    yaml::{Key, Node},
};
use crossdock_canonical::SystemName;
use std::collections::BTreeMap;

/// Canonical field -> system of record. A field without an owner may be changed by whoever tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    owners: BTreeMap<String, SystemName>,
}

/// The objects of the canonical model.
const OBJECTS: &[&str] =
    &["order", "inventory", "product", "price", "promotion", "customer", "shipment", "return", "payment", "settlement"];

impl Ownership {
    /// The owner of a dotted field such as `order.lines.sku`: of the field itself, or of what it lies in.
    pub fn owner_of(&self, field: &str) -> Option<&SystemName> {
        let mut part = field;
        loop {
            if let Some(owner) = self.owners.get(part) {
                return Some(owner);
            }
            part = part.rsplit_once('.')?.0;
        }
    }

    /// Fields and owners as declared.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SystemName)> {
        self.owners.iter().map(|(field, owner)| (field.as_str(), owner))
    }
}

pub(crate) fn read(root: &Node, world: &World, faults: &mut Faults) -> Ownership {
    let mut ownership = Ownership::default();
    let mut keys: Vec<(&Key, SystemName)> = Vec::new();
    for (key, node) in named(root, faults).unwrap_or_default() {
        let known = check_field(key, faults);
        if let Some(owner) = world.system(&[])(node, faults).filter(|_| known) {
            overlap(key, &owner, &keys, faults);
            keys.push((key, owner.clone()));
            ownership.owners.insert(key.text.clone(), owner);
        }
    }
    ownership
}

fn check_field(key: &Key, faults: &mut Faults) -> bool {
    let (object, path) = key.text.split_once('.').unwrap_or((&key.text, ""));
    if !OBJECTS.contains(&object) {
        let found = faults.add(key.spot, "unknown_field", format!("`{object}` is not a canonical object"));
        found.suggest(valid(object, OBJECTS.iter().copied()));
        return false;
    }
    // Objects without a schema are taken as they are.
    let Some(shape) = shape::canonical(object) else { return true };
    match shape.dotted(object, path) {
        Ok(_) => true,
        Err(unknown) => {
            let found = faults.add(key.spot, "unknown_field", format!("`{}` has no field `{}`", unknown.parent, unknown.name));
            found.suggest(valid(unknown.name, unknown.valid));
            false
        }
    }
}

fn overlap(key: &Key, owner: &SystemName, before: &[(&Key, SystemName)], faults: &mut Faults) {
    let inside = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    for (other, theirs) in before {
        if theirs != owner && (inside(&key.text, &other.text) || inside(&other.text, &key.text)) {
            let place = faults.place(other.spot);
            let message =
                format!("`{}` of `{owner}` overlaps `{}` of `{theirs}` ({place}); a field has one owner", key.text, other.text);
            faults.add(key.spot, "owners_overlap", message);
        }
    }
}
