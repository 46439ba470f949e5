//! Journal and audit.

use super::{
    Case, Whole,
    kit::{at, commit, leased, order, step, wait},
};
use crate::{AuditVerdict, StoreError, Transition};
use std::collections::HashMap;

pub(super) const CASES: &[Case] = &[
    ("the_journal_of_a_process_is_read_oldest_first", of_process),
    ("the_stream_has_no_gap_in_any_partition_and_goes_on_where_it_stopped", stream),
    ("bookkeeping_has_an_audit_row_and_no_journal_row", bookkeeping),
    ("the_audit_chain_is_intact_and_its_head_moves_with_every_row", chain),
    ("the_hub_s_own_deeds_are_audited", own),
];

fn of_process(store: &dyn Whole) {
    leased(store);
    for version in 0..3 {
        commit(store, step("1", version));
        commit(store, step("2", version));
    }
    let rows = wait(store.journal(&order("1"))).expect("reads");
    assert_eq!(rows.iter().map(|row| row.version).collect::<Vec<_>>(), [1, 2, 3]);
    let (row, sent) = (&rows[2], step("1", 2));
    assert_eq!((&row.process, row.partition, row.at), (&sent.process, sent.process.partition(), sent.at));
    assert_eq!((&row.actor, &row.action, Some(&row.record[..])), (&sent.actor, &sent.action, sent.record.as_deref()));
    assert!(wait(store.journal(&order("3"))).expect("reads").is_empty());
}

fn stream(store: &dyn Whole) {
    leased(store);
    let orders = 60;
    for version in 0..3 {
        for n in 0..orders {
            let record = step("", version).record.filter(|_| version != 1 || n % 3 == 0);
            commit(store, Transition { record, ..step(&n.to_string(), version) });
        }
    }
    let expected = 2 * orders + orders / 3;
    let mut offsets: HashMap<u16, u64> = HashMap::new();
    let (mut cursor, mut seen) = (String::new(), 0);
    loop {
        let (rows, next) = wait(store.stream(&cursor, 7)).expect("reads");
        assert!(rows.len() <= 7);
        let again = wait(store.stream(&cursor, 7)).expect("reads").0;
        assert_eq!(again.iter().map(|row| row.offset).collect::<Vec<_>>(), rows.iter().map(|row| row.offset).collect::<Vec<_>>());
        for row in &rows {
            let offset = offsets.entry(row.partition).or_default();
            *offset += 1;
            assert_eq!(row.offset, *offset, "partition {}", row.partition);
        }
        seen += rows.len();
        cursor = next;
        if rows.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected);
    let now = wait(store.stream("now", 10)).expect("reads");
    assert!(now.0.is_empty());
    commit(store, step("0", 3));
    for cursor in [&cursor, &now.1] {
        let (rows, _) = wait(store.stream(cursor, 10)).expect("reads");
        assert_eq!(rows.iter().map(|row| row.version).collect::<Vec<_>>(), [4]);
    }
    assert!(matches!(wait(store.stream("no cursor", 10)), Err(StoreError::Constraint(_))));
}

fn bookkeeping(store: &dyn Whole) {
    leased(store);
    commit(store, step("1", 0));
    commit(store, Transition { record: None, ..step("1", 1) });
    assert_eq!(wait(store.journal(&order("1"))).expect("reads").len(), 1);
    let audit = wait(store.audit(10)).expect("reads");
    assert_eq!(audit.len(), 2);
    assert!(audit.iter().all(|row| row.process == Some(order("1")) && row.at == at(1) && row.hash.len() == 64));
    assert_eq!(wait(store.audit(1)).expect("reads")[0].hash, audit[0].hash, "newest first, bounded");
}

fn chain(store: &dyn Whole) {
    leased(store);
    let mut heads = vec![];
    for version in 0..4 {
        commit(store, step("1", version));
        commit(store, Transition { record: None, ..step("2", version) });
        match wait(store.verify_audit()) {
            Ok(AuditVerdict::Intact { rows, head }) => {
                assert_eq!(rows, 2 * (version + 1));
                heads.push(head);
            }
            other => panic!("{other:?}"),
        }
    }
    heads.dedup();
    assert_eq!(heads.len(), 4);
}

fn own(store: &dyn Whole) {
    leased(store);
    commit(store, step("1", 0));
    wait(store.record_audit(at(5), "person:anna", "sign_in", "console")).expect("writes");
    wait(store.record_audit(at(6), "person:anna", "reveal", "guest:1")).expect("writes");
    let audit = wait(store.audit(2)).expect("reads");
    let told: Vec<_> = audit.iter().map(|row| (&*row.actor, &*row.action, row.process.is_none(), row.at)).collect();
    assert_eq!(told, [("person:anna", "reveal guest:1", true, at(6)), ("person:anna", "sign_in console", true, at(5))]);
    assert!(matches!(wait(store.verify_audit()), Ok(AuditVerdict::Intact { rows: 3, .. })));
    assert_eq!(wait(store.stream("", 10)).expect("reads").0.len(), 1, "nothing of it is published");
}
