//! Lists and searches, and who may see what.

use super::{
    Case, Whole,
    kit::{at, commit, effect, exception, leased, order, step, wait},
};
use crate::{Counts, ExceptionQuery, IdentityRow, ProcessKey, ProcessQuery, Transition};
use crossdock_canonical::SystemName;
use std::sync::Arc;

pub(super) const CASES: &[Case] = &[
    ("processes_are_found_by_what_is_asked_newest_first", search),
    ("nobody_sees_what_lies_outside_his_sites", sites),
    ("pages_of_a_list_follow_each_other_without_gap", pages),
    ("one_process_is_shown_with_all_its_rows", detail),
    ("counts_follow_every_change_of_status", counts),
];

fn query() -> ProcessQuery {
    ProcessQuery { limit: 100, ..ProcessQuery::default() }
}

fn numbers(store: &dyn Whole, query: ProcessQuery) -> Vec<String> {
    wait(store.processes(query)).expect("reads").iter().map(|view| view.row.summary.number.to_string()).collect()
}

/// Orders 10 to 13 of two sites, and a payment.
fn fill(store: &dyn Whole) {
    leased(store);
    for (number, site, market, status) in [
        ("10", "RefArch-DE", "de", "open"),
        ("11", "RefArch-US", "us", "open"),
        ("12", "RefArch-DE", "de", "closed"),
        ("13", "RefArch-DE", "de", "held"),
    ] {
        let mut made = step(number, 0);
        made.process = ProcessKey::new("order", &format!("sfcc/{site}/{number}"));
        made.row.summary.site = Arc::from(site);
        made.row.summary.market = Arc::from(market);
        made.row.summary.status = Arc::from(status);
        made.row.summary.stage = Arc::from(if status == "closed" { "closed" } else { "accepted" });
        if number == "11" || number == "13" {
            made.exceptions = vec![(Arc::from("x"), Some(exception(if number == "11" { "silent" } else { "mapping" }, 5)))];
        }
        if number == "12" {
            made.identities = vec![IdentityRow {
                system: SystemName::new("erp"),
                kind: Arc::from("order"),
                ours: Arc::from("o"),
                theirs: Arc::from("SO-9"),
            }];
        }
        commit(store, made);
    }
    let mut payment = step("10", 0);
    payment.process = ProcessKey::new("payment", "sfcc/RefArch-DE/10");
    commit(store, payment);
}

fn search(store: &dyn Whole) {
    fill(store);
    let text = |text: &str| Some(text.to_owned());
    for (what, query, expected) in [
        ("all", query(), &["10", "13", "12", "11", "10"][..]),
        ("kind", ProcessQuery { kind: Some(Arc::from("order")), ..query() }, &["13", "12", "11", "10"]),
        ("number", ProcessQuery { text: text("12"), ..query() }, &["12"]),
        (
            "beginning of numbers",
            ProcessQuery { text: text("1"), kind: Some(Arc::from("order")), ..query() },
            &["13", "12", "11", "10"],
        ),
        ("their number", ProcessQuery { text: text("SO-9"), ..query() }, &["12"]),
        ("no wildcard", ProcessQuery { text: text("%"), ..query() }, &[]),
        ("status", ProcessQuery { status: text("held"), ..query() }, &["13"]),
        ("stage", ProcessQuery { stage: text("closed"), ..query() }, &["12"]),
        ("market", ProcessQuery { market: text("us"), ..query() }, &["11"]),
        ("exceptional", ProcessQuery { exceptional: true, ..query() }, &["13", "11"]),
        ("several", ProcessQuery { exceptional: true, market: text("de"), status: text("open"), ..query() }, &[]),
    ] {
        assert_eq!(numbers(store, query), expected, "{what}");
    }
    let views = wait(store.processes(ProcessQuery { text: text("11"), ..query() })).expect("reads");
    assert_eq!((views[0].open_exceptions, views[0].version, views[0].updated_at), (1, 1, at(1)));
}

fn sites(store: &dyn Whole) {
    fill(store);
    let of = |sites: &[&str]| Some(sites.iter().map(|site| (*site).to_owned()).collect::<Vec<_>>());
    for (sites, expected, excepted) in [
        (of(&["sfcc/RefArch-US"]), &["11"][..], &["silent"][..]),
        (of(&["sfcc/RefArch-DE", "sfcc/RefArch-US"]), &["10", "13", "12", "11", "10"], &["silent", "mapping"]),
        (of(&["shopify/RefArch-US", "RefArch-US"]), &[], &[]),
        (of(&[]), &[], &[]),
    ] {
        assert_eq!(numbers(store, ProcessQuery { sites: sites.clone(), ..query() }), expected, "{sites:?}");
        let text = Some("1".to_owned());
        assert_eq!(numbers(store, ProcessQuery { sites: sites.clone(), text, ..query() }), expected, "a search is scoped too");
        let found = wait(store.exceptions(ExceptionQuery { sites, limit: 10, ..ExceptionQuery::default() })).expect("reads");
        assert_eq!(found.iter().map(|view| &*view.row.class).collect::<Vec<_>>(), excepted);
    }
    let erp =
        ExceptionQuery { system: Some("erp".into()), class: Some("mapping".into()), limit: 10, ..ExceptionQuery::default() };
    let found = wait(store.exceptions(erp)).expect("reads");
    assert_eq!((&*found[0].name, &found[0].row), ("x", &exception("mapping", 5)));
    assert_eq!(&*found[0].process.row.summary.number, "13");
    let other = ExceptionQuery { system: Some("wms".into()), limit: 10, ..ExceptionQuery::default() };
    assert!(wait(store.exceptions(other)).expect("reads").is_empty());
}

fn pages(store: &dyn Whole) {
    leased(store);
    for n in 0..10 {
        commit(store, step(&n.to_string(), 0));
    }
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = wait(store.processes(ProcessQuery { before, limit: 3, ..query() })).expect("reads");
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        before = Some(last.no);
        seen.extend(page.iter().map(|view| view.row.summary.number.to_string()));
    }
    assert_eq!(seen, ["9", "8", "7", "6", "5", "4", "3", "2", "1", "0"]);
}

fn detail(store: &dyn Whole) {
    leased(store);
    assert!(wait(store.process(&order("1"))).expect("reads").is_none());
    let mut made = step("1", 0);
    made.effects = vec![effect(1, "erp", 1, 1)];
    made.timers = vec![(Arc::from("hold"), Some(at(9)))];
    made.exceptions = vec![(Arc::from("x"), Some(exception("mapping", 1)))];
    let written = made.clone();
    commit(store, made);
    let detail = wait(store.process(&order("1"))).expect("reads").expect("is there");
    assert_eq!((&detail.view.key, &detail.view.row, detail.view.version), (&order("1"), &written.row, 1));
    assert_eq!((detail.effects, detail.timers.len(), detail.exceptions.len()), (written.effects, 1, 1));
}

fn counts(store: &dyn Whole) {
    assert_eq!(wait(store.counts()), Ok(Counts::default()));
    fill(store);
    let counted = wait(store.counts()).expect("reads");
    let of = |kind: &str, status: &str, count| (kind.to_owned(), status.to_owned(), count);
    assert_eq!(
        counted.processes,
        [of("order", "closed", 1), of("order", "held", 1), of("order", "open", 2), of("payment", "open", 1)]
    );
    assert_eq!(counted.stages, [("accepted".to_owned(), 3)]);
    assert_eq!(counted.exceptions, [("mapping".to_owned(), 1, at(5)), ("silent".to_owned(), 1, at(5))]);
    let mut closing = Transition { process: ProcessKey::new("order", "sfcc/RefArch-DE/10"), ..step("10", 1) };
    closing.row.summary.status = Arc::from("cancelled");
    commit(store, closing);
    let counted = wait(store.counts()).expect("reads");
    assert_eq!(
        counted.processes,
        [
            of("order", "cancelled", 1),
            of("order", "closed", 1),
            of("order", "held", 1),
            of("order", "open", 1),
            of("payment", "open", 1)
        ]
    );
    assert_eq!(counted.stages, [("accepted".to_owned(), 2)]);
}
