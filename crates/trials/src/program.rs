//! The hub's own program, which campaigns start, kill and replace.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// The program beside this one, brought up to date where cargo runs us.
pub(crate) fn crossdock() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| format!("where am I: {e}"))?;
    let folder = own.parent().ok_or("this program has no folder")?;
    // Tests are one folder deeper.
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let program = folder.join("crossdock");
    if std::env::var_os("CARGO").is_some() {
        let mut build = cargo();
        build.args(["build", "--quiet", "--package", "crossdock"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if let Some(target) = folder.parent() {
            build.arg("--target-dir").arg(target);
        }
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let built = build.stdin(Stdio::null()).status().map_err(|e| format!("cargo does not start: {e}"))?;
        if !built.success() {
            return Err("the hub's program does not build".into());
        }
    }
    if program.is_file() { Ok(program) } else { Err(format!("{} is missing: build it first", program.display())) }
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_our_package(&mut cargo);
    cargo
}

/// Takes away what cargo told us of our own package: to some build scripts it would be news, and all that depends on them would be built
/// again.
pub(crate) fn forget_our_package(command: &mut Command) {
    let ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
        command.env_remove(name);
    }
}
