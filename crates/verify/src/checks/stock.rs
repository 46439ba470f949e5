//! Stock at the inventory system (I5).

use crate::{
    report::{Tally, Verdict},
    world::World,
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

#[derive(Default)]
struct Level {
    /// Unknown until the ledger says what was counted.
    on_hand: Option<Decimal>,
    reserved: Decimal,
}

#[derive(Clone, Copy, Default)]
struct Pieces {
    reserved: Decimal,
    fulfilled: Decimal,
    released: Decimal,
}

/// I5: replayed from the first row, no SKU is ever promised beyond what is on hand at its location, and every reserved piece ends at
/// most once: fulfilled or released, in parts or at once.
///
/// From the inventory ledger alone. Availability is checked where the ledger says what was counted (`stock.set`). That nothing stays
/// reserved for an ended order is I9's business, and goods against the warehouse too.
pub(crate) fn adds_up(world: &World<'_>) -> Verdict {
    let mut tally = Tally::default();
    let mut levels: BTreeMap<(&str, &str, &str), Level> = BTreeMap::new();
    let mut pieces: BTreeMap<(&str, &str, &str, &str), Pieces> = BTreeMap::new();
    for row in world.rows() {
        let full = row.row;
        let level = (row.system, full.sku.as_str(), full.location.as_str());
        let quantity = row.quantity();
        let reservation = if full.operation == "reservation.line" { &full.reference } else { &full.parent };
        let mut end_of = |fulfilled: Decimal, given_back: Decimal| {
            let piece = pieces.entry((row.system, reservation, &full.line, &full.sku)).or_default();
            piece.fulfilled += fulfilled;
            piece.released += given_back;
            let ended = piece.fulfilled + piece.released;
            (ended > piece.reserved).then(|| format!("{ended} of {} ended, {} were reserved", full.sku, piece.reserved))
        };
        let wrong = match full.operation.as_str() {
            "stock.set" => {
                levels.entry(level).or_default().on_hand = Some(quantity);
                continue;
            }
            "reservation.line" => {
                tally.saw();
                pieces.entry((row.system, reservation, &full.line, &full.sku)).or_default().reserved += quantity;
                let level = levels.entry(level).or_default();
                level.reserved += quantity;
                let left = level.on_hand.map(|on_hand| on_hand - level.reserved);
                left.filter(|left| *left < Decimal::ZERO)
                    .map(|left| format!("{} is promised beyond the stock of {}: {left}", full.sku, full.location))
            }
            "fulfilment.line" => {
                let level = levels.entry(level).or_default();
                level.reserved -= quantity;
                level.on_hand = level.on_hand.map(|on_hand| on_hand - quantity);
                end_of(quantity, Decimal::ZERO)
            }
            "release.line" => {
                levels.entry(level).or_default().reserved -= quantity;
                end_of(Decimal::ZERO, quantity)
            }
            "reservation.release" | "reservation.fulfil" => {
                let of_it = pieces
                    .range((row.system, reservation.as_str(), "", "")..)
                    .take_while(|((system, id, ..), _)| (*system, *id) == (row.system, reservation));
                let left = of_it.fold(Decimal::ZERO, |left, (_, piece)| left + piece.reserved - piece.fulfilled - piece.released);
                (left <= Decimal::ZERO)
                    .then(|| format!("{} of {reservation}, of which nothing is reserved any more", full.operation))
            }
            _ => None,
        };
        if let Some(text) = wrong {
            tally.found(row.finding(text));
        }
    }
    tally.verdict("no ledger shows a reservation")
}
