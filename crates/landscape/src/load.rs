//! From a folder of files to a landscape, or to every fault in it.

use crate::{
    Known, Landscape,
    contract::{Contract, Contracts},
    fault::{Faults, Report},
    hub::{self, StoreConfig},
    mapping::{self, Mapping},
    market::{self, Fragments, Market, Sites},
    ownership::{self, Ownership},
    read::valid,
    schedule,
    source::{FileId, Folder},
    system::{self, System},
    world::World,
    yaml::{self, Data, Node},
};
use crossdock_connect::config::SystemConfig;
use crossdock_value::{Limits, Value, obj, to_json_string};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, sync::Arc};

/// The files at the root of a landscape.
const TOP: &[&str] = &["crossdock.yaml", "ownership.yaml", "schedules.yaml"];
/// Its folders, with how their files end.
const FOLDERS: &[(&str, &str)] =
    &[("systems", ".yaml"), ("markets", ".yaml"), ("policies", ".yaml"), ("mappings", ".yaml"), ("contracts", ".json")];

/// What a variable of the environment reads as while a landscape is only checked.
const ANY_VARIABLE: &str = "http://127.0.0.1:9";

/// A parsed file of one of the folders.
struct File {
    /// Without folder and ending: the name of the system, market or policy.
    name: String,
    id: FileId,
    root: Option<Node>,
}

/// Reads everything and reports everything: a landscape without a fault, or every fault there is.
pub(crate) fn load(folder: &Folder, known: &Known<'_>) -> Result<Landscape, Report> {
    let mut faults = Faults::default();
    let landscape = Loader { folder, known, faults: &mut faults }.landscape();
    if faults.is_empty() { Ok(landscape) } else { Err(faults.into_report()) }
}

struct Loader<'a> {
    folder: &'a Folder,
    known: &'a Known<'a>,
    faults: &'a mut Faults,
}

impl Loader<'_> {
    /// What could be read; where something could not, there is a fault, and nobody gets to see the rest.
    fn landscape(&mut self) -> Landscape {
        if !self.folder.files.contains_key("crossdock.yaml") {
            let file = self.faults.file("crossdock.yaml", "");
            self.faults.add(Faults::head(file), "missing_file", "a landscape needs a crossdock.yaml; is this the right folder?");
        }
        let node = self.top("crossdock.yaml").and_then(|root| hub::read(&root?, self.faults));
        self.strays(&node.as_ref().map_or_else(|| hub::NodeConfig::default().store, |node| node.store.clone()));

        let mut world = World::default();
        let mut systems = self.systems(&mut world);
        let policies = self.folder("policies");
        let market_files = self.folder("markets");
        for file in &market_files {
            world.markets.insert(file.name.clone(), market::time_zone_of(file.root.as_ref()));
        }
        let markets = self.markets(&market_files, &policies, &world);

        let ownership = match self.top("ownership.yaml").flatten() {
            Some(root) => ownership::read(&root, &world, self.faults),
            None => Ownership::default(),
        };
        let mappings = self.mappings(&world, &ownership);
        let schedules = match self.top("schedules.yaml").flatten() {
            Some(root) => schedule::read(&root, &world, self.faults),
            None => Vec::new(),
        };
        let contracts = self.contracts();

        self.assign(mappings, &mut systems);
        let contracts_hash =
            hash(&contracts.iter().map(|(kind, contract)| obj([(kind.clone(), contract.schema.clone())])).collect());
        for system in &mut systems {
            system.hash = system_hash(system, &contracts_hash);
            let checked = system.resolve(&|_| Some(ANY_VARIABLE.into())).unwrap_or_else(|_| system.config.clone());
            system::connector_faults(system, (self.known.faults)(&checked), self.faults);
        }
        let pinned = market_files.iter().map(|file| ("markets", file)).chain(policies.iter().map(|file| ("policies", file)));
        let pinned = pinned.map(|(kind, file)| {
            let content = file.root.as_ref().map_or(Value::Null, Node::to_value);
            Value::from_iter([kind.into(), file.name.as_str().into(), content])
        });
        let hash = hash(&pinned.collect());
        Landscape { node: node.unwrap_or_default(), systems, markets, ownership, schedules, contracts: Arc::new(contracts), hash }
    }

    /// Files that no part of a landscape is read from: mistyped names would be silence. The store may lie among them.
    fn strays(&mut self, store: &StoreConfig) {
        for (path, why) in self.folder.refused.iter().filter(|(path, _)| !store.owns(path)) {
            let file = self.faults.file(path.clone(), "");
            self.faults.add(Faults::head(file), "unreadable_file", why.clone());
        }
        for path in self.folder.files.keys().filter(|path| !store.owns(path)) {
            let (message, suggestion) = match path.split_once('/') {
                None if TOP.contains(&path.as_str()) => continue,
                None => ("this file is no part of a landscape".to_owned(), valid(path, TOP.iter().copied())),
                Some((folder, name)) => match FOLDERS.iter().find(|(known, _)| *known == folder) {
                    None => {
                        let names = FOLDERS.iter().map(|(known, _)| *known);
                        (format!("a landscape has no folder `{folder}`"), valid(folder, names))
                    }
                    Some((_, ending)) => match name.strip_suffix(ending) {
                        Some(stem) if folder == "contracts" || is_name(stem) => continue,
                        Some(_) => {
                            let message = "the name may hold letters, digits, `-` and `_`, and not be `hub`";
                            (message.to_owned(), None)
                        }
                        None => (format!("files in `{folder}` end in `{ending}`"), None),
                    },
                },
            };
            let file = self.faults.file(path.clone(), "");
            self.faults.add(Faults::head(file), "unknown_file", message).suggest(suggestion);
        }
    }

    /// A file at the root: `None` when it is absent, `Some(None)` when it is empty or no YAML.
    fn top(&mut self, path: &str) -> Option<Option<Node>> {
        let text = self.folder.files.get(path)?;
        let file = self.faults.file(path, text.as_str());
        Some(yaml::parse(file, text, self.faults))
    }

    fn folder(&mut self, folder: &str) -> Vec<File> {
        let prefix = format!("{folder}/");
        let mut files = Vec::new();
        for (path, text) in &self.folder.files {
            let stem = path.strip_prefix(&prefix).and_then(|name| name.strip_suffix(".yaml"));
            let Some(name) = stem.filter(|stem| is_name(stem)) else { continue };
            let id = self.faults.file(path.clone(), text.as_str());
            let root = yaml::parse(id, text, self.faults);
            files.push(File { name: name.to_owned(), id, root });
        }
        files
    }

    fn systems(&mut self, world: &mut World) -> Vec<System> {
        let mut systems = Vec::new();
        for file in self.folder("systems") {
            let unreadable = file.root.is_none() && !self.is_blank(&file);
            if unreadable {
                // The YAML fault is said; the name is known.
                world.systems.insert(file.name, None);
                continue;
            }
            systems.extend(system::read(&file.name, file.id, file.root.as_ref(), self.known.connectors, world, self.faults));
        }
        systems
    }

    fn is_blank(&self, file: &File) -> bool {
        let text = self.faults.text(file.id);
        text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#') || line.trim() == "---")
    }

    fn markets(&mut self, files: &[File], policies: &[File], world: &World) -> Vec<Market> {
        let mut fragments = Fragments::new();
        for file in policies {
            match file.root.as_ref().map(|root| (&root.data, root)) {
                Some((Data::Map(entries), _)) => {
                    self.policy_keys(entries);
                    fragments.insert(&file.name, entries);
                }
                Some((_, root)) => crate::read::wrong_type(root, "a section of keys", self.faults),
                None => drop(fragments.insert(&file.name, &[])),
            }
        }
        let (mut used, mut sites, mut markets) = (Vec::new(), Sites::new(), Vec::new());
        for file in files {
            match &file.root {
                Some(root) => {
                    markets.extend(market::read(&file.name, root, &fragments, &mut used, &mut sites, world, self.faults))
                }
                None if self.is_blank(file) => {
                    self.faults.add(
                        Faults::head(file.id),
                        "missing_key",
                        "a market needs `sites`, `currency`, `taxation` and `time_zone`",
                    );
                }
                None => {}
            }
        }
        // A market that could not be read may be the one that names it.
        let all_read = files.iter().all(|file| file.root.is_some());
        for file in
            policies.iter().filter(|file| all_read && fragments.contains_key(file.name.as_str()) && !used.contains(&file.name))
        {
            let message = format!("no market names the policy `{}`", file.name);
            self.faults
                .add(Faults::head(file.id), "unused_policy", message)
                .suggest(Some("name it in a market's `policies`, or remove it"));
        }
        markets
    }

    fn policy_keys(&mut self, entries: &[(yaml::Key, Node)]) {
        for (key, _) in entries.iter().filter(|(key, _)| !crate::terms::SECTIONS.contains(&key.text.as_str())) {
            let hint = valid(&key.text, crate::terms::SECTIONS.iter().copied());
            self.faults.add(key.spot, "unknown_key", format!("a policy has no key `{}`", key.text)).suggest(hint);
        }
    }

    fn mappings(&mut self, world: &World, ownership: &Ownership) -> Vec<Mapping> {
        let files = self.folder("mappings");
        let roots = files.iter().filter_map(|file| file.root.as_ref());
        roots.filter_map(|root| mapping::read(root, world, ownership, self.faults)).collect()
    }

    /// JSON Schemas by the kind of message they are of. Kinds that no connector hands in yet are taken too.
    fn contracts(&mut self) -> Contracts {
        let mut contracts = Contracts::new();
        for (path, text) in &self.folder.files {
            let Some(kind) = path.strip_prefix("contracts/").and_then(|name| name.strip_suffix(".json")) else { continue };
            let file = self.faults.file(path.clone(), text.as_str());
            match crossdock_value::parse(text.as_bytes(), &Limits::default()) {
                Ok(schema @ (Value::Obj(_) | Value::Bool(_))) => match Contract::new(schema) {
                    Ok(contract) => drop(contracts.insert(kind.to_owned(), contract)),
                    Err(reason) => {
                        self.faults.add(Faults::head(file), "bad_contract", format!("this is not a JSON Schema: {reason}"));
                    }
                },
                Ok(other) => {
                    let message = format!("a JSON Schema is an object; found: {}", other.kind());
                    self.faults.add(Faults::head(file), "bad_contract", message);
                }
                Err(error) => {
                    let mut spot = Faults::head(file);
                    (spot.start, spot.end) = (error.offset, error.offset);
                    self.faults.add(spot, "bad_contract", format!("this is not JSON: {}", error.kind));
                }
            }
        }
        contracts
    }

    /// Hands each system its mappings; two files for one body would be a matter of luck.
    fn assign(&mut self, mappings: Vec<Mapping>, systems: &mut [System]) {
        let mut places = BTreeMap::new();
        for mapping in mappings {
            let name = mapping.subject.name().to_owned();
            if let Some(place) = places.insert((mapping.system.clone(), name.clone()), mapping.spot) {
                let message =
                    format!("`{name}` of the system `{}` is mapped at {} too", mapping.system, self.faults.place(place));
                self.faults.add(mapping.spot, "mapped_twice", message).suggest(Some("put the fields into one file"));
                continue;
            }
            if let Some(system) = systems.iter_mut().find(|system| *system.name() == mapping.system) {
                system.config.mappings.insert(name.clone(), mapping.fields.to_value());
                system.fields.insert(name, Arc::new(mapping.fields));
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !name.is_empty() && name.len() <= 64 && name != "hub" && name.bytes().all(letters)
}

/// What makes the bytes of a system's calls. Limits do not.
fn system_hash(system: &System, contracts: &Arc<str>) -> Arc<str> {
    let SystemConfig { connector, url, auth, settings, mappings, .. } = &system.config;
    let mappings: Value = mappings.iter().map(|(name, fields)| obj([(name.as_str(), fields.clone())])).collect();
    let parts = [connector.into(), url.into(), auth.clone(), settings.clone(), mappings, contracts.into()];
    hash(&Value::from_iter(parts))
}

/// First half of SHA-256 in hex: enough to tell any two landscapes of a retailer apart.
fn hash(value: &Value) -> Arc<str> {
    use std::fmt::Write as _;
    let digest = Sha256::digest(to_json_string(value).as_bytes());
    digest
        .iter()
        .take(16)
        .fold(String::with_capacity(32), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a String takes every write");
            hex
        })
        .into()
}
