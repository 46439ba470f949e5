//! The reference: its examples are one landscape without a fault, and it names every key and every code.

use crate::root;
use crossdock_landscape::{Folder, Known, Landscape};
use std::{collections::BTreeSet, fs};

fn reference() -> String {
    fs::read_to_string(root("docs/landscape.md")).expect("it is there")
}

/// Fenced blocks whose first line names a file: "```yaml systems/erp.yaml".
fn examples(text: &str) -> Vec<(String, String)> {
    let mut examples = Vec::new();
    let mut rest = text;
    while let Some((_, tail)) = rest.split_once("\n```") {
        let (head, body) = tail.split_once('\n').expect("a fence ends its line");
        let (example, after) = body.split_once("\n```").expect("a fence is closed");
        if let Some((_, path)) = head.split_once(' ') {
            examples.push((path.to_owned(), format!("{example}\n")));
        }
        rest = after;
    }
    examples
}

#[test]
fn the_examples_are_a_landscape_without_a_fault() {
    let examples = examples(&reference());
    let kinds: BTreeSet<&str> = examples.iter().map(|(path, _)| path.split('/').next().unwrap_or_default()).collect();
    let expected =
        ["contracts", "crossdock.yaml", "mappings", "markets", "ownership.yaml", "policies", "schedules.yaml", "systems"];
    assert_eq!(kinds, expected.into(), "every kind of file has an example");
    if let Err(report) = Landscape::from_folder(&Folder::from_files(examples), &Known::ANYTHING) {
        panic!("{}", report.render(false));
    }
}

#[test]
fn every_key_that_is_read_is_explained() {
    let reference = reference();
    let mut keys = BTreeSet::new();
    for entry in fs::read_dir(root("crates/landscape/src")).expect("it is there") {
        let source = fs::read_to_string(entry.expect("it can be read").path()).expect("it is text");
        for call in [".need(\"", ".get(\"", ".or(\"", ".node(\"", ".entry(\"", ".section(\"", ".required(\""] {
            keys.extend(source.split(call).skip(1).filter_map(|tail| tail.split_once('"')).map(|(key, _)| key.to_owned()));
        }
    }
    // `get` of JSON Schemas, in shape.rs.
    for foreign in ["$ref", "enum", "properties", "type", "items", "const", "channel"] {
        keys.remove(foreign);
    }
    assert!(keys.len() > 50, "{keys:?}");
    let silent: Vec<&String> = keys.iter().filter(|key| !reference.contains(&format!("`{key}`"))).collect();
    assert!(silent.is_empty(), "docs/landscape.md does not explain {silent:?}");
}

#[test]
fn every_code_is_listed_and_every_listed_code_is_shown_by_a_faulty_landscape() {
    let reference = reference();
    let table = reference.split_once("\n## Faults").expect("the section is there").1;
    let listed: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next())
        .flat_map(|codes| codes.split(", "))
        .map(|code| code.trim_matches('`'))
        .collect();
    let mut shown = BTreeSet::new();
    for folder in fs::read_dir(root("crates/landscape/tests/faulty")).expect("it is there") {
        let expected = folder.expect("it can be read").path().join("expected.txt");
        let expected = fs::read_to_string(expected).expect("every folder has one");
        shown.extend(
            expected
                .lines()
                .filter_map(|line| line.split(' ').find(|word| !word.contains(':') && !word.contains('/')))
                .map(str::to_owned),
        );
    }
    // Shown by other tests: what connectors say, and files too large to commit.
    shown.extend(["setting".to_owned(), "unreadable_file".to_owned()]);
    assert_eq!(listed.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), shown);
}

#[test]
fn every_operation_is_in_the_table() {
    let reference = reference();
    for operation in crossdock_canonical::Operation::ALL.iter().filter(|o| o.as_str() != "hub.command") {
        assert!(reference.contains(&format!("`{operation}`")), "{operation}");
    }
}
