//! Peer steps: tests against software that is not ours, in their short form.
//!
//! A simulator of ours can share our misreading of a vendor; a peer cannot. Each step brings its peer up, drives the
//! hub or one of its parts against it, and takes it down again. To add one: write its file in this module's folder, list it in
//! [`PEERS`] with the Debian packages it needs. A step is listed only when it really tests something, and takes under two
//! minutes, its installation included; Tryton, which is a whole ERP, under six.

mod browser;
mod commerce_sdk;
mod console;
mod kubernetes;
mod localstripe;
mod postgres;
mod program;
pub mod screenshot;

use crate::{Failure, packages, tryton};

pub const HELP: &str = "\
usage: cargo xtask peers [NAME ...]

Runs the peer steps alone, or those whose name holds one of the words given:
commerce-sdk, localstripe, Kubernetes, PostgreSQL, Chromium, Tryton. `cargo xtask test` runs all.";

/// One peer step.
pub struct Peer {
    /// Its name in the report.
    pub name: &'static str,
    /// Debian packages it needs, by the names in `packages.rs`.
    pub needs: &'static [&'static str],
    /// Runs it; an error is the step's failure.
    pub run: fn() -> Result<(), String>,
}

/// Every peer step, in the order they run.
pub const PEERS: &[Peer] = &[
    Peer { name: "peer: commerce-sdk", needs: commerce_sdk::NEEDS, run: commerce_sdk::run },
    Peer { name: "peer: localstripe", needs: localstripe::NEEDS, run: localstripe::run },
    Peer { name: "peer: Kubernetes", needs: kubernetes::NEEDS, run: kubernetes::run },
    Peer { name: "peer: PostgreSQL", needs: postgres::NEEDS, run: postgres::run },
    Peer { name: "peer: Chromium", needs: console::NEEDS, run: console::run },
    Peer { name: "peer: Tryton", needs: tryton::NEEDS, run: tryton::run },
];

pub fn run(names: &[String]) -> Result<(), Failure> {
    if let Some(unknown) = names.iter().find(|name| !PEERS.iter().any(|peer| peer.name.contains(name.as_str()))) {
        return Err(Failure::Usage(format!("there is no peer step `{unknown}`\n\n{HELP}")));
    }
    for peer in PEERS.iter().filter(|peer| names.is_empty() || names.iter().any(|name| peer.name.contains(name.as_str()))) {
        packages::ensure(peer.needs)?;
        println!("\n== {}", peer.name);
        (peer.run)().map_err(|error| format!("{}: {error}", peer.name))?;
    }
    Ok(())
}
