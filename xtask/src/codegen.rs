//! `cargo xtask codegen`: files made from the code, committed, and compared with a fresh run.
//!
//! A generator is a cargo command that writes below the path it is given last. Generated files are committed so that a
//! reader and a review see them; `--check` proves that they are what the code makes today. To add one: a line in
//! [`GENERATORS`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Failure, only_flags, process};

pub const HELP: &str = "\
usage: cargo xtask codegen [--check]

Writes every generated file of the repository anew.

  --check   write nothing; fail when a committed file differs from a fresh run";

/// One family of generated files.
struct Generator {
    /// The committed file or folder, from the root. A folder is wholly the generator's: other files in it are faults.
    output: &'static str,
    /// The cargo command; the path to write to is added as its last argument.
    command: &'static [&'static str],
}

/// Every generator.
const GENERATORS: &[Generator] = &[
    Generator { output: "schemas", command: &["run", "--quiet", "--package", "crossdock", "--", "schema"] },
    Generator {
        output: "docs/openapi.json",
        command: &["run", "--quiet", "--package", "crossdock-server", "--example", "openapi", "--"],
    },
];

pub fn run(arguments: &[String]) -> Result<(), Failure> {
    only_flags(arguments, &["--check"])?;
    if arguments.is_empty() {
        write_all()?
    } else {
        check()?
    }
    Ok(())
}

fn write_all() -> Result<(), String> {
    for generator in GENERATORS {
        let output = process::root().join(generator.output);
        remove(&output)?;
        generate(generator, &output)?;
    }
    println!("codegen: {} generators written", GENERATORS.len());
    Ok(())
}

/// Compares what is committed with a fresh run made beside the build.
pub fn check() -> Result<(), String> {
    let mut differences = Vec::new();
    for generator in GENERATORS {
        let fresh = process::root().join("target/codegen").join(generator.output);
        remove(&fresh)?;
        generate(generator, &fresh)?;
        let committed = process::root().join(generator.output);
        differences.extend(compare(generator.output, &read_tree(&committed)?, &read_tree(&fresh)?));
    }
    if differences.is_empty() {
        println!("codegen: {} generators, all as committed", GENERATORS.len());
        return Ok(());
    }
    Err(format!("{}\nrun `cargo xtask codegen` and commit the result", differences.join("\n")))
}

fn generate(generator: &Generator, output: &Path) -> Result<(), String> {
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    }
    let output = output.to_string_lossy();
    let mut command = generator.command.to_vec();
    command.push(&output);
    process::run_cargo(&command)
}

fn remove(path: &Path) -> Result<(), String> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
        _ => Ok(()),
    }
}

/// The bytes of a file, or of every file below a folder, by path within it. What is not there is an empty tree.
type Tree = BTreeMap<PathBuf, Vec<u8>>;

fn read_tree(top: &Path) -> Result<Tree, String> {
    let mut tree = Tree::new();
    let mut pending = vec![top.to_owned()];
    while let Some(path) = pending.pop() {
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        if path.is_dir() {
            for entry in fs::read_dir(&path).map_err(failed)? {
                pending.push(entry.map_err(failed)?.path());
            }
        } else if path.exists() {
            let inner = path.strip_prefix(top).expect("every pending path starts at the top").to_owned();
            tree.insert(inner, fs::read(&path).map_err(failed)?);
        }
    }
    Ok(tree)
}

fn compare(output: &str, committed: &Tree, fresh: &Tree) -> Vec<String> {
    let name = |path: &Path| Path::new(output).join(path).display().to_string();
    let mut differences = Vec::new();
    for (path, bytes) in fresh {
        match committed.get(path) {
            None => differences.push(format!("{}: made by the code, not committed", name(path))),
            Some(old) if old != bytes => differences.push(format!("{}: not what the code makes today", name(path))),
            Some(_) => {}
        }
    }
    for path in committed.keys().filter(|path| !fresh.contains_key(*path)) {
        differences.push(format!("{}: committed, no longer made by the code", name(path)));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn equal_trees_have_no_difference() {
        let made = tree(&[("order.json", "{}"), ("events/order.json", "[]")]);
        assert_eq!(compare("schemas", &made, &made), Vec::<String>::new());
    }

    #[test]
    fn changed_missing_and_left_over_files_are_each_named() {
        let committed = tree(&[("changed.json", "1"), ("left-over.json", "1")]);
        let fresh = tree(&[("changed.json", "2"), ("new.json", "1")]);
        let found = compare("schemas", &committed, &fresh).join("\n");
        for name in ["schemas/changed.json: not what", "schemas/new.json: made by", "schemas/left-over.json: committed"] {
            assert!(found.contains(name), "`{name}` in:\n{found}");
        }
    }
}
