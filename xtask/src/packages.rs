//! Debian packages that the peer steps need, installed only when something is missing.
//!
//! A machine that has everything is left alone: no package list is fetched, nothing is upgraded. Without root the
//! command line to run is printed instead.

use crate::process;

/// A package and how to see that what we need of it is there.
struct Package {
    name: &'static str,
    is_there: fn() -> bool,
}

const PACKAGES: &[Package] = &[
    Package { name: "chromium", is_there: || process::is_on_path("chromium") },
    Package { name: "chromium-driver", is_there: || process::is_on_path("chromedriver") },
    Package { name: "nodejs", is_there: || process::is_on_path("node") },
    Package { name: "npm", is_there: || process::is_on_path("npm") },
    Package { name: "postgresql", is_there: has_postgresql },
    Package { name: "python3-venv", is_there: || process::output("python3", &["-c", "import ensurepip, venv"]).is_ok() },
];

/// Debian keeps the server's programs off the search path, one folder a major version.
fn has_postgresql() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    process::is_on_path("initdb") || versions.into_iter().any(|version| version.path().join("bin/initdb").is_file())
}

/// Sees to it that each named package is there.
pub fn ensure(names: &[&str]) -> Result<(), String> {
    let mut missing = Vec::new();
    for &name in names {
        let package = PACKAGES.iter().find(|package| package.name == name);
        let package = package.ok_or_else(|| format!("no check is known for the package `{name}`: add it to PACKAGES"))?;
        if !(package.is_there)() && !missing.contains(&name) {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !process::is_on_path("apt-get") {
        return Err(format!(
            "these programs are missing: {list} (Debian's names); install them, or run `cargo xtask test --fast`"
        ));
    }
    if process::output("id", &["-u"])?.trim() != "0" {
        return Err(format!(
            "packages are missing; run\n\n    sudo apt-get update && sudo apt-get install --no-install-recommends {list}\n\n\
             and repeat, or run `cargo xtask test --fast`, which needs none of them"
        ));
    }
    process::run("apt-get", &["-qq", "update"])?;
    let mut install = vec!["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "install", "-y", "--no-install-recommends"];
    install.extend(&missing);
    process::run("env", &install)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_a_check_is_refused_before_anything_is_installed() {
        let refusal = ensure(&["no-such-package"]).expect_err("it has no check");
        assert!(refusal.contains("no-such-package"), "{refusal}");
    }

    #[test]
    fn every_package_that_a_peer_step_names_has_a_check() {
        for peer in crate::peers::PEERS {
            for need in peer.needs {
                assert!(PACKAGES.iter().any(|package| package.name == *need), "{} needs {need}", peer.name);
            }
        }
    }
}
