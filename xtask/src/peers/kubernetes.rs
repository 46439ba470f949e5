//! The manifests of `deploy/kubernetes` against Kubernetes' own schemas, by a validator that brings them along (no cluster, no network).

use std::{process::Command, time::Duration};

use super::program;
use crate::process;

pub const NEEDS: &[&str] = &["python3-venv"];

/// The oldest and the newest release that the validator knows and that is still in service.
const RELEASES: &[&str] = &["1.33", "1.37"];

pub fn run() -> Result<(), String> {
    let validator = program::python("kubernetes")?.with_file_name("kubernetes-validate");
    let folder = process::root().join("deploy/kubernetes");
    let listed = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut manifests: Vec<_> =
        listed.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    manifests.sort();
    if manifests.is_empty() {
        return Err(format!("{} holds no manifest", folder.display()));
    }
    for release in RELEASES {
        let mut command = Command::new(&validator);
        command.args(["--strict", "--kubernetes-version", release]).args(&manifests);
        program::run(&mut command, Duration::from_secs(60))?;
    }
    Ok(())
}
