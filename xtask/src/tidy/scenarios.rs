//! The listed failures that users meet: each number has a test that names it, so that the list cannot shrink unnoticed.

use super::{Fault, File};

/// Numbers of the list that are covered. A new one is added with its test; none is taken out.
const COVERED: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 21, 23, 27, 30, 31, 32];

pub fn check(files: &[File]) -> Vec<Fault> {
    let missing = |number: &&u8| {
        let name = format!("fn scenario_{number:02}_");
        !files.iter().any(|file| file.path.starts_with("crates/") && file.is_rust() && file.text.contains(&name))
    };
    let fault = |number: &u8| Fault {
        path: "crates".into(),
        line: 0,
        message: format!("no test is called scenario_{number:02}_...: that failure must stay covered"),
    };
    COVERED.iter().filter(missing).map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::super::planted;
    use super::*;

    #[test]
    fn a_number_without_a_test_is_a_fault() {
        let named = |except: Option<u8>| {
            let tests: String =
                COVERED.iter().filter(|n| Some(**n) != except).map(|n| format!("fn scenario_{n:02}_holds() {{}}\n")).collect();
            check(&[planted("crates/x/tests/it/a.rs", &tests)])
        };
        assert_eq!(named(None), []);
        let faults = named(Some(7));
        assert!(matches!(&faults[..], [fault] if fault.message.contains("scenario_07_")), "{faults:?}");
    }
}
