//! A few hundred images of power cuts, and a few of a whole PostgreSQL. The campaigns build ten thousand, and a thousand.

use crossdock_trials::{crash::examine, crash_postgres};

#[test]
fn what_was_answered_survives_power_cuts_and_both_controls_lose_something() {
    let report = examine(11, 0..300, 2).unwrap_or_else(|e| panic!("{e}"));
    assert!(report.is_good(), "{report}");
    assert_eq!(report.full.images, 300);
}

#[test]
fn what_postgresql_was_answered_for_survives_power_cuts_and_both_controls_lose_something() {
    let report = crash_postgres::examine(11, 20, 2).unwrap_or_else(|e| panic!("{e}"));
    assert!(report.is_good() && report.full.images == 20, "{report}");
}
