//! Transitions: whole or not at all, by the newest lane only.

use super::{
    Case, Whole,
    kit::{at, commit, effect, exception, leased, message, order, payload, placed, step, stored, wait},
};
use crate::{
    Accepted, EffectRow, EffectState, IdentityRow, InboxId, PARTITIONS, Partitions, StoreError, Transition, TransitionId,
};
use crossdock_canonical::SystemName;
use std::sync::Arc;

pub(super) const CASES: &[Case] = &[
    ("what_a_transition_wrote_is_loaded_again", loaded),
    ("a_stale_version_is_refused_and_writes_nothing", stale_version),
    ("a_stale_epoch_is_refused_and_writes_nothing", stale_epoch),
    ("a_lease_raises_every_epoch", leases),
    ("a_transition_that_fails_in_one_part_writes_none_of_its_parts", atomic),
    ("a_refused_transition_takes_no_other_of_its_group_with_it", isolated),
    ("many_refused_transitions_take_no_other_of_their_group_with_them", many_refused),
    ("an_inbox_row_is_settled_once", settled_once),
    ("a_committed_transition_is_found_by_its_id", found),
    ("messages_of_a_transition_are_in_the_inbox_when_it_is_committed", messages),
    ("an_effect_keeps_its_name_and_its_generation_never_falls", effect_names),
    ("an_ended_effect_is_not_due", ended_not_due),
    ("an_identity_belongs_to_one_process", identities),
    ("a_pin_is_written_once", pins),
];

fn loaded(store: &dyn Whole) {
    leased(store);
    assert!(wait(store.load(&order("1"))).expect("reads").is_none());
    let mut first = step("1", 0);
    first.effects = vec![effect(1, "erp", 3, 10), EffectRow { key: Arc::from("not hex"), ..effect(2, "wms", 4, 20) }];
    first.timers = vec![(Arc::from("hold"), Some(at(100)))];
    first.exceptions = vec![(Arc::from("fraud"), Some(exception("fraud_review", 5)))];
    let document = payload(b"the canonical order");
    first.row.document = Some(document.hash);
    first.effects[0].request = Some(document.hash);
    first.payloads = vec![document];
    let written = first.clone();
    assert_eq!(commit(store, first).version, 1);

    let read = wait(store.load(&order("1"))).expect("reads").expect("is there");
    assert_eq!(read.version, 1);
    assert_eq!(read.row, written.row);
    assert_eq!(read.effects, written.effects);
    assert_eq!(read.timers, [(Arc::from("hold"), at(100))]);
    assert_eq!(read.exceptions, [(Arc::from("fraud"), exception("fraud_review", 5))]);
    assert_eq!(read.document.as_deref(), Some(&b"the canonical order"[..]));

    let mut second = step("1", 1);
    second.row.summary.status = Arc::from("closed");
    second.row.state = Arc::from(&b"{}"[..]);
    second.effects = vec![EffectRow {
        state: EffectState::Done,
        due: None,
        attempts: 1,
        last: Arc::from("done"),
        ..written.effects[0].clone()
    }];
    second.timers = vec![(Arc::from("hold"), None)];
    second.exceptions = vec![(Arc::from("fraud"), None)];
    let changed = second.clone();
    assert_eq!(commit(store, second).version, 2);
    let read = wait(store.load(&order("1"))).expect("reads").expect("is there");
    assert_eq!((read.version, read.row), (2, changed.row));
    assert_eq!(read.effects, [changed.effects[0].clone(), written.effects[1].clone()], "those not named stay");
    assert!(read.timers.is_empty() && read.exceptions.is_empty());
}

fn stale_version(store: &dyn Whole) {
    leased(store);
    commit(store, step("1", 0));
    let audited = wait(store.audit(100)).expect("reads").len();
    for version in [0, 2] {
        let mut stale = step("1", version);
        stale.effects = vec![effect(1, "erp", 1, 1)];
        let refused = wait(store.commit(stale));
        assert_eq!(refused, Err(StoreError::StaleVersion { process: order("1"), expected: version, found: 1 }));
    }
    let refused = wait(store.commit(step("2", 1)));
    assert_eq!(refused, Err(StoreError::StaleVersion { process: order("2"), expected: 1, found: 0 }));
    assert!(wait(store.load(&order("1"))).expect("reads").expect("is there").effects.is_empty());
    assert!(wait(store.load(&order("2"))).expect("reads").is_none());
    assert_eq!(commit(store, step("1", 1)).version, 2);
    assert_eq!(wait(store.audit(100)).expect("reads").len(), audited + 1, "only what was committed is in the audit");
}

fn stale_epoch(store: &dyn Whole) {
    leased(store);
    commit(store, step("1", 0));
    wait(store.lease("node-b", at(1))).expect("leases");
    let partition = order("1").partition();
    assert_eq!(wait(store.commit(step("1", 1))), Err(StoreError::StaleEpoch { partition, expected: 1, found: 2 }));
    assert_eq!(commit(store, Transition { epoch: 2, ..step("1", 1) }).version, 2);
}

fn leases(store: &dyn Whole) {
    for epoch in [1, 2] {
        let leases = wait(store.lease("node-a", at(epoch))).expect("leases");
        let partitions: Vec<_> = leases.iter().map(|lease| lease.partition).collect();
        assert_eq!(partitions, (0..PARTITIONS).collect::<Vec<_>>());
        assert!(leases.iter().all(|lease| lease.epoch == epoch.cast_unsigned()));
    }
}

/// A transition with something in every part, of which the last is refused.
fn spoiled(number: &str) -> Transition {
    let mut bad = step(number, 0);
    bad.payloads = vec![payload(b"archived")];
    bad.messages = vec![message("command", number)];
    bad.timers = vec![(Arc::from("hold"), Some(at(1)))];
    bad.exceptions = vec![(Arc::from("x"), Some(exception("mapping", 1)))];
    bad.identities = vec![IdentityRow {
        system: SystemName::new("erp"),
        kind: Arc::from("order"),
        ours: Arc::from("o"),
        theirs: Arc::from(number),
    }];
    bad.effects = vec![effect(1, "erp", 1, 1), EffectRow { state: EffectState::Done, ..effect(2, "erp", 1, 1) }];
    bad
}

fn atomic(store: &dyn Whole) {
    leased(store);
    let first = stored(store, placed("1"));
    let mut bad = spoiled("1");
    bad.settles = Some(first);
    assert!(matches!(wait(store.commit(bad)), Err(StoreError::Constraint(_))));
    assert!(wait(store.load(&order("1"))).expect("reads").is_none());
    assert_eq!(wait(store.inbox_depth()), Ok(1), "the row still waits, and no message was sent");
    assert_eq!(wait(store.due_effects(Partitions::ALL, "erp", at(99), 10)).expect("reads"), []);
    assert_eq!(wait(store.due_timers(Partitions::ALL, at(99), 10)).expect("reads"), []);
    assert_eq!(wait(store.resolve("erp", "order", "1")), Ok(None));
    assert_eq!(wait(store.stream("", 10)).expect("reads").0.len(), 0);
    assert_eq!(
        wait(store.accept(vec![message("command", "1")], None)).map(|answers| answers[0] == Accepted::Duplicate),
        Ok(false)
    );
}

fn isolated(store: &dyn Whole) {
    leased(store);
    // Asked for at once, so that a store that groups writes has them in one group.
    let replies = [
        store.commit(step("1", 0)),
        store.commit(step("2", 7)),
        store.commit(step("3", 0)),
        store.commit(spoiled("4")),
        store.commit(step("1", 1)),
        store.commit(Transition { epoch: 9, ..step("5", 0) }),
        store.commit(step("4", 0)),
    ];
    let answers: Vec<_> = replies.into_iter().map(wait).collect();
    let versions: Vec<_> = answers.iter().map(|answer| answer.as_ref().ok().map(|committed| committed.version)).collect();
    assert_eq!(versions, [Some(1), None, Some(1), None, Some(2), None, Some(1)], "{answers:?}");
    for (number, version) in [("1", Some(2)), ("2", None), ("3", Some(1)), ("4", Some(1)), ("5", None)] {
        assert_eq!(wait(store.load(&order(number))).expect("reads").map(|read| read.version), version, "{number}");
    }
}

fn many_refused(store: &dyn Whole) {
    leased(store);
    let replies: Vec<_> = (0..40)
        .map(|n| {
            let number = n.to_string();
            store.commit(if n % 2 == 0 { step(&number, 0) } else { spoiled(&number) })
        })
        .collect();
    for (n, reply) in replies.into_iter().enumerate() {
        assert_eq!(wait(reply).is_ok(), n % 2 == 0, "{n}");
    }
}

fn settled_once(store: &dyn Whole) {
    leased(store);
    let id = stored(store, placed("1"));
    let settling = |number: &str| Transition { settles: Some(id), ..step(number, 0) };
    commit(store, settling("1"));
    assert!(matches!(wait(store.commit(settling("2"))), Err(StoreError::Constraint(_))));
    let never = Transition { settles: Some(InboxId(9_999)), ..step("3", 0) };
    assert!(matches!(wait(store.commit(never)), Err(StoreError::Constraint(_))));
}

fn found(store: &dyn Whole) {
    leased(store);
    assert_eq!(wait(store.was_committed(&order("1"), TransitionId(1))), Ok(None));
    let (first, mut second) = (step("1", 0), step("1", 1));
    second.messages = vec![message("command", "1"), message("command", "2")];
    second.record = None;
    let ids = [first.id, second.id];
    let committed = [commit(store, first), commit(store, second), commit(store, step("1", 2))];
    for (id, committed) in ids.into_iter().zip(&committed) {
        assert_eq!(wait(store.was_committed(&order("1"), id)), Ok(Some(committed.clone())));
    }
    let refused = step("1", 9);
    let id = refused.id;
    assert!(wait(store.commit(refused)).is_err());
    assert_eq!(wait(store.was_committed(&order("1"), id)), Ok(None));
    assert_eq!(wait(store.was_committed(&order("2"), ids[0])), Ok(None), "of another process");
}

fn messages(store: &dyn Whole) {
    leased(store);
    let mut sending = step("1", 0);
    sending.messages = vec![message("command", "1"), message("command", "2"), message("command", "1")];
    let ids = commit(store, sending).messages;
    assert_eq!(ids[0], ids[2], "what was sent before is answered with its first place");
    let rows = wait(store.inbox(Partitions::ALL, InboxId::default(), 10)).expect("reads");
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[0], ids[1]]);
    assert_eq!(rows[0].body, message("command", "1").body);
}

fn effect_names(store: &dyn Whole) {
    leased(store);
    let generation =
        |generation| EffectRow { generation, key: Arc::from(format!("{generation:032x}")), ..effect(1, "erp", 1, 1) };
    // In any order, and with gaps.
    commit(store, Transition { effects: vec![effect(5, "erp", 1, 1), generation(2)], ..step("1", 0) });
    for wrong in [
        generation(1),
        EffectRow { step: Arc::from("other"), ..generation(2) },
        EffectRow { intent: Arc::from("other"), ..generation(3) },
        EffectRow { key: Arc::from("f".repeat(32)), ..generation(2) },
        EffectRow { no: 0, ..generation(2) },
    ] {
        let refused = wait(store.commit(Transition { effects: vec![wrong.clone()], ..step("1", 1) }));
        assert!(matches!(refused, Err(StoreError::Constraint(_))), "{wrong:?}");
    }
    commit(store, Transition { effects: vec![generation(2)], ..step("1", 1) });
    commit(store, Transition { effects: vec![generation(3)], ..step("1", 2) });
}

fn ended_not_due(store: &dyn Whole) {
    leased(store);
    for (n, state) in EffectState::ALL.into_iter().enumerate() {
        let number = n.to_string();
        let due = Transition { effects: vec![EffectRow { state, ..effect(1, "erp", 1, 1) }], ..step(&number, 0) };
        assert_eq!(wait(store.commit(due)).is_ok(), state.is_open(), "{state:?}");
    }
    assert_eq!(wait(store.due_effects(Partitions::ALL, "erp", at(1), 10)).expect("reads").len(), 4);
}

fn identities(store: &dyn Whole) {
    leased(store);
    let identity = |ours: &str| IdentityRow {
        system: SystemName::new("erp"),
        kind: Arc::from("order"),
        ours: Arc::from(ours),
        theirs: Arc::from("SO-1"),
    };
    commit(store, Transition { identities: vec![identity("a")], ..step("1", 0) });
    assert_eq!(wait(store.resolve("erp", "order", "SO-1")), Ok(Some(order("1"))));
    for (system, kind, theirs) in [("erp", "order", "SO-2"), ("erp", "invoice", "SO-1"), ("wms", "order", "SO-1")] {
        assert_eq!(wait(store.resolve(system, kind, theirs)), Ok(None));
    }
    commit(store, Transition { identities: vec![identity("b")], ..step("1", 1) });
    let taken = wait(store.commit(Transition { identities: vec![identity("c")], ..step("2", 0) }));
    assert!(matches!(taken, Err(StoreError::Constraint(_))));
    let detail = wait(store.process(&order("1"))).expect("reads").expect("is there");
    assert_eq!(detail.identities, [identity("b")]);
    assert_eq!(wait(store.load(&order("1"))).expect("reads").expect("is there").identities, [identity("b")]);
}

fn pins(store: &dyn Whole) {
    assert_eq!(wait(store.pin("abc")), Ok(None));
    wait(store.put_pin("abc", b"policy".to_vec())).expect("writes");
    wait(store.put_pin("abc", b"other".to_vec())).expect("writes");
    assert_eq!(wait(store.pin("abc")), Ok(Some(b"policy".to_vec())));
}
