//! Effects and intents (I7).

use crate::{
    report::{Tally, Verdict},
    trace::Intent,
    vocabulary::{Meaning, Repeat, meaning, traces},
    world::{Entry, World},
};
use crossdock_store::EffectState;
use std::collections::{BTreeMap, BTreeSet};

/// I7: every effect in a ledger has an intent that was committed before it, no intent left two effects, and what the hub believes done
/// is in the ledger.
///
/// From all ledgers against the hub's effects. Matching is as good as what the system keeps: exact for `native_key` and
/// `unique_reference`, by number for the rest (see `trace`). ERP orders, captures and refunds are counted by I2, I3 and I4; setting a
/// status or releasing again changes nothing and may repeat. A copy in a system that cannot refuse it is let pass once the hub has parked
/// it (`Options::take_repeats`). Ledgers that were not given, and words not understood, are noted.
pub(crate) fn effects_equal_intents(world: &World<'_>, notes: &mut Vec<String>) -> Verdict {
    if world.hub.is_none() {
        return Verdict::not_checked("the hub's effects were not given");
    }
    let mut tally = Tally::default();
    let mut strange: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for row in world.rows() {
        match meaning(&row) {
            Meaning::Effect { .. } => {
                tally.saw();
                judge_effect(world, &row, &mut tally);
            }
            Meaning::Unknown => *strange.entry((row.system, &row.row.operation)).or_default() += 1,
            Meaning::Detail | Meaning::Own => {}
        }
    }
    let mut unseen: BTreeMap<&str, u64> = BTreeMap::new();
    for (id, intent) in world.trace.intents.iter().enumerate() {
        judge_repeats(world, id, intent, &mut tally);
        if intent.effect.state != EffectState::Done || traces(intent.effect.operation).is_empty() {
            continue;
        }
        if world.ledgers.contains_key(intent.effect.system.as_str()) {
            tally.saw();
            judge_done(world, id, intent, &mut tally);
        } else {
            *unseen.entry(intent.effect.system.as_str()).or_default() += 1;
        }
    }
    notes.extend(
        strange
            .into_iter()
            .map(|((system, word), count)| format!("{count} rows `{word}` of {system} are not understood: not checked")),
    );
    notes.extend(
        unseen
            .into_iter()
            .map(|(system, count)| format!("no ledger of {system}: {count} effects the hub believes done are not checked")),
    );
    tally.verdict("no ledger shows an effect, and the hub has none")
}

/// The storefront authorized it at checkout: its tender names the transaction.
fn made_at_checkout(world: &World<'_>, row: &Entry<'_>) -> bool {
    row.operation == "authorise"
        && (row.key == "storefront"
            || world.order_of(row).is_some_and(|order| {
                order.all("order.tender").any(|tender| !tender.parent.is_empty() && tender.parent == row.reference)
            }))
}

fn judge_effect(world: &World<'_>, row: &Entry<'_>, tally: &mut Tally) {
    match world.trace.of(row) {
        Some(id) => {
            let intent = &world.trace.intents[id];
            if world.is_before(row.at, intent.committed_at.0) {
                let text = format!("{} applied before its intent {} was committed", row.operation, intent.effect.step);
                tally.found(row.finding(text));
            }
        }
        None if made_at_checkout(world, row) => {}
        // Counted elsewhere when it stands beside the one that has an intent.
        None if matches!(meaning(row), Meaning::Effect { repeat: Repeat::Counted, .. }) && stands_beside_another(world, row) => {}
        None => tally.found(row.finding(format!("{} without an intent (key {:?})", row.operation, row.key))),
    }
}

/// A second ERP order, or a second row under one key, is what I2, I3 and I4 find; here it would only be said twice.
fn stands_beside_another(world: &World<'_>, row: &Entry<'_>) -> bool {
    world.order_of(row).into_iter().flat_map(|order| &order.rows).any(|other| {
        other.place() != row.place()
            && other.operation == row.operation
            && (row.operation == "sales_order.create" || (!row.key.is_empty() && other.key == row.key))
    })
}

fn judge_repeats(world: &World<'_>, id: usize, intent: &Intent<'_>, tally: &mut Tally) {
    let mut heads: BTreeMap<&str, Vec<Entry<'_>>> = BTreeMap::new();
    for row in world.trace.rows(id) {
        heads.entry(&row.row.operation).or_default().push(*row);
    }
    for (operation, rows) in heads.into_iter().filter(|(_, rows)| rows.len() > 1) {
        let Meaning::Effect { repeat, .. } = meaning(&rows[0]) else { continue };
        let second = rows[rows.len() - 1];
        let wrong = match repeat {
            Repeat::Once => true,
            Repeat::OncePerLine => share_a_line(world, intent, &rows),
            Repeat::Counted | Repeat::Harmless => false,
        };
        if wrong && !is_known(world, intent) {
            tally.found(second.finding(format!(
                "{operation} applied {} times for one intent ({})",
                rows.len(),
                intent.effect.step
            )));
        }
    }
}

/// Whether it is a copy in a system that cannot refuse one, and the hub has parked it for a person.
fn is_known(world: &World<'_>, intent: &Intent<'_>) -> bool {
    let effect = intent.effect;
    let exceptions = &intent.process.exceptions;
    world.options.take_repeats.contains(effect.system.as_str())
        && exceptions.iter().any(|(_, e)| &*e.class == "applied_twice" && e.step == effect.step && e.intent == effect.intent)
}

fn share_a_line(world: &World<'_>, intent: &Intent<'_>, rows: &[Entry<'_>]) -> bool {
    let Some(order) = world.order(&intent.process.key.key) else { return true };
    let mut seen = BTreeSet::new();
    for row in rows {
        let word =
            if row.operation == "delivery.create" { "delivery.line".to_owned() } else { format!("{}.line", row.operation) };
        let lines: Vec<_> = order.lines(row, &word).map(|line| line.row.line.as_str()).collect();
        if lines.is_empty() || lines.iter().any(|line| !seen.insert(*line)) {
            return true;
        }
    }
    false
}

fn judge_done(world: &World<'_>, id: usize, intent: &Intent<'_>, tally: &mut Tally) {
    let effect = intent.effect;
    let words = traces(effect.operation);
    if !world.trace.rows(id).is_empty() {
        return;
    }
    // What may repeat may also have been done already, by another intent or by the system itself.
    let order = world.order(&intent.process.key.key);
    let done_already = order.is_some_and(|order| {
        order.rows.iter().any(|row| {
            let harmless = matches!(meaning(row), Meaning::Effect { repeat: Repeat::Harmless, .. } | Meaning::Own);
            harmless
                && words.contains(&row.operation.as_str())
                && (effect.intent.is_empty() || row.state.is_empty() || row.operation == "void")
        })
    });
    // An ERP order that is missing altogether is I2's finding.
    let counted_elsewhere = effect.operation == crossdock_canonical::Operation::ErpCreateOrder && intent.process.is_ended();
    if !done_already && !counted_elsewhere {
        let name = if effect.intent.is_empty() { effect.step.to_string() } else { format!("{} {}", effect.step, effect.intent) };
        let text = format!("the hub believes {name} ({}) done, and {} shows nothing of it", effect.operation, effect.system);
        tally.found(crate::Finding {
            order: intent.process.key.key.to_string(),
            system: effect.system.to_string(),
            seq: None,
            text,
        });
    }
}
