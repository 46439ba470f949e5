//! What became of the goods: shipments as the hub cut them, and how many pieces of each line left, were cancelled or are missing.
//!
//! Notices of a warehouse repeat, come late and out of order. What they say is folded by maximum (pieces of a parcel, progress of a
//! line), so any order of arrival gives the same lines, and nothing ever moves back. What leaves for the first time is cut into
//! *dispatches*: each is captured, delivered and invoiced once, under its own name.

use super::{Event, Life, Sold, SoldLine, Step, Verdict};
use crate::{Policy, policy::StockAuthority};
use crossdock_canonical::{
    LineId, Money, Quantity, ShipmentId, Timestamp,
    order::Delivery,
    shipment::{ShipmentNotice, Stage},
};
use crossdock_value::Value;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How many parcels one shipment can be told of, and how many unknown shipments are remembered.
const MAX_PARCELS: usize = 1_000;
const MAX_STRANGE: usize = 20;

/// One release to one warehouse or store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shipment {
    pub id: ShipmentId,
    pub delivery: Delivery,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    pub lines: Vec<LineId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
    /// The furthest a line is known to have come on its way to the parcel.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub progress: BTreeMap<LineId, Stage>,
    /// Pieces the warehouse says it does not have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub short: BTreeMap<LineId, Decimal>,
    /// By the sender's parcel id; a notice without one speaks of the shipment as a whole, under the empty id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parcels: BTreeMap<String, Parcel>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parcel {
    pub shipped: BTreeMap<LineId, Decimal>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub delivered: BTreeMap<LineId, Decimal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<String>,
    /// Of the notice that gave the tracking; a later one corrects it.
    #[serde(default)]
    pub sequence: u64,
}

/// Goods that left together, cut when they were first heard of. Never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dispatch {
    /// `shipment`, `shipment/parcel`, with `+2` when the same parcel turned out to hold more; `direct` for what no warehouse sees.
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment: Option<ShipmentId>,
    pub lines: Vec<DispatchLine>,
    /// What the shopper owes for it: the pieces, and the shipping charges that fall due with it.
    pub amount: Money,
    pub tax: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<String>,
    /// Nothing was left to decide after it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DispatchLine {
    pub line: LineId,
    pub quantity: Quantity,
}

/// Cuts the picked lines into shipments: by planned shipment, and by location when stock was promised in several.
pub(super) fn plan(sold: &Sold, locations: &BTreeMap<LineId, String>) -> Vec<Shipment> {
    let picked: Vec<&SoldLine> = sold.lines.iter().filter(|line| line.is_picked()).collect();
    let mut planned: Vec<Option<&ShipmentId>> = sold.shipments.iter().map(|planned| Some(&planned.id)).collect();
    planned.push(None);
    let mut shipments = Vec::new();
    for planned in planned {
        let here: Vec<&&SoldLine> = picked.iter().filter(|line| line.shipment.as_ref() == planned).collect();
        let mut places: Vec<Option<&String>> = Vec::new();
        for line in &here {
            let place = locations.get(&line.id);
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let terms = sold.shipments.iter().find(|terms| Some(&terms.id) == planned);
        let name = planned.map_or("ship-1", ShipmentId::as_str);
        for (at, place) in places.iter().enumerate() {
            shipments.push(Shipment {
                id: if places.len() == 1 { name.into() } else { format!("{name}-{}", at + 1).into() },
                delivery: terms.map_or(Delivery::Ship, |terms| terms.delivery),
                store: terms.and_then(|terms| terms.store.clone()),
                lines: here.iter().filter(|line| locations.get(&line.id) == *place).map(|line| line.id.clone()).collect(),
                released_at: None,
                overdue: false,
                progress: BTreeMap::new(),
                short: BTreeMap::new(),
                parcels: BTreeMap::new(),
            });
        }
    }
    shipments
}

pub(super) fn event_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Accepted => "shipment.accepted",
        Stage::Picked => "shipment.picked",
        Stage::Packed => "shipment.packed",
        Stage::Shipped => "shipment.shipped",
        Stage::Delivered => "shipment.delivered",
        Stage::Short => "shipment.short",
        Stage::Cancelled => "shipment.cancelled",
    }
}

/// Where a line stands, for people and the storefront.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LineStage {
    Open,
    Released,
    Picked,
    Packed,
    PartShipped,
    Shipped,
    Delivered,
    Cancelled,
}

impl LineStage {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Released => "released",
            Self::Picked => "picked",
            Self::Packed => "packed",
            Self::PartShipped => "part_shipped",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }
}

// ---- counting ----------------------------------------------------------------------------------------------------------------

impl Life {
    pub(super) fn shipped(&self, line: &LineId) -> Decimal {
        self.dispatches
            .iter()
            .flat_map(|dispatch| &dispatch.lines)
            .filter(|part| part.line == *line)
            .map(|part| part.quantity.value)
            .sum()
    }

    fn cancellation_sum(&self, line: &LineId, counts: impl Fn(Verdict) -> bool) -> Decimal {
        let parts = self.cancellations.iter().flat_map(|cancellation| &cancellation.parts);
        parts.filter(|part| part.line == *line && counts(part.verdict)).map(|part| part.quantity).sum()
    }

    pub(super) fn cancelled(&self, line: &LineId) -> Decimal {
        self.cancellation_sum(line, |verdict| verdict == Verdict::InTime)
    }

    /// Pieces a warehouse was asked to give back and has not answered for.
    pub(super) fn recalling(&self, line: &LineId) -> Decimal {
        self.cancellation_sum(line, |verdict| verdict == Verdict::Asked)
    }

    /// Pieces that neither left nor were cancelled.
    pub(super) fn undecided(&self, line: &SoldLine) -> Decimal {
        (line.quantity.value - self.cancelled(&line.id) - self.shipped(&line.id)).max(Decimal::ZERO)
    }

    /// Pieces a new cancellation can still be about.
    pub(super) fn cancellable(&self, line: &SoldLine) -> Decimal {
        (self.undecided(line) - self.recalling(&line.id)).max(Decimal::ZERO)
    }

    /// Pieces the warehouse does not have and nobody has cancelled yet.
    pub(super) fn missing(&self, line: &SoldLine) -> Decimal {
        let told: Decimal = self.shipments.iter().filter_map(|shipment| shipment.short.get(&line.id)).copied().sum();
        let dealt_with: Decimal = self
            .cancellations
            .iter()
            .flat_map(|cancellation| &cancellation.parts)
            .filter(|part| part.line == line.id && part.missing)
            .map(|part| part.quantity)
            .sum();
        (told - dealt_with).min(self.cancellable(line)).max(Decimal::ZERO)
    }

    pub(super) fn every_line_is_decided(&self) -> bool {
        self.sold.lines.iter().all(|line| self.undecided(line).is_zero())
    }

    /// Every piece was cancelled: nothing of the order is left.
    pub(super) fn is_dead(&self) -> bool {
        !self.cancellations.is_empty()
            && self.dispatches.is_empty()
            && self.sold.lines.iter().all(|line| self.cancelled(&line.id) >= line.quantity.value)
    }

    /// Pieces a warehouse says left beyond those that could.
    pub(super) fn over_shipped(&self, line: &LineId) -> Decimal {
        let told: Decimal = self.shipments.iter().map(|shipment| shipment.told_shipped(line)).sum();
        (told - self.shipped(line)).max(Decimal::ZERO)
    }

    /// What the shopper owes for what has left.
    pub(super) fn due(&self) -> Money {
        self.sold.money(self.dispatches.iter().map(|dispatch| dispatch.amount.amount).sum())
    }

    pub(super) fn tax_due(&self) -> Money {
        self.sold.money(self.dispatches.iter().map(|dispatch| dispatch.tax.amount).sum())
    }

    pub(super) fn shipment_of(&self, line: &LineId) -> Option<&Shipment> {
        self.shipments.iter().find(|shipment| shipment.lines.contains(line))
    }

    /// Released, and some of its pieces are neither shipped nor cancelled.
    pub(super) fn is_awaited(&self, shipment: &Shipment) -> bool {
        let open = |line: &LineId| self.sold.line(line).is_some_and(|line| !self.undecided(line).is_zero());
        shipment.released_at.is_some() && shipment.lines.iter().any(open)
    }

    /// Whether stock is reserved that must be fulfilled or released: by us, or taken over from the storefront in OCI.
    pub(super) fn holds_stock(&self, policy: &Policy) -> bool {
        match policy.inventory.authority {
            StockAuthority::Hub => self.ends.through(Step::ReserveStock, ""),
            StockAuthority::Oci => policy.inventory.system.is_some(),
            StockAuthority::Storefront => false,
        }
    }

    pub(super) fn line_stage(&self, line: &SoldLine) -> LineStage {
        let (shipped, cancelled) = (self.shipped(&line.id), self.cancelled(&line.id));
        if cancelled >= line.quantity.value {
            return LineStage::Cancelled;
        }
        let shipment = self.shipment_of(&line.id);
        if shipped + cancelled >= line.quantity.value {
            let delivered = shipment.map_or(Decimal::ZERO, |shipment| shipment.told(&line.id, |parcel| &parcel.delivered));
            return if delivered >= shipped || shipment.is_none() { LineStage::Delivered } else { LineStage::Shipped };
        }
        if shipped > Decimal::ZERO {
            return LineStage::PartShipped;
        }
        let Some(shipment) = shipment else { return LineStage::Open };
        match shipment.progress.get(&line.id) {
            Some(Stage::Picked) => LineStage::Picked,
            Some(Stage::Packed | Stage::Shipped | Stage::Delivered) => LineStage::Packed,
            Some(Stage::Accepted | Stage::Short | Stage::Cancelled) => LineStage::Released,
            None if self.ends.through(Step::ReleaseShipment, shipment.id.as_str()) => LineStage::Released,
            None => LineStage::Open,
        }
    }
}

impl Shipment {
    /// Pieces of a line told of, parcel by parcel, or for the shipment as a whole, whichever says more.
    fn told(&self, line: &LineId, of: impl Fn(&Parcel) -> &BTreeMap<LineId, Decimal>) -> Decimal {
        let pieces = |parcel: &Parcel| of(parcel).get(line).copied().unwrap_or_default();
        let whole = self.parcels.get("").map(pieces).unwrap_or_default();
        let parcels: Decimal = self.parcels.iter().filter(|(id, _)| !id.is_empty()).map(|(_, parcel)| pieces(parcel)).sum();
        whole.max(parcels)
    }

    pub(super) fn told_shipped(&self, line: &LineId) -> Decimal {
        self.told(line, |parcel| &parcel.shipped)
    }
}

// ---- notices -----------------------------------------------------------------------------------------------------------------

impl Life {
    /// A notice is an event only when it says something new.
    pub(super) fn note_shipment(&self, body: &Value, at: Timestamp) -> Vec<Event> {
        let Ok(notice) = crossdock_value::from_value::<ShipmentNotice>(body) else {
            return self.note_unknown("unreadable".into());
        };
        if !self.shipments.iter().any(|shipment| shipment.id == notice.shipment) {
            return self.note_unknown(notice.shipment);
        }
        let event = Event::ShipmentNoticed { notice };
        let mut after = self.clone();
        super::apply_placed(&mut after, &event, at);
        if after == *self { Vec::new() } else { vec![event] }
    }

    fn note_unknown(&self, shipment: ShipmentId) -> Vec<Event> {
        if self.strange.contains(&shipment) || self.strange.len() >= MAX_STRANGE {
            Vec::new()
        } else {
            vec![Event::ShipmentUnknown { shipment }]
        }
    }

    pub(super) fn apply_notice(&mut self, notice: &ShipmentNotice) {
        let Some(shipment) = self.shipments.iter_mut().find(|shipment| shipment.id == notice.shipment) else { return };
        shipment.fold(notice);
        let shipment = shipment.clone();
        let parcel = notice.parcel.clone().unwrap_or_default();
        self.dispatch_news(&shipment, &parcel);
    }

    /// Cuts a dispatch of what has left and was not dispatched before. Pieces that were cancelled in time do not count, whatever a
    /// notice says: that race has been decided.
    fn dispatch_news(&mut self, shipment: &Shipment, parcel: &str) {
        let mut lines = Vec::new();
        for line in shipment.lines.iter().filter_map(|line| self.sold.line(line)) {
            let news = shipment.told_shipped(&line.id) - self.shipped(&line.id);
            let news = news.min(self.undecided(line));
            if news > Decimal::ZERO {
                lines.push(DispatchLine { line: line.id.clone(), quantity: line.of(news) });
            }
        }
        if lines.is_empty() {
            return;
        }
        let name = if parcel.is_empty() { shipment.id.to_string() } else { format!("{}/{parcel}", shipment.id) };
        let again = self
            .dispatches
            .iter()
            .filter(|d| d.id == name || d.id.strip_prefix(&name).is_some_and(|rest| rest.starts_with('+')))
            .count();
        let id = if again == 0 { name } else { format!("{name}+{}", again + 1) };
        let tracking = shipment.parcels.get(parcel).and_then(|parcel| parcel.tracking.clone());
        self.dispatch(id, Some(shipment.id.clone()), tracking, lines);
    }

    pub(super) fn dispatch(
        &mut self,
        id: String,
        shipment: Option<ShipmentId>,
        tracking: Option<String>,
        lines: Vec<DispatchLine>,
    ) {
        let (mut amount, mut tax) = (Decimal::ZERO, Decimal::ZERO);
        for part in &lines {
            if let Some(line) = self.sold.line(&part.line) {
                let from = self.shipped(&line.id);
                amount += line.worth_between(from, from + part.quantity.value);
                tax += line.tax_between(from, from + part.quantity.value);
            }
        }
        let before = self.charged_shipments();
        let now: BTreeSet<_> = lines.iter().filter_map(|part| self.planned_of(&part.line)).collect();
        for charge in &self.sold.charges {
            let due = match charge.shipment.as_ref().filter(|id| self.has_lines(id)) {
                Some(planned) => now.contains(planned) && !before.contains(planned),
                None => self.dispatches.is_empty(),
            };
            if due {
                amount += charge.worth.amount;
                tax += charge.tax.amount;
            }
        }
        let (amount, tax) = (self.sold.money(amount), self.sold.money(tax));
        self.dispatches.push(Dispatch { id, shipment, lines, amount, tax, tracking, last: false });
        if self.every_line_is_decided()
            && let Some(dispatch) = self.dispatches.last_mut()
        {
            dispatch.last = true;
        }
    }

    fn planned_of(&self, line: &LineId) -> Option<ShipmentId> {
        self.sold.line(line).and_then(|line| line.shipment.clone())
    }

    fn has_lines(&self, planned: &ShipmentId) -> bool {
        self.sold.lines.iter().any(|line| line.shipment.as_ref() == Some(planned))
    }

    /// Planned shipments of which something has left: their shipping charge is owed.
    fn charged_shipments(&self) -> BTreeSet<ShipmentId> {
        self.dispatches.iter().flat_map(|dispatch| &dispatch.lines).filter_map(|part| self.planned_of(&part.line)).collect()
    }
}

impl Shipment {
    fn fold(&mut self, notice: &ShipmentNotice) {
        let lines: Vec<_> = notice.lines.iter().filter(|part| self.lines.contains(&part.line)).cloned().collect();
        for part in &lines {
            match notice.stage {
                Stage::Accepted | Stage::Picked | Stage::Packed | Stage::Shipped | Stage::Delivered => {
                    let stage = self.progress.entry(part.line.clone()).or_insert(notice.stage);
                    *stage = notice.stage.max(*stage);
                }
                Stage::Short | Stage::Cancelled => raise(&mut self.short, &part.line, part.quantity.value),
            }
        }
        match notice.stage {
            Stage::Shipped | Stage::Delivered => {
                let id = notice.parcel.clone().unwrap_or_default();
                if self.parcels.len() >= MAX_PARCELS && !self.parcels.contains_key(&id) {
                    return;
                }
                let parcel = self.parcels.entry(id).or_default();
                for part in &lines {
                    raise(&mut parcel.shipped, &part.line, part.quantity.value);
                    if notice.stage == Stage::Delivered {
                        raise(&mut parcel.delivered, &part.line, part.quantity.value);
                    }
                }
                if notice.tracking.is_some() && (parcel.tracking.is_none() || notice.sequence > parcel.sequence) {
                    parcel.tracking.clone_from(&notice.tracking);
                    parcel.carrier.clone_from(&notice.carrier);
                    parcel.sequence = notice.sequence;
                }
            }
            Stage::Accepted | Stage::Picked | Stage::Packed | Stage::Short | Stage::Cancelled => {}
        }
    }
}

fn raise(pieces: &mut BTreeMap<LineId, Decimal>, line: &LineId, to: Decimal) {
    let pieces = pieces.entry(line.clone()).or_default();
    *pieces = to.max(*pieces);
}
