//! What waits for the dispatcher and the clock.

use super::{
    Case, Whole,
    kit::{at, commit, effect, leased, order, step, wait},
};
use crate::{EffectRow, EffectState, Partitions, Transition};
use std::sync::Arc;

pub(super) const CASES: &[Case] = &[
    ("due_effects_come_by_class_then_by_time_and_bounded", effects),
    ("an_effect_that_moved_or_ended_is_due_at_its_new_place_only", moved_effects),
    ("due_timers_come_earliest_first_and_bounded", timers),
    ("a_timer_that_moved_or_was_cancelled_does_not_fire_at_its_old_time", moved_timers),
];

fn due(store: &dyn Whole, before: i64, limit: usize) -> Vec<(u8, i64, u32)> {
    let found = wait(store.due_effects(Partitions::ALL, "erp", at(before), limit)).expect("reads");
    found.iter().map(|due| (due.class, (due.due - at(0)).0 / 1_000, due.no)).collect()
}

fn effects(store: &dyn Whole) {
    leased(store);
    let mut waiting = step("1", 0);
    waiting.effects = vec![
        effect(1, "erp", 5, 10),
        effect(2, "erp", 5, 5),
        effect(3, "erp", 2, 30),
        effect(4, "wms", 1, 1),
        effect(5, "erp", 2, 99),
        effect(6, "erp", 9, 1),
    ];
    commit(store, waiting);
    assert_eq!(due(store, 50, 10), [(2, 30, 3), (5, 5, 2), (5, 10, 1), (9, 1, 6)]);
    assert_eq!(due(store, 50, 2), [(2, 30, 3), (5, 5, 2)]);
    assert_eq!(due(store, 30, 1), [(2, 30, 3)], "the instant itself counts");
    assert_eq!(due(store, 0, 10), []);
    assert_eq!(wait(store.due_effects(Partitions::ALL, "erp", at(50), 1)).expect("reads")[0].process, order("1"));
}

fn moved_effects(store: &dyn Whole) {
    leased(store);
    let old = effect(1, "erp", 5, 10);
    commit(store, Transition { effects: vec![old.clone(), effect(2, "erp", 5, 11)], ..step("1", 0) });
    commit(store, Transition { effects: vec![EffectRow { class: 3, due: Some(at(20)), ..old.clone() }], ..step("1", 1) });
    assert_eq!(due(store, 99, 10), [(3, 20, 1), (5, 11, 2)]);
    commit(
        store,
        Transition { effects: vec![EffectRow { state: EffectState::Parked, due: None, ..old.clone() }], ..step("1", 2) },
    );
    assert_eq!(due(store, 99, 10), [(5, 11, 2)], "parked: not due, but still open");
    assert_eq!(wait(store.counts()).expect("reads").effects.len(), 2);
    commit(store, Transition { effects: vec![EffectRow { state: EffectState::Done, due: None, ..old }], ..step("1", 3) });
    assert_eq!(due(store, 99, 10), [(5, 11, 2)]);
    assert_eq!(wait(store.counts()).expect("reads").effects, [("erp".into(), "pending".into(), 1, Some(at(11)))]);
}

fn fired(store: &dyn Whole, before: i64, limit: usize) -> Vec<(String, i64)> {
    let found = wait(store.due_timers(Partitions::ALL, at(before), limit)).expect("reads");
    found.iter().map(|due| (due.name.to_string(), (due.due - at(0)).0 / 1_000)).collect()
}

fn set(name: &str, due: i64) -> (Arc<str>, Option<crossdock_canonical::Timestamp>) {
    (Arc::from(name), Some(at(due)))
}

fn timers(store: &dyn Whole) {
    leased(store);
    commit(store, Transition { timers: vec![set("late", 30), set("soon", 10)], ..step("1", 0) });
    commit(store, Transition { timers: vec![set("late", 20)], ..step("2", 0) });
    assert_eq!(fired(store, 30, 10), [("soon".into(), 10), ("late".into(), 20), ("late".into(), 30)]);
    assert_eq!(fired(store, 99, 1), [("soon".into(), 10)]);
    assert_eq!(fired(store, 9, 10), []);
    assert_eq!(wait(store.due_timers(Partitions::ALL, at(20), 10)).expect("reads")[1].process, order("2"));
}

fn moved_timers(store: &dyn Whole) {
    leased(store);
    commit(store, Transition { timers: vec![set("a", 10), set("b", 10)], ..step("1", 0) });
    commit(store, Transition { timers: vec![set("a", 40), (Arc::from("b"), None), (Arc::from("never"), None)], ..step("1", 1) });
    assert_eq!(fired(store, 99, 10), [("a".into(), 40)]);
    commit(store, Transition { timers: vec![set("a", 40)], ..step("1", 2) });
    assert_eq!(fired(store, 99, 10), [("a".into(), 40)]);
}
