//! Payloads, and the end of them.

use super::{
    Case, Whole,
    kit::{at, commit, leased, message, order, payload, placed, step, stored, wait},
};
use crate::{AuditVerdict, InboxId, Intake, Partitions, Payload, PayloadHash, Transition};
use std::sync::Arc;

pub(super) const CASES: &[Case] = &[
    ("a_payload_is_found_by_its_hash_within_its_process", found),
    ("a_payload_that_is_the_body_of_a_message_is_read_as_long_as_the_message_is_kept", of_message),
    ("erasing_a_subject_makes_all_that_was_sealed_of_it_unreadable", erased),
    ("what_comes_after_an_erasure_is_kept", after),
    ("a_message_of_an_erased_subject_still_waits_without_its_body", waiting),
];

fn found(store: &dyn Whole) {
    leased(store);
    let bodies = [&b""[..], b"small", &b"large and repetitive ".repeat(500), &(0..=255).collect::<Vec<u8>>()];
    commit(store, Transition { payloads: bodies.iter().map(|body| payload(body)).collect(), ..step("1", 0) });
    commit(store, Transition { payloads: bodies.iter().map(|body| payload(body)).collect(), ..step("1", 1) });
    commit(store, step("2", 0));
    for body in bodies {
        let hash = PayloadHash::of(body);
        assert_eq!(wait(store.payload(&order("1"), &hash)).expect("reads").as_deref(), Some(body));
        assert_eq!(wait(store.payload(&order("2"), &hash)), Ok(None));
    }
    assert_eq!(wait(store.payload(&order("1"), &PayloadHash::of(b"other"))), Ok(None));
}

fn of_message(store: &dyn Whole) {
    leased(store);
    let body = b"an order in its storefront's words ".repeat(40);
    let intake = Intake { body: body.clone().into(), ..placed("1") };
    let id = stored(store, intake);
    let archived = Payload { message: Some(id), ..payload(&body) };
    let hash = archived.hash;
    commit(store, Transition { settles: Some(id), payloads: vec![archived], ..step("1", 0) });
    commit(store, Transition { payloads: vec![payload(b"later")], ..step("1", 1) });
    assert_eq!(wait(store.payload(&order("1"), &hash)).expect("reads").as_deref(), Some(&body[..]));
    assert_eq!(wait(store.payload(&order("2"), &hash)), Ok(None), "it is of one process");
    wait(store.erase_subject(at(9), "person:anna", "guest:1")).expect("erases");
    assert_eq!(wait(store.payload(&order("1"), &hash)), Ok(None));
}

fn erased(store: &dyn Whole) {
    leased(store);
    let document = payload(b"where guest 1 lives");
    let hash = document.hash;
    for number in ["1", "2"] {
        let mut keeping = step(number, 0);
        keeping.row.document = Some(hash);
        keeping.payloads = vec![document.clone()];
        commit(store, keeping);
    }
    assert_eq!(wait(store.erase_subject(at(9), "person:anna", "guest:1")), Ok(true));
    assert_eq!(wait(store.payload(&order("1"), &hash)), Ok(None));
    let read = wait(store.load(&order("1"))).expect("reads").expect("the process itself stays");
    assert_eq!((read.row.document, read.document), (Some(hash), None));
    assert!(wait(store.payload(&order("2"), &hash)).expect("reads").is_some(), "of another subject");
    assert_eq!(wait(store.erase_subject(at(10), "person:anna", "guest:1")), Ok(false));
    assert_eq!(wait(store.erase_subject(at(10), "person:anna", "guest:unknown")), Ok(false));
    assert!(matches!(wait(store.verify_audit()), Ok(AuditVerdict::Intact { rows: 5, .. })), "history stays whole");
    assert_eq!(&*wait(store.audit(3)).expect("reads")[2].action, "erase guest:1");
}

fn after(store: &dyn Whole) {
    leased(store);
    let document = payload(b"where guest 1 lives");
    let hash = document.hash;
    commit(store, Transition { payloads: vec![document.clone()], ..step("1", 0) });
    wait(store.erase_subject(at(9), "person:anna", "guest:1")).expect("erases");
    commit(store, Transition { payloads: vec![document], ..step("1", 1) });
    assert!(wait(store.payload(&order("1"), &hash)).expect("reads").is_some(), "the same bytes, given again");
}

fn waiting(store: &dyn Whole) {
    stored(store, placed("1"));
    stored(store, message("notice", "2"));
    wait(store.erase_subject(at(9), "person:anna", "guest:1")).expect("erases");
    let rows = wait(store.inbox(Partitions::ALL, InboxId::default(), 10)).expect("reads");
    assert_eq!(rows[0].body, Arc::<[u8]>::default());
    assert_eq!(rows[1].body, message("notice", "2").body);
}
