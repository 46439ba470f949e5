//! Rules about the text of one file: leftovers, paths of one machine, module docs, length, sleeps in tests.
//!
//! What a rule looks for is put together with `concat!`, so that this file does not find itself.

use super::{Fault, File};

/// The longest a file may be. Past it, ask what the second subject is.
const LINES_MAX: usize = 800;

/// Files that may be longer, each with its reason.
const LONG: &[(&str, &str)] = &[];

/// Test files that may call a sleep, each with its reason.
const SLEEPS: &[(&str, &str)] = &[];

/// Words that mean unfinished or forgotten work, and what to do instead.
const LEFTOVERS: &[(&str, &str)] = &[
    (concat!("dbg", "!("), "a debug print: delete it"),
    (concat!("todo", "!("), "unfinished code: finish it, or leave it out"),
    (concat!("unimplemented", "!("), "unfinished code: finish it, or leave it out"),
    (concat!("FIX", "ME"), "a note to fix something: fix it, or open an issue"),
    (concat!("XX", "X:"), "a note to fix something: fix it, or open an issue"),
    (concat!("#[igno", "re"), "an ignored test proves nothing: assert what happens today and say why"),
];

/// Folders that exist on one machine only.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/tm", "p/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Other people's files, kept as they came.
const VENDORED: &[&str] = &["/vendor/", "/fixtures/", "/specs/"];

pub fn check(files: &[File]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| !is_vendored(file)) {
        faults.extend(leftovers(file));
        faults.extend(machine_paths(file));
        if file.is_rust() {
            faults.extend(module_docs(file));
            faults.extend(length(file, LONG));
            faults.extend(sleeps(file, SLEEPS));
        }
    }
    faults.extend(stale(files, LONG, |file| file.text.lines().count() > LINES_MAX));
    faults.extend(stale(files, SLEEPS, |file| !sleeps(file, &[]).is_empty()));
    faults
}

fn is_vendored(file: &File) -> bool {
    let path = format!("/{}", file.path);
    VENDORED.iter().any(|folder| path.contains(folder)) || path.ends_with(".lock")
}

/// The file's lines, counted from one.
fn lines(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn leftovers(file: &File) -> Vec<Fault> {
    let found = lines(file).flat_map(|(number, line)| {
        let hits = LEFTOVERS.iter().filter(move |(word, _)| line.contains(word));
        hits.map(move |(word, advice)| file.fault(number, format!("`{word}` is {advice}")))
    });
    found.collect()
}

fn machine_paths(file: &File) -> Vec<Fault> {
    // After one of these it is part of a longer path or of an address (`docs.example/home/`).
    let goes_on = |before: char| before.is_alphanumeric() || "._-~/}$)".contains(before);
    let stands_alone = |line: &str, at: usize| !line[..at].ends_with(goes_on);
    let found = lines(file).flat_map(|(number, line)| {
        let hits = MACHINE_PATHS.iter().filter(move |path| line.match_indices(*path).any(|(at, _)| stands_alone(line, at)));
        hits.map(move |path| file.fault(number, format!("`{path}` is a path of one machine: use one from the root")))
    });
    found.collect()
}

fn module_docs(file: &File) -> Vec<Fault> {
    let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    match first.strip_prefix("//!") {
        Some(words) if !words.trim().is_empty() => Vec::new(),
        _ => vec![file.fault(1, "begin the file with `//!` and what it is for")],
    }
}

fn length(file: &File, allowed: &[(&str, &str)]) -> Vec<Fault> {
    let length = file.text.lines().count();
    if length <= LINES_MAX || allowed.iter().any(|(path, _)| *path == file.path) {
        return Vec::new();
    }
    vec![file.fault(0, format!("{length} lines, more than {LINES_MAX}: split it by subject"))]
}

/// A sleep makes a test slow when it is long and flaky when it is short; wait for a condition, or hand time in.
fn sleeps(file: &File, allowed: &[(&str, &str)]) -> Vec<Fault> {
    if allowed.iter().any(|(path, _)| *path == file.path) {
        return Vec::new();
    }
    let all_tests = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    let mut in_tests = all_tests;
    let mut faults = Vec::new();
    for (number, line) in lines(file) {
        in_tests |= line.trim_start().starts_with("#[cfg(test)]");
        let code = line.split("//").next().unwrap_or_default();
        if in_tests && code.contains(concat!("sle", "ep(")) {
            faults.push(file.fault(number, "a test that sleeps is slow or flaky: wait for a condition, or hand the time in"));
        }
    }
    faults
}

/// An entry of a table that allows nothing any more is a fault itself.
fn stale(files: &[File], table: &[(&str, &str)], still_needed: fn(&File) -> bool) -> Vec<Fault> {
    let stale = table.iter().filter(|(path, _)| !files.iter().any(|file| file.path == *path && still_needed(file)));
    let fault = |(path, _): &(&str, &str)| Fault {
        path: (*path).to_owned(),
        line: 0,
        message: "its entry in a table of xtask/src/tidy/text.rs is not needed any more: delete it".to_owned(),
    };
    stale.map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::super::planted;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&[planted(path, text)]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_ordinary_file_has_no_fault() {
        let text = "//! Refunds.\n\n// See https://example.com/home/page and ./work/list.\nfn refund() {}\n";
        assert_eq!(found("crates/a/src/refund.rs", text), Vec::<String>::new());
    }

    #[test]
    fn each_leftover_is_found_at_its_line() {
        for (word, _) in LEFTOVERS {
            let faults = found("crates/a/src/refund.rs", &format!("//! Refunds.\n{word}\n"));
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with("crates/a/src/refund.rs:2: "), "{faults:?}");
        }
    }

    #[test]
    fn a_path_of_one_machine_is_found_in_any_kind_of_text() {
        for path in MACHINE_PATHS {
            for line in [format!("cd {path}here"), format!("open(\"{path}x\")"), format!("{path}x"), format!("PATH=a:{path}b")] {
                assert_eq!(found("docs/guide.md", &line).len(), 1, "`{line}`");
            }
        }
    }

    #[test]
    fn a_file_without_a_purpose_is_found() {
        for text in ["", "fn refund() {}\n", "//!\nfn refund() {}\n", "// Refunds.\n"] {
            assert_eq!(found("crates/a/src/refund.rs", text).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let long = format!("//! Refunds.\n{}", "// line\n".repeat(LINES_MAX));
        assert_eq!(found("crates/a/src/refund.rs", &long).len(), 1);
        let file = planted("crates/a/src/refund.rs", &long);
        assert_eq!(length(&file, &[("crates/a/src/refund.rs", "a table of codes")]), Vec::new());
    }

    #[test]
    fn an_entry_that_allows_nothing_is_found() {
        let file = planted("crates/a/src/refund.rs", "//! Refunds.\n");
        let table = [("crates/a/src/refund.rs", "was long"), ("crates/a/src/gone.rs", "was there")];
        assert_eq!(stale(&[file], &table, |file| file.text.lines().count() > LINES_MAX).len(), 2);
    }

    #[test]
    fn a_sleep_is_found_in_tests_and_left_alone_elsewhere() {
        let call = concat!("std::thread::sle", "ep(pause);");
        let inline = format!("//! Refunds.\nfn f() {{ {call} }}\n#[cfg(test)]\nmod tests {{\n{call}\n}}\n");
        assert_eq!(
            found("crates/a/src/refund.rs", &inline),
            ["crates/a/src/refund.rs:5: a test that sleeps is slow or flaky: wait for a condition, or hand the time in"]
        );
        for path in ["crates/a/tests/it/refund.rs", "crates/a/src/refund/tests.rs"] {
            assert_eq!(found(path, &format!("//! Refunds.\n{call}\n")).len(), 1, "{path}");
        }
        assert_eq!(found("crates/a/src/refund.rs", &format!("//! Refunds.\n{call}\n")), Vec::<String>::new());
    }
}
