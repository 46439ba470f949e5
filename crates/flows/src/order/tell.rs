//! What the storefront is told while goods leave: shipping status, payment status, and the picture of the lines.
//!
//! Each of the three is told one at a time: the next is worked out only when the last has ended, from what is true by then. So the
//! storefront never has an old word last, and words that were overtaken are never sent at all.

use super::{
    Event, Life, Step,
    forward::{Asking, Gate},
    lines::LineStage,
};
use crate::{Policy, kit::json};
use crossdock_value::{Map, Value, value};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// What is being told, or was told last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tells {
    #[serde(default)]
    pub shipping: Word,
    #[serde(default)]
    pub payment: Word,
    /// The picture of the lines, under `version`; 0 before the first.
    #[serde(default)]
    pub version: u64,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub picture: Value,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub telling: bool,
    /// Something happened since the picture was drawn that may have changed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Word {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub word: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub telling: bool,
}

/// The decision to tell something now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Tell {
    Shipping { word: String },
    Payment { word: String },
    Lines { version: u64 },
}

/// Whether an event may change the picture of the lines; drawing it to find out costs more than anything else here.
pub(super) fn may_change_lines(event: &Event) -> bool {
    match event {
        Event::ShipmentNoticed { .. } | Event::Fulfilled { .. } | Event::CancellationBegun { .. } => true,
        Event::StepDone { step, .. } | Event::StepSkipped { step, .. } => {
            matches!(step, Step::ReleaseShipment | Step::CancelShipment)
        }
        _ => false,
    }
}

impl Tells {
    pub(super) fn are_quiet(&self) -> bool {
        !self.shipping.telling && !self.payment.telling && !self.telling
    }

    /// Told or refused: either way the next may follow.
    pub(super) fn ended(&mut self, step: Step) {
        if step == Step::TellShipping {
            self.shipping.telling = false;
        } else if step == Step::TellPayment {
            self.payment.telling = false;
        } else if step == Step::TellLines {
            self.telling = false;
        }
    }
}

impl Life {
    pub(super) fn next_tell(&self, policy: &Policy) -> Option<Event> {
        let confirmed = self.ends.ended(Step::ConfirmOrder, "");
        if !confirmed || self.is_stopped() || self.is_dead() || self.gate(policy) != Gate::Booked {
            return None;
        }
        let news =
            |known: &Word, word: Option<&str>| word.filter(|word| !known.telling && known.word != *word).map(str::to_owned);
        if let Some(word) = news(&self.tells.shipping, self.shipping_word()) {
            return Some(Event::Telling { tell: Tell::Shipping { word } });
        }
        if let Some(word) = news(&self.tells.payment, self.payment_word()) {
            return Some(Event::Telling { tell: Tell::Payment { word } });
        }
        if !policy.storefront.hub_state || !self.tells.stale || self.tells.telling {
            return None;
        }
        let told = self.tells.version > 0 || self.sold.lines.iter().any(|line| self.line_stage(line) != LineStage::Open);
        if told && self.tells.picture != self.picture() {
            return Some(Event::Telling { tell: Tell::Lines { version: self.tells.version + 1 } });
        }
        None
    }

    pub(super) fn apply_telling(&mut self, tell: &Tell) {
        match tell {
            Tell::Shipping { word } => self.tells.shipping = Word { word: word.clone(), telling: true },
            Tell::Payment { word } => self.tells.payment = Word { word: word.clone(), telling: true },
            Tell::Lines { version } => {
                self.tells.picture = self.picture();
                self.tells.stale = false;
                self.tells.version = *version;
                self.tells.telling = true;
            }
        }
    }

    pub(super) fn tell(&self, ask: &mut Asking) {
        let Tells { shipping, payment, version, picture, telling, stale: _ } = &self.tells;
        if shipping.telling {
            ask.storefront(Step::TellShipping, &shipping.word, || value!({"status": shipping.word.as_str()}));
        }
        if payment.telling {
            ask.storefront(Step::TellPayment, &payment.word, || value!({"status": payment.word.as_str()}));
        }
        if *telling {
            ask.storefront(Step::TellLines, &format!("v{version}"), || {
                let mut state = picture.clone();
                state.insert("version", *version);
                value!({"state": state})
            });
        }
    }

    /// Never back: once shipped, always shipped.
    fn shipping_word(&self) -> Option<&'static str> {
        if self.dispatches.is_empty() {
            return None;
        }
        if self.every_line_is_decided() {
            return Some("shipped");
        }
        let picked = self.dispatches.iter().any(|dispatch| dispatch.shipment.is_some());
        picked.then_some("part_shipped")
    }

    fn payment_word(&self) -> Option<&'static str> {
        let taken: Decimal = self.captured.iter().filter(|part| !part.refund).map(|part| part.amount.amount).sum();
        if taken <= Decimal::ZERO {
            return None;
        }
        let closed = self.ends.through(Step::ClosePayment, "");
        Some(if closed || taken >= self.sold.total.amount { "paid" } else { "part_paid" })
    }

    /// Where each line stands. Picking and packing are the warehouse's affair and would only make traffic.
    fn picture(&self) -> Value {
        let lines = self.sold.lines.iter().map(|line| {
            let stage = match self.line_stage(line) {
                LineStage::Picked | LineStage::Packed => LineStage::Released,
                stage => stage,
            };
            let mut entry = value!({"state": stage.as_str(), "ordered": json(&line.quantity.value)});
            for (name, pieces) in [("shipped", self.shipped(&line.id)), ("cancelled", self.cancelled(&line.id))] {
                if !pieces.is_zero() {
                    entry.insert(name, json(&pieces.normalize()));
                }
            }
            (line.id.as_str().to_owned(), entry)
        });
        let lines: Map = lines.collect();
        let parcels = self.shipments.iter().flat_map(|shipment| {
            shipment.parcels.iter().filter(|(_, parcel)| parcel.tracking.is_some()).map(|(id, parcel)| {
                value!({
                    "shipment": shipment.id.as_str(),
                    "parcel": id.as_str(),
                    "carrier": parcel.carrier.as_deref(),
                    "tracking": parcel.tracking.as_deref()
                })
            })
        });
        value!({"lines": lines, "parcels": parcels.collect::<Value>()})
    }
}
