//! `systems/*.yaml`: the outside systems.
//!
//! What stands under `auth` and `settings` is the connector's business; it checks them through [`crate::Known`]. Here only what holds
//! for every connector is checked, above all that no secret is written down.

use crate::{
    fault::Faults,
    place::{self, Environment, MissingVariable},
    read::{self, Section, count, duration, list, text, word},
    source::{FileId, Spot},
    world::{ROLES, World},
    yaml::{Data, Key, Node},
};
use crossdock_canonical::SystemName;
use crossdock_connect::config::{ConfigFault, Limits, SystemConfig};
use crossdock_value::Value;
use std::{collections::BTreeMap, sync::Arc};

/// One outside system: the configuration as written, and where it is written.
#[derive(Clone, Debug)]
pub struct System {
    /// With `${env:NAME}` still in its texts; [`System::resolve`] is what a connector is built from.
    pub config: SystemConfig,
    /// Content hash of the system's file, its mappings and the contracts: what an intent stores.
    pub hash: Arc<str>,
    /// The file's root, for faults that the connector finds.
    pub(crate) root: Arc<Node>,
    /// The `fields` of its mappings, by the body they make.
    pub(crate) fields: BTreeMap<String, Arc<Node>>,
}

impl System {
    pub fn name(&self) -> &SystemName {
        &self.config.name
    }

    /// The configuration with every variable of the environment in its place.
    pub fn resolve(&self, environment: &Environment<'_>) -> Result<SystemConfig, MissingVariable> {
        let mut config = self.config.clone();
        config.url = place::resolve(&config.url, environment)?;
        config.auth = place::resolve_all(&config.auth, environment)?;
        config.settings = place::resolve_all(&config.settings, environment)?;
        Ok(config)
    }

    /// The place a connector means: `settings.operations[erp.create_order].body`, or the nearest place before it that is there.
    pub(crate) fn place(&self, path: &str) -> (Option<&Key>, &Node) {
        let mut steps = steps(path).into_iter().peekable();
        let mut node = &*self.root;
        if steps.peek().is_some_and(|step| step == "mappings") {
            steps.next();
            let fields = steps.next().and_then(|body| self.fields.get(&body));
            // A target is one key, dots and all.
            let target = steps.collect::<Vec<_>>().join(".");
            let Some(fields) = fields else { return (None, node) };
            return fields
                .entries()
                .iter()
                .find(|(key, _)| key.text == target)
                .map_or((None, fields), |(key, node)| (Some(key), node));
        }
        let mut last = None;
        for step in steps {
            let next = match &node.data {
                Data::List(items) => step.parse::<usize>().ok().and_then(|n| items.get(n)).map(|item| (None, item)),
                _ => node.entries().iter().find(|(key, _)| key.text == step).map(|(key, node)| (Some(key), node)),
            };
            let Some(next) = next else { break };
            (last, node) = next;
        }
        (last, node)
    }
}

/// The keys of a connector's path; a key with dots is in brackets.
fn steps(path: &str) -> Vec<String> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']').unwrap_or((inner, "")),
            None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
        };
        steps.push(step.to_owned());
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    steps
}

/// Reads one file. The name is the file's.
pub(crate) fn read(
    name: &str,
    file: FileId,
    root: Option<&Node>,
    connectors: &[&str],
    world: &mut World,
    faults: &mut Faults,
) -> Option<System> {
    world.systems.insert(name.to_owned(), None);
    let Some(root) = root else {
        faults.add(Faults::head(file), "missing_key", "a system needs `connector`, `roles` and `url`");
        return None;
    };
    let mut section = Section::open("a system", root, faults)?;
    let connector = section.need("connector", faults, |node, faults| connector(node, connectors, faults));
    let before = faults.count();
    let roles = section.need("roles", faults, list(word(ROLES)));
    if let Some(roles) = roles.as_ref().filter(|_| faults.count() == before) {
        world.systems.insert(name.to_owned(), Some(roles.clone()));
    }
    let url = section.need("url", faults, place::url);
    let limits = section.or("limits", Limits::default(), faults, limits);
    let [auth, settings] = ["auth", "settings"].map(|key| section.node(key));
    for node in [auth, settings].into_iter().flatten() {
        match node.data {
            Data::Map(_) => {
                place::literal_secrets(node, faults);
                place::variables(node, faults);
            }
            _ => read::wrong_type(node, "a section of keys", faults),
        }
    }
    section.close(faults);
    let config = SystemConfig {
        name: SystemName::new(name),
        connector: connector?.to_string(),
        roles: roles?,
        url: url?.to_string(),
        auth: auth.map_or(Value::Null, Node::to_value),
        limits,
        settings: settings.map_or(Value::Null, Node::to_value),
        mappings: BTreeMap::new(),
    };
    Some(System { config, hash: Arc::from(""), root: Arc::new(root.clone()), fields: BTreeMap::new() })
}

fn connector(node: &Node, connectors: &[&str], faults: &mut Faults) -> Option<Arc<str>> {
    let name = text(node, faults)?;
    if !connectors.is_empty() && !connectors.contains(&&*name) {
        let hint = read::valid(&name, connectors.iter().copied());
        faults.add(node.spot, "unknown_connector", format!("there is no connector `{name}`")).suggest(hint);
        return None;
    }
    Some(name)
}

fn limits(node: &Node, faults: &mut Faults) -> Option<Limits> {
    let mut section = Section::open("limits", node, faults)?;
    let default = Limits::default();
    let limits = Limits {
        concurrency: section.or("concurrency", default.concurrency, faults, count(1)),
        rate_per_second: section.get("rate_per_second", faults, count(1)),
        timeout: section.get("timeout", faults, duration).map(|timeout| timeout.to_string()),
    };
    section.close(faults);
    Some(limits)
}

/// What a connector says of a system, at the places it means.
pub(crate) fn connector_faults(system: &System, found: Vec<ConfigFault>, faults: &mut Faults) {
    for fault in found {
        let (key, node) = system.place(&fault.path);
        let spot = match (fault.span, node.text(), key) {
            (Some(span), Some(value), _) => crate::expr::part(node, value, span, faults),
            (None, None, Some(key)) => key.spot,
            _ if Arc::as_ptr(&system.root) == node => Spot { end: node.spot.start, ..node.spot },
            _ => node.spot,
        };
        // The landscape has said it already, in words that hold for every connector.
        if faults.has(spot) {
            continue;
        }
        if fault.path.starts_with("auth") && node.text().is_some_and(|text| !place::is_reference(text)) {
            faults.mask(node.spot);
        }
        let (message, suggestion) = match fault.message.split_once("; did you mean ") {
            Some((message, name)) => (message.to_owned(), Some(format!("did you mean {name}"))),
            None => (fault.message, None),
        };
        faults.add(spot, "setting", message).suggest(suggestion);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_at_dots_but_not_within_brackets() {
        for (path, expected) in [
            ("settings.site", &["settings", "site"][..]),
            ("settings.operations[erp.create_order].body", &["settings", "operations", "erp.create_order", "body"]),
            ("settings.pages[2].x", &["settings", "pages", "2", "x"]),
            ("[a.b]", &["a.b"]),
            ("", &[]),
            ("settings[unclosed", &["settings", "unclosed"]),
        ] {
            assert_eq!(steps(path), expected, "{path}");
        }
    }
}
