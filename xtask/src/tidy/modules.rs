//! Files that no build reads: a source file without its `mod` line, a test file that `tests/it/main.rs` forgot.
//!
//! Such a file looks like living code and is not; a forgotten test looks green for ever.

use super::{Fault, File};

pub fn check(files: &[File]) -> Vec<Fault> {
    files.iter().filter(|file| file.is_rust()).filter_map(|file| check_file(file, files)).collect()
}

fn check_file(file: &File, files: &[File]) -> Option<Fault> {
    let (folder, name) = file.path.rsplit_once('/')?;
    let own_root = matches!(name, "main.rs" | "lib.rs" | "build.rs");
    if own_root || folder.ends_with("/bin") || folder.ends_with("/examples") || folder.ends_with("/benches") {
        return None;
    }
    // A folder of unit tests below `src` is a module like any other.
    if folder.ends_with("/tests") && !folder.contains("/src/") {
        return Some(file.fault(0, "one integration binary a crate: move it to tests/it/ and name it in main.rs"));
    }
    let (module, home) = match name {
        "mod.rs" => (folder.rsplit('/').next()?, folder.rsplit_once('/')?.0),
        _ => (name.trim_end_matches(".rs"), folder),
    };
    let parents = [format!("{home}/mod.rs"), format!("{home}.rs"), format!("{home}/main.rs"), format!("{home}/lib.rs")];
    let named = files.iter().filter(|other| parents.contains(&other.path)).any(|parent| names_module(&parent.text, module));
    (!named).then(|| file.fault(0, format!("no `mod {module};` names this file: name it in {home} or delete it")))
}

/// Whether a line `mod NAME;` stands in the text, with any visibility. A raw identifier (`r#return`) counts as itself.
fn names_module(text: &str, module: &str) -> bool {
    text.lines().any(|line| {
        let declared = line.trim().strip_suffix(';').and_then(|line| line.rsplit_once("mod "));
        declared.is_some_and(|(before, name)| {
            name.trim_start_matches("r#") == module && (before.is_empty() || before.starts_with("pub"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted;
    use super::*;

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<File> = files.iter().map(|(path, text)| planted(path, text)).collect();
        check(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn named_files_are_fine_however_the_module_is_laid_out() {
        let found = faults(&[
            ("crates/a/src/lib.rs", "pub mod order;\nmod tests;\npub(crate) mod wire;\nmod r#return;"),
            ("crates/a/src/order.rs", "mod line;"),
            ("crates/a/src/order/line.rs", ""),
            ("crates/a/src/tests.rs", "mod laws;"),
            ("crates/a/src/tests/laws.rs", ""),
            ("crates/a/src/return.rs", ""),
            ("crates/a/src/wire/mod.rs", "mod inner;"),
            ("crates/a/src/wire/inner.rs", ""),
            ("crates/a/tests/it/main.rs", "mod orders;"),
            ("crates/a/tests/it/orders.rs", ""),
            ("crates/a/build.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn forgotten_and_stray_files_are_faults() {
        for files in [
            [("crates/a/src/lib.rs", "pub mod order;"), ("crates/a/src/refund.rs", "")],
            [("crates/a/src/lib.rs", "pub mod order;"), ("crates/a/src/refund/mod.rs", "")],
            [("crates/a/tests/it/main.rs", "mod orders;"), ("crates/a/tests/it/refunds.rs", "")],
            [("crates/a/tests/it/main.rs", "// mod refunds;"), ("crates/a/tests/it/refunds.rs", "")],
            [("crates/a/tests/it/main.rs", ""), ("crates/a/tests/refunds.rs", "")],
        ] {
            let found = faults(&files);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(files[1].0), "{found:?}");
        }
    }
}
