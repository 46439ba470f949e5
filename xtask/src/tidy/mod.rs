//! `cargo xtask tidy`: structure and leftovers that neither the compiler nor clippy sees.
//!
//! A rule is a function from a file, or from the set of all files, to faults; it reads text and parses no Rust, so it is
//! fast and sometimes coarse. Where a rule is wrong about one place, the place goes into that rule's table with a reason.

mod deploy;
mod layers;
mod modules;
mod scenarios;
mod text;

use std::fmt;

use crate::{Failure, only_flags, process};

pub const HELP: &str = "\
usage: cargo xtask tidy

Checks, over every file that git knows or would add:

  layers       dependencies between crates point down only; pure crates do no I/O
  module docs  every .rs file begins with `//!` and says what it is for
  modules      no forgotten source file, no test outside tests/it/main.rs
  leftovers    debug prints, fix-me notes, unfinished code, ignored tests
  paths        no absolute path of one machine
  length       at most 800 lines a file, or a reason
  sleeps       no sleep in a test as synchronisation
  deploy       no root, nothing writable but the state, nothing without a version
  scenarios    each listed failure has a test that names its number";

/// A source or text file: its path from the root, with `/`, and what is in it.
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// A fault at a line, counted from one; line zero means the whole file.
    fn fault(&self, line: usize, message: impl Into<String>) -> Fault {
        Fault { path: self.path.clone(), line, message: message.into() }
    }
}

/// A place that breaks a rule, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    path: String,
    line: usize,
    message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.path, self.message),
            line => write!(out, "{}:{line}: {}", self.path, self.message),
        }
    }
}

pub fn run(arguments: &[String]) -> Result<(), Failure> {
    only_flags(arguments, &[])?;
    Ok(check()?)
}

/// Applies every rule to the checkout.
pub fn check() -> Result<(), String> {
    let files = files()?;
    let metadata = process::output(&process::cargo(), &["metadata", "--format-version", "1", "--no-deps"])?;
    let mut faults = layers::check(&layers::crates(&metadata)?);
    faults.extend(deploy::check(&files));
    faults.extend(modules::check(&files));
    faults.extend(scenarios::check(&files));
    faults.extend(text::check(&files));
    if faults.is_empty() {
        println!("tidy: {} files, no fault", files.len());
        return Ok(());
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    Err(format!("tidy found {} faults", faults.len()))
}

/// Every text file that is committed or would be, so that build output and what git ignores are left alone.
fn files() -> Result<Vec<File>, String> {
    let list = process::output("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let root = process::root();
    let mut files = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        match std::fs::read(root.join(path)) {
            // Not UTF-8: a picture or a font, nothing to read here.
            Ok(bytes) => files.extend(String::from_utf8(bytes).ok().map(|text| File { path: path.to_owned(), text })),
            // Deleted and not yet committed, or a link to a folder.
            Err(_) => continue,
        }
    }
    Ok(files)
}

#[cfg(test)]
pub fn planted(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}
