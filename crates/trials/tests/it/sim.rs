//! A few worlds of the simulation, calm and stormy. The campaign runs thousands.

use crossdock_trials::sim::{Setting, short};

fn check(seeds: std::ops::Range<u64>, setting: &Setting) {
    let report = short(seeds, setting).unwrap_or_else(|e| panic!("{e}"));
    assert!(report.findings.is_empty(), "{report}");
}

#[test]
fn a_calm_world_ends_as_every_order_demands() {
    check(1..3, &Setting { orders: 60, faults: false, trace: None });
}

#[test]
fn a_stormy_world_settles_and_its_ledgers_agree() {
    check(1..5, &Setting { orders: 40, faults: true, trace: None });
}
