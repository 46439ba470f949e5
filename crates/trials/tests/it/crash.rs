//! A few hundred images of power cuts. The campaign builds ten thousand.

use crossdock_trials::crash::examine;

#[test]
fn what_was_answered_survives_power_cuts_and_both_controls_lose_something() {
    let report = examine(11, 0..300, 2).unwrap_or_else(|e| panic!("{e}"));
    assert!(report.is_good(), "{report}");
    assert_eq!(report.full.images, 300);
}
