//! The invariants, one function each, by subject. Each function's comment says what it proves, from which ledgers, and where the
//! proof ends.

pub(crate) mod ends;
pub(crate) mod history;
pub(crate) mod life;
pub(crate) mod money;
pub(crate) mod orders;
pub(crate) mod sequence;
pub(crate) mod stock;
pub(crate) mod tracing;

use crate::{
    Refold,
    report::{Finding, Invariant, Tally, Verdict},
    world::World,
};

/// Runs one check. What its verdict does not cover goes to `notes`.
pub(crate) fn run(id: Invariant, world: &World<'_>, refold: Option<Refold<'_>>, notes: &mut Vec<String>) -> Verdict {
    match id {
        Invariant::Ledgers => ledgers(world),
        Invariant::I1 => orders::none_is_lost(world),
        Invariant::I2 => orders::one_in_the_erp(world),
        Invariant::I3 => money::captured_within_authorized(world),
        Invariant::I4 => money::refunded_within_captured(world),
        Invariant::I5 => stock::adds_up(world),
        Invariant::I6 => sequence::in_order(world),
        Invariant::I7 => tracing::effects_equal_intents(world, notes),
        Invariant::I8 => history::intact_and_folds(world, refold, notes),
        Invariant::I9 => ends::nothing_left_open(world, notes),
        Invariant::I10 => history::gap_free(world),
        Invariant::I11 => {
            Verdict::not_checked("bounds show under load, not in ledgers: see `crossdock bench order-flow --in-flight`")
        }
        Invariant::I13 => Verdict::not_checked("what callers may see shows in the surfaces' tests, not in ledgers"),
        Invariant::I12 => life::nothing_is_stuck(world),
        Invariant::I14 => orders::conserved(world),
    }
}

/// The evidence itself. A row taken out of a ledger shows as a gap in its numbers; a row changed in place only as far as it
/// contradicts another ledger.
fn ledgers(world: &World<'_>) -> Verdict {
    let mut tally = Tally::default();
    for (system, ledger) in world.ledgers {
        tally.saw_many(ledger.rows.len());
        for (line, reason) in &ledger.unreadable {
            tally.found(Finding {
                system: system.clone(),
                text: format!("line {line} is no ledger row: {reason}"),
                ..Finding::default()
            });
        }
        if let Some((expected, seq)) = ledger.gap() {
            let text = format!("row {seq} stands where row {expected} should");
            tally.found(Finding { system: system.clone(), seq: Some(seq), text, ..Finding::default() });
        }
    }
    tally.verdict("no ledger has a row")
}
