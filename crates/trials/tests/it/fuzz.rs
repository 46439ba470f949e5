//! A few hundred broken payloads. The campaign sends thousands.

use crossdock_trials::fuzz::campaign;

#[test]
fn a_broken_order_is_refused_with_a_code_or_on_record_and_ends() {
    let report = campaign(3, 240).unwrap_or_else(|e| panic!("{e}"));
    assert!(report.findings.is_empty(), "{report}");
}
