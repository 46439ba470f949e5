//! The journal as evidence: intact and folding to the state (I8), following one another without a gap (I10).

use crate::{
    Refold,
    fold::{Fold, Recorded},
    report::{Finding, Tally, Verdict},
    world::World,
};
use crossdock_store::AuditVerdict;
use std::collections::BTreeMap;

/// I8: the audit chain verifies from its beginning, is no shorter than a checkpoint kept outside, and folding each process's events
/// gives the state its row holds.
///
/// From the hub's store. Without a checkpoint a chain whose newest rows were cut off together with their processes still verifies;
/// the report says so.
pub(crate) fn intact_and_folds(world: &World<'_>, refold: Option<Refold<'_>>, notes: &mut Vec<String>) -> Verdict {
    let Some(hub) = world.hub else { return Verdict::not_checked("the hub's journal was not given") };
    let mut tally = Tally::default();
    match (&hub.audit, &world.options.checkpoint) {
        (AuditVerdict::Broken { partition, offset, reason }, _) => {
            tally.found(Finding {
                text: format!("audit chain of partition {partition} broken after offset {offset}: {reason}"),
                ..Finding::default()
            });
        }
        (AuditVerdict::Intact { rows, head }, Some((known_rows, known_head))) => {
            tally.saw_many(usize::try_from(*rows).unwrap_or(usize::MAX));
            if rows < known_rows || (rows == known_rows && head != known_head) {
                let text = format!(
                    "the audit has {rows} rows, head {head:.12}; the checkpoint says {known_rows} rows, head {known_head:.12}"
                );
                tally.found(Finding { text, ..Finding::default() });
            }
        }
        (AuditVerdict::Intact { rows, .. }, None) => tally.saw_many(usize::try_from(*rows).unwrap_or(usize::MAX)),
    }
    let mut unknown: BTreeMap<&str, u64> = BTreeMap::new();
    for process in hub.processes.values() {
        let broken = |text: String| Finding { order: process.key.to_string(), text, ..Finding::default() };
        if let Some(reason) = process.history.iter().find_map(|t| t.unreadable.as_ref()) {
            tally.found(broken(format!("a journal record cannot be read: {reason}")));
            continue;
        }
        let events: Vec<_> = process.history.iter().flat_map(|t| t.events.iter().map(|event| (t.at, event.clone()))).collect();
        if process.state.is_empty() && events.is_empty() {
            continue;
        }
        let recorded = Recorded { kind: &process.key.kind, schema: process.schema, state: &process.state, events: &events };
        match refold.map_or(Fold::Unknown, |refold| refold(&recorded)) {
            Fold::Same => tally.saw(),
            Fold::Differs => tally.found(broken(format!("folding its {} events does not give its state", events.len()))),
            Fold::Unreadable(reason) => tally.found(broken(format!("its events or state cannot be read: {reason}"))),
            Fold::Unknown => *unknown.entry(&process.key.kind).or_default() += 1,
        }
    }
    notes.extend(
        unknown
            .into_iter()
            .map(|(kind, count)| format!("{count} {kind} processes were not folded again: no flow was given for them")),
    );
    if world.options.checkpoint.is_none() {
        notes.push("no audit checkpoint was given: a chain cut off together with its processes would not be noticed".into());
    }
    tally.verdict("the journal is empty")
}

/// I10: what one owner wrote was not overwritten by another: each partition's offsets run 1, 2, 3 without a gap, and each process's
/// transitions were committed on rising versions in rising time.
///
/// From the journal. It shows the effect of fencing, not the epochs themselves: those are compared by the store at each commit and are
/// not in the journal.
pub(crate) fn gap_free(world: &World<'_>) -> Verdict {
    let Some(hub) = world.hub else { return Verdict::not_checked("the hub's journal was not given") };
    let mut tally = Tally::default();
    let mut next: BTreeMap<u16, u64> = BTreeMap::new();
    for (partition, offset) in &hub.offsets {
        tally.saw();
        let expected = next.entry(*partition).or_insert(1);
        if offset != expected {
            tally.found(Finding {
                text: format!("partition {partition} has offset {offset} where {expected} should be"),
                ..Finding::default()
            });
        }
        *expected = offset + 1;
    }
    for process in hub.processes.values() {
        let broken = |text: String| Finding { order: process.key.to_string(), text, ..Finding::default() };
        for pair in process.history.windows(2) {
            if pair[1].version <= pair[0].version {
                tally.found(broken(format!("version {} was committed after version {}", pair[1].version, pair[0].version)));
            }
            if pair[1].at < pair[0].at {
                tally.found(broken(format!("version {} is dated before version {}", pair[1].version, pair[0].version)));
            }
        }
        if let Some(last) = process.history.last().filter(|last| last.version > process.version) {
            tally.found(broken(format!("the journal has version {}, its row only {}", last.version, process.version)));
        }
    }
    tally.verdict("the journal is empty")
}
