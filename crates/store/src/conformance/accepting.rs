//! Taking messages in: nothing twice, nothing lost.

use super::{
    Case, Whole,
    kit::{at, commit, leased, message, order, placed, step, stored, wait},
};
use crate::{Accepted, Addressee, CursorWrite, InboxId, Intake, Partitions};
use crossdock_canonical::SystemName;
use std::sync::Arc;

pub(super) const CASES: &[Case] = &[
    ("accepted_rows_wait_in_the_inbox_in_their_order_until_settled", waiting),
    ("a_repeated_message_id_of_the_same_source_is_a_duplicate", repeated),
    ("the_same_message_id_of_another_source_is_another_message", other_source),
    ("the_same_order_number_on_another_channel_or_site_is_another_order", other_channel),
    ("a_second_start_of_a_known_process_is_a_duplicate", second_start),
    ("a_start_whose_message_was_seen_takes_no_key", seen_start),
    ("observations_without_an_id_are_never_duplicates", observations),
    ("the_cursor_is_written_with_the_rows_it_led_to", cursor),
    ("long_message_ids_are_told_apart", long_ids),
];

fn waiting(store: &dyn Whole) {
    leased(store);
    let first = stored(store, placed("1"));
    let addressed = Addressee::Theirs { system: SystemName::new("wms"), kind: Arc::from("order"), id: Arc::from("W-7") };
    let second = stored(store, Intake { to: addressed.clone(), ..message("shipment.notice", "1") });
    assert!(first < second);
    let rows = wait(store.inbox(Partitions::ALL, InboxId::default(), 10)).expect("reads");
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [first, second]);
    let (row, sent) = (&rows[0], placed("1"));
    assert_eq!((&row.to, &row.source, &row.message_id, &row.kind), (&sent.to, &sent.source, &sent.message_id, &sent.kind));
    assert_eq!((&row.actor, &row.body, &row.subject, row.at), (&sent.actor, &sent.body, &sent.subject, sent.at));
    assert_eq!(rows[1].to, addressed);
    assert_eq!(wait(store.inbox(Partitions::ALL, first, 10)).expect("reads").len(), 1, "after the first");
    assert_eq!(wait(store.inbox(Partitions::ALL, InboxId::default(), 1)).expect("reads").len(), 1, "bounded");
    assert_eq!(wait(store.inbox_depth()), Ok(2));

    let mut settling = step("1", 0);
    settling.settles = Some(first);
    commit(store, settling);
    assert_eq!(
        wait(store.inbox(Partitions::ALL, InboxId::default(), 10)).expect("reads").iter().map(|row| row.id).collect::<Vec<_>>(),
        [second]
    );
    assert_eq!(wait(store.inbox_depth()), Ok(1));
}

fn repeated(store: &dyn Whole) {
    let send = || message("shipment.notice", "1");
    let answers = wait(store.accept(vec![send(), send(), message("shipment.notice", "2")], None)).expect("accepts");
    assert!(matches!(answers[..], [Accepted::Stored(_), Accepted::Duplicate, Accepted::Stored(_)]), "{answers:?}");
    assert_eq!(wait(store.accept(vec![send()], None)), Ok(vec![Accepted::Duplicate]));
    assert_eq!(wait(store.inbox_depth()), Ok(2));
}

fn other_source(store: &dyn Whole) {
    stored(store, message("notice", "1"));
    stored(store, Intake { source: SystemName::new("marketplace"), ..message("notice", "1") });
}

fn other_channel(store: &dyn Whole) {
    for key in ["sfcc/RefArch-DE/1", "sfcc/RefArch-US/1", "shopify/RefArch-DE/1"] {
        let to = Addressee::Process(crate::ProcessKey::new("order", key));
        stored(store, Intake { to, ..placed("1") });
    }
    assert_eq!(wait(store.inbox_depth()), Ok(3));
}

fn second_start(store: &dyn Whole) {
    leased(store);
    let first = stored(store, placed("1"));
    assert_eq!(wait(store.accept(vec![placed("1")], None)), Ok(vec![Accepted::Duplicate]), "while the first waits");
    let mut settling = step("1", 0);
    settling.settles = Some(first);
    commit(store, settling);
    assert_eq!(wait(store.accept(vec![placed("1")], None)), Ok(vec![Accepted::Duplicate]), "after it was folded");
    commit(store, step("2", 0));
    assert_eq!(wait(store.accept(vec![placed("2")], None)), Ok(vec![Accepted::Duplicate]), "of a process that no message began");
}

fn seen_start(store: &dyn Whole) {
    stored(store, message("order.placed", "1"));
    let again = Intake { to: Addressee::Process(order("9")), starts: true, ..message("order.placed", "1") };
    assert_eq!(wait(store.accept(vec![again], None)), Ok(vec![Accepted::Duplicate]));
    stored(store, placed("9"));
}

fn observations(store: &dyn Whole) {
    for _ in 0..2 {
        stored(store, Intake { message_id: None, ..message("order.observed", "1") });
    }
}

fn cursor(store: &dyn Whole) {
    assert_eq!(wait(store.cursor("poll/storefront")), Ok(None));
    let write = |body: &[u8]| CursorWrite { name: Arc::from("poll/storefront"), body: body.to_vec(), seen: None };
    wait(store.accept(vec![placed("1")], Some(write(b"page 1")))).expect("accepts");
    assert_eq!(wait(store.cursor("poll/storefront")), Ok(Some(b"page 1".to_vec())));
    wait(store.accept(vec![placed("1")], Some(write(b"page 2")))).expect("accepts");
    assert_eq!(wait(store.cursor("poll/storefront")), Ok(Some(b"page 2".to_vec())), "duplicates move it too");
    wait(store.set_cursor(write(b"page 3"))).expect("writes");
    assert_eq!(wait(store.cursor("poll/storefront")), Ok(Some(b"page 3".to_vec())));
}

fn long_ids(store: &dyn Whole) {
    let send = |end: &str| Intake { message_id: Some(Arc::from("x".repeat(300) + end)), at: at(1), ..message("notice", "1") };
    stored(store, send("a"));
    stored(store, send("b"));
    assert_eq!(wait(store.accept(vec![send("a")], None)), Ok(vec![Accepted::Duplicate]));
}
