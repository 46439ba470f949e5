//! Debian packages that the tests and the peer steps need, installed only when something is missing.
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
    Package { name: "postgresql", is_there: || has_postgresql(0) },
    Package { name: "postgresql-15", is_there: || has_postgresql(15) },
    Package { name: "python3-venv", is_there: || process::output("python3", &["-c", "import ensurepip, venv"]).is_ok() },
];

/// What the tests themselves start (a server of their own), beside Rust.
pub const FOR_TESTS: &[&str] = &["postgresql-15"];

/// Whether there is a PostgreSQL of this major version or a newer one. Debian keeps the server's programs off the search path, one
/// folder a major version; what is on the path is somebody's own choice.
fn has_postgresql(major_min: u32) -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let is_new =
        |name: std::ffi::OsString| name.to_str().and_then(|name| name.parse().ok()).is_some_and(|found: u32| found >= major_min);
    process::is_on_path("initdb")
        || versions.into_iter().any(|version| is_new(version.file_name()) && version.path().join("bin/initdb").is_file())
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
        return Err(format!("these programs are missing: {list} (Debian's names); install them{}", without(names)));
    }
    if process::output("id", &["-u"])?.trim() != "0" {
        return Err(format!(
            "packages are missing; run\n\n    sudo apt-get update && sudo apt-get install --no-install-recommends {list}\n\n\
             and repeat{}",
            without(names)
        ));
    }
    process::run("apt-get", &["-qq", "update"])?;
    let mut install = vec!["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "install", "-y", "--no-install-recommends"];
    install.extend(&missing);
    process::run("env", &install)
}

/// What can be done without the peers' packages; the tests cannot do without theirs.
fn without(names: &[&str]) -> &'static str {
    if names == FOR_TESTS { "" } else { ", or run `cargo xtask test --fast`, which needs none of them" }
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
    fn what_the_tests_need_has_a_check() {
        assert!(FOR_TESTS.iter().all(|need| PACKAGES.iter().any(|package| package.name == *need)));
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
