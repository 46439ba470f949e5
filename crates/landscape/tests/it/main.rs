//! The loader against whole folders: the demo, faulty landscapes, garbled ones, and the examples of the reference.

mod demo;
mod docs;
mod faulty;
mod garbled;

use std::path::PathBuf;

/// A path from the repository's root.
fn root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
