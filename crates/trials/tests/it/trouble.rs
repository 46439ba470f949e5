//! Trouble with the store, as a whole hub meets it.

use crossdock_trials::trouble::{full_disk, second_hub};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_orders_within_a_second_takes_none_and_all_resumes_when_there_is_room() {
    let found = full_disk(5).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((found.before, found.meanwhile, found.after), (5, 0, 10), "{found:?}");
    assert!(found.refused.iter().all(|(status, (_, slowest))| *status == 503 && *slowest <= 1_000), "{found:?}");
    assert!(found.judged.is_faultless() && found.judged.restless == 0, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_hub_on_one_file_says_why_it_does_not_start_and_the_first_goes_on() {
    let (said, first_lives) = second_hub().await.unwrap_or_else(|e| panic!("{e}"));
    assert!(said.contains("another hub has") && said.contains("stop it first"), "{said}");
    assert!(first_lives, "{said}");
}
