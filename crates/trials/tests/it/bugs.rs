//! The list of planted bugs stays usable as the code changes. That each is caught is the campaign's business.

use crossdock_trials::bugs::{all, can_be_planted, workspace};

#[test]
fn every_planted_bug_still_has_its_place_in_the_code() {
    let bugs = all().unwrap_or_else(|e| panic!("{e}"));
    assert!(bugs.len() >= 27, "the list is complete");
    let stale: Vec<_> = bugs.iter().filter(|bug| !can_be_planted(&workspace(), bug)).map(|bug| &bug.name).collect();
    assert!(stale.is_empty(), "the code changed where these are planted: {stale:#?}");
}
