//! Shims: small C libraries that are preloaded into a program under trial and stand between it and its system calls. Built where they
//! are needed, with the machine's C compiler.

use crate::cluster::run;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Builds `shim/NAME.c` into a folder.
pub(crate) fn build(name: &str, folder: &Path) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("shim/{name}.c"));
    let shim = folder.join(format!("{name}.so"));
    run(Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&shim).arg(&source).arg("-ldl"))
        .map_err(|e| format!("a shim is built by a C compiler named `cc`: {e}"))?;
    Ok(shim)
}
