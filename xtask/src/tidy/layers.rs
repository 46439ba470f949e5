//! Arrows between crates point down only (ARCHITECTURE.md tells why the layers are these).
//!
//! Reads `cargo metadata`; which module uses which inside a crate is not its business.

use serde_json::Value;

use super::Fault;

/// Our crates from the bottom up. A crate may depend on those before it, and on no other of ours.
const LAYERS: &[&str] = &[
    "crossdock-value",
    "crossdock-canonical",
    "crossdock-flows",
    "crossdock-store",
    "crossdock-connect",
    "crossdock-engine",
    "crossdock-landscape",
    "crossdock-connectors",
    "crossdock-verify",
    "crossdock-simulators",
    "crossdock-server",
    "crossdock-trials",
    "crossdock",
];

/// Crates that share nothing with the hub: a simulator that used a connector's wire types would share its mistakes too,
/// and the commands here must build in seconds.
const ALONE: &[&str] = &["crossdock-simulators", "xtask"];

/// Crates in which everything is a function of its arguments.
const PURE: &[&str] = &["crossdock-value", "crossdock-canonical", "crossdock-flows"];

/// What no pure crate may name, even to test itself: runtimes, sockets, databases, random sources, logs.
const IMPURE: &[&str] = &[
    "axum",
    "getrandom",
    "hyper",
    "hyper-util",
    "rand",
    "rusqlite",
    "rustls",
    "tokio",
    "tokio-postgres",
    "tokio-rustls",
    "tracing",
    "tracing-subscriber",
];

/// A workspace member and what it depends on.
pub struct Crate {
    name: String,
    manifest: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// Only for the crate's own tests.
    dev: bool,
}

/// Reads the output of `cargo metadata --no-deps`.
pub fn crates(metadata: &str) -> Result<Vec<Crate>, String> {
    let metadata: Value = serde_json::from_str(metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let root = text(&metadata["workspace_root"]);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let crates = list(&metadata["packages"]).into_iter().map(|package| Crate {
        name: text(&package["name"]),
        manifest: text(&package["manifest_path"]).trim_start_matches(&root).trim_start_matches('/').to_owned(),
        dependencies: list(&package["dependencies"])
            .iter()
            .map(|dependency| Dependency { name: text(&dependency["name"]), dev: dependency["kind"] == "dev" })
            .collect(),
    });
    Ok(crates.collect())
}

pub fn check(crates: &[Crate]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for one in crates {
        let mut fault = |message: String| faults.push(Fault { path: one.manifest.clone(), line: 0, message });
        let layer = rank(&one.name);
        if layer.is_none() && one.name != "xtask" {
            fault(format!("`{}` is in no layer: give it its place in LAYERS (xtask/src/tidy/layers.rs)", one.name));
        }
        for dependency in &one.dependencies {
            let name = &dependency.name;
            if PURE.contains(&one.name.as_str()) && IMPURE.contains(&name.as_str()) {
                fault(format!("`{}` is pure and must not depend on `{name}`: pass the value in", one.name));
            }
            if name == "xtask" {
                fault("nothing depends on xtask".to_owned());
            }
            let Some(below) = rank(name) else { continue };
            if ALONE.contains(&one.name.as_str()) {
                fault(format!("`{}` stands alone and must not depend on `{name}`", one.name));
            } else if layer.is_some_and(|layer| below >= layer) && !is_simulator_for_tests(dependency) {
                fault(format!("`{}` must not depend on `{name}`, which lies above it", one.name));
            }
        }
    }
    faults
}

/// A simulator depends on nothing of ours, so a test may use it from any layer without closing a circle.
fn is_simulator_for_tests(dependency: &Dependency) -> bool {
    dependency.dev && dependency.name == "crossdock-simulators"
}

fn rank(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Faults of one crate with one dependency (`kind` as cargo writes it).
    fn faults(name: &str, dependency: &str, kind: &str) -> String {
        let metadata = format!(
            r#"{{"workspace_root":"/r","packages":[{{"name":"{name}","manifest_path":"/r/crates/x/Cargo.toml",
                "dependencies":[{{"name":"{dependency}","kind":{kind}}}]}}]}}"#
        );
        let faults = check(&crates(&metadata).expect("well formed"));
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_arrow_down_is_fine() {
        for (name, dependency, kind) in [
            ("crossdock-engine", "crossdock-store", "null"),
            ("crossdock", "crossdock-trials", "null"),
            ("crossdock-connectors", "crossdock-simulators", "\"dev\""),
            ("crossdock-store", "tokio", "null"),
            ("xtask", "serde_json", "null"),
        ] {
            assert_eq!(faults(name, dependency, kind), "", "{name} -> {dependency}");
        }
    }

    #[test]
    fn each_forbidden_arrow_is_named_at_its_manifest() {
        for (name, dependency, kind, told) in [
            ("crossdock-flows", "crossdock-engine", "null", "which lies above it"),
            ("crossdock-value", "crossdock-canonical", "\"dev\"", "which lies above it"),
            ("crossdock-connectors", "crossdock-simulators", "null", "which lies above it"),
            ("crossdock-simulators", "crossdock-value", "null", "stands alone"),
            ("xtask", "crossdock-value", "null", "stands alone"),
            ("crossdock-flows", "tokio", "null", "is pure"),
            ("crossdock-flows", "rusqlite", "\"dev\"", "is pure"),
            ("crossdock-server", "xtask", "null", "nothing depends on xtask"),
            ("crossdock-shiny", "serde", "null", "is in no layer"),
        ] {
            let found = faults(name, dependency, kind);
            assert!(found.starts_with("crates/x/Cargo.toml: ") && found.contains(told), "{name} -> {dependency}: {found}");
        }
    }
}
