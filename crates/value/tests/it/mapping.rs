//! Mappings as a landscape writes them.

use crossdock_value::{Budget, Mapping, RunError, Value, parse_str, value};

fn entries(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(target, source)| ((*target).to_owned(), (*source).to_owned())).collect()
}

fn order() -> Value {
    parse_str(r#"{"orderNo": "00001", "currency": "USD", "orderTotal": 99.90, "tax": 7.10, "gift": false}"#).unwrap()
}

#[test]
fn each_target_is_filled_by_its_own_program() {
    let mapping = Mapping::compile(
        &entries(&[
            ("order_id", ".orderNo"),
            ("totals.grand", ".currency as $c | .orderTotal | money($c)"),
            ("totals.net", ".orderTotal - .tax"),
            ("gift_note", "select(.gift) | .note"),
            ("source", "$source"),
            ("po_number", "null"),
        ]),
        &["source"],
    )
    .unwrap();
    let output = mapping.run(&order(), &[value!("web")], &Budget::default()).unwrap();
    let expected = r#"{"order_id":"00001","totals":{"grand":{"amount":"99.90","currency":"USD"},"net":92.80},"source":"web","po_number":null}"#;
    assert_eq!(output.to_string(), expected);
    let targets: Vec<&str> = mapping.entries().map(|(target, _)| target).collect();
    assert_eq!(targets, ["order_id", "totals.grand", "totals.net", "gift_note", "source", "po_number"]);
}

#[test]
fn a_failure_names_its_target() {
    let mapping = Mapping::compile(&entries(&[("a", ".orderNo"), ("b.c", ".orderNo + 1")]), &[]).unwrap();
    let error = mapping.run(&order(), &[], &Budget::default()).unwrap_err();
    assert_eq!(error.target, "b.c");
    assert_eq!(error.to_string(), "b.c: cannot add a string and a number; use tonumber or tostring");

    let many = Mapping::compile(&entries(&[("a", ".[]")]), &[]).unwrap();
    assert_eq!(many.run(&order(), &[], &Budget::default()).unwrap_err().error, RunError::ManyOutputs);
}

#[test]
fn all_faults_are_found_at_once() {
    let faults = Mapping::compile(
        &entries(&[("a", ".x +"), ("b", ".ok"), ("c", "env"), ("a.d", ".y"), ("b", ".z"), ("e..f", "."), ("g[0]", ".")]),
        &[],
    )
    .unwrap_err();
    let found: Vec<(usize, String)> = faults.into_iter().map(|(at, error)| (at, error.message)).collect();
    let words = [
        (0, "expected an expression"),
        (2, "env/0 is not available"),
        (3, "lies inside \"a\""),
        (4, "given twice"),
        (5, "no dotted path"),
        (6, "no dotted path"),
    ];
    assert_eq!(found.len(), words.len(), "{found:?}");
    for ((at, message), (expected, words)) in found.iter().zip(words) {
        assert!(*at == expected && message.contains(words), "{at}: {message}");
    }
}

#[test]
fn a_target_around_another_is_refused_in_either_order() {
    for targets in [["a.b", "a.b.c"], ["a.b.c", "a.b"]] {
        let faults = Mapping::compile(&entries(&[(targets[0], "1"), (targets[1], "2")]), &[]).unwrap_err();
        assert_eq!(faults.len(), 1, "{targets:?}");
        assert_eq!(faults[0].0, 1, "{targets:?}");
    }
}
