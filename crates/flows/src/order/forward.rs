//! The steps of an undisturbed life, in their order: what the order asks of whom, and with which arguments.
//!
//! Each effect is named again at every decision until it has ended; its arguments cannot change while it is under way, because
//! what they are made of (pieces, sums) changes only by events that wait for its end. Ended effects are not named any more.
//!
//! | step | intent | arguments |
//! |---|---|---|
//! | `take-order` | | `status: exported` |
//! | `screen-fraud` | | |
//! | `quote-tax` | | |
//! | `authorize-payment` | | command `authorize`: `currency`, `tenders[{payment,method,kind,amount,transaction?,token?}]` |
//! | `reserve-stock` | | `lines[{line,sku?,quantity,location?,components?[{sku,quantity}]}]` |
//! | `create-erp-order` | | `shipments[{shipment,lines[{line,quantity}]}]`, `lines[{line,quantity}]` all of them, `total` of them |
//! | `confirm-order` | | `status: confirmed` |
//! | `release-shipment` | shipment | `shipment`, `lines[..as reserved]`, `delivery`, `store?` |
//! | `capture-payment` | dispatch | command `capture`: `shipment` (the dispatch), `amount`, `final` |
//! | `fulfil-stock` | dispatch | `lines[..as reserved]` |
//! | `post-delivery` | dispatch | `shipment` (the dispatch), `lines[{line,quantity}]`, `tracking?` |
//! | `post-invoice` | dispatch | `shipment`, `lines`, `amount`, `tax` |
//! | `post-payment` | `dispatch/payment`, `authorize/payment`, `close/payment`, `close/refund/payment` | `payment`, `amount`, `kind` (`capture`, `refund`), `transaction?`, `shipment?` |
//! | `tell-shipping` | the word | `status`: `part_shipped`, `shipped` |
//! | `tell-payment` | the word | `status`: `part_paid`, `paid` |
//! | `tell-lines` | `v1`, `v2` .. | `state{version, lines{line: {state,ordered,shipped?,cancelled?}}, parcels[{shipment,parcel,carrier,tracking}]}` |
//! | `notify-customer` | `confirmed`, `shipped/dispatch`, `cancelled` | `template` (`order_confirmed`, `order_shipped`, `order_fulfilled`, `order_cancelled`), `shipment?`, `lines?` |
//! | `close-payment` | | command `close`: `amount` owed in the end |
//! | `commit-tax` | | `tax` of what left |
//! | `complete-order` | | `status: completed` |
//! | `cancel-shipment` | `c1/shipment` | `shipment`, `lines[..as reserved]` |
//! | `cancel-erp-order` | `c1` | `lines[{line,quantity}]`, `whole` |
//! | `release-stock` | `c1` | `lines[..as reserved]` |
//! | `void-payment` | | command `void`: `currency`, `tenders`, `reason` |
//! | `void-tax` | | `tax` as sold |
//! | `tell-cancelled` | | `status: cancelled` |

use super::{Dispatch, Life, Name, Shipment, SoldLine, Step, lines::DispatchLine};
use crate::{
    Effect, Policy, Target, Timer,
    kit::json,
    policy::{CaptureWhen, StockAuthority, TaxBasis},
};
use crossdock_canonical::{Duration, Money, SystemName, order::Delivery};
use crossdock_value::{Value, value};
use rust_decimal::Decimal;

/// How far an order has come: the gates it has passed, in this order. Which gates ask a system is the market's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gate {
    Accepted,
    Taken,
    Checked,
    Screened,
    Taxed,
    Authorized,
    Reserved,
    Booked,
}

impl Gate {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Taken => "taken",
            Self::Checked => "checked",
            Self::Screened => "screened",
            Self::Taxed => "taxed",
            Self::Authorized => "authorized",
            Self::Reserved => "reserved",
            Self::Booked => "booked",
        }
    }
}

impl Life {
    pub(super) fn gate(&self, policy: &Policy) -> Gate {
        let through = |step| self.ends.through(step, "");
        let gates = [
            (Gate::Taken, through(Step::TakeOrder)),
            // Once the ERP has the order, a change in the storefront is a person's to sort out; the goods go on.
            (Gate::Checked, self.faults.is_empty() && (!self.changed || self.ends.ended(Step::CreateErpOrder, ""))),
            (Gate::Screened, self.is_screened(policy)),
            (Gate::Taxed, !self.quotes_tax(policy) || (through(Step::QuoteTax) && self.tax_difference(policy).is_none())),
            (Gate::Authorized, self.sold.tenders.is_empty() || through(Step::AuthorizePayment)),
            (Gate::Reserved, !self.reserves(policy) || through(Step::ReserveStock)),
            (Gate::Booked, policy.erp.is_none() || (through(Step::CreateErpOrder) && self.erp_difference(policy).is_none())),
        ];
        gates.iter().take_while(|(_, passed)| *passed).last().map_or(Gate::Accepted, |(gate, _)| *gate)
    }

    /// What the order calls for on its way forward.
    pub(super) fn forward(&self, policy: &Policy) -> Vec<Effect> {
        let mut ask = Asking::new(self, policy);
        if self.end.is_some() {
            return ask.effects;
        }
        ask.storefront(Step::TakeOrder, "", || value!({"status": "exported"}));
        if !self.is_dead() {
            match self.gate(policy) {
                // Faults, or a changed order: a person is asked.
                Gate::Accepted | Gate::Taken => {}
                Gate::Checked => ask.screen(),
                Gate::Screened => ask.tax(Step::QuoteTax, || value!({})),
                Gate::Taxed => ask.payment(
                    Step::AuthorizePayment,
                    "",
                    "authorize",
                    || value!({"currency": json(&self.sold.currency), "tenders": json(&self.sold.tenders)}),
                ),
                Gate::Authorized => {
                    let lines = self.remaining().into_iter().filter(|(line, _)| line.is_picked());
                    let lines = ask.lines(lines);
                    ask.inventory(Step::ReserveStock, "", || value!({"lines": lines}));
                }
                Gate::Reserved => ask.erp(Step::CreateErpOrder, "", || self.erp_order()),
                Gate::Booked => {
                    ask.storefront(Step::ConfirmOrder, "", || value!({"status": "confirmed"}));
                    ask.notify("confirmed", || value!({"template": "order_confirmed"}));
                    self.release(&mut ask);
                    for dispatch in &self.dispatches {
                        self.settle_dispatch(dispatch, &mut ask);
                    }
                    self.tell(&mut ask);
                    self.settle_books(&mut ask);
                }
            }
        }
        if self.is_stopped() {
            let under_way = |effect: &Effect| {
                self.under_way.iter().any(|Name { step, intent }| step.name() == effect.step && *intent == effect.intent)
            };
            ask.effects.retain(under_way);
        }
        ask.effects
    }

    // -- gates --

    fn is_screened(&self, policy: &Policy) -> bool {
        // Goods that left are paid for, whatever the fraud system thinks later.
        policy.fraud.is_none()
            || self.fraud == super::Fraud::Approved
            || (self.fraud == super::Fraud::Pending && self.ends.through(Step::ScreenFraud, ""))
            || !self.dispatches.is_empty()
    }

    fn quotes_tax(&self, policy: &Policy) -> bool {
        policy.tax.as_ref().is_some_and(|tax| tax.basis == TaxBasis::Estimate)
    }

    fn reserves(&self, policy: &Policy) -> bool {
        policy.inventory.authority == StockAuthority::Hub
            && policy.inventory.system.is_some()
            && self.sold.lines.iter().any(|line| line.is_picked() && self.cancelled(&line.id) < line.quantity.value)
    }

    pub(super) fn tax_difference(&self, policy: &Policy) -> Option<(Money, Money)> {
        self.tax.difference(policy.tax.as_ref()?.tolerance)
    }

    pub(super) fn erp_difference(&self, policy: &Policy) -> Option<(Money, Money)> {
        self.erp.difference(policy.erp.as_ref()?.tolerance.amount)
    }

    /// Pieces that are still wanted, shipped ones among them.
    fn remaining(&self) -> Vec<(&SoldLine, Decimal)> {
        let left = self.sold.lines.iter().map(|line| (line, line.quantity.value - self.cancelled(&line.id)));
        left.filter(|(_, quantity)| *quantity > Decimal::ZERO).collect()
    }

    /// What the shopper owes for the pieces that are still wanted.
    pub(super) fn remaining_total(&self) -> Money {
        let remaining = self.remaining();
        let lines: Decimal = remaining.iter().map(|(line, quantity)| line.worth_between(Decimal::ZERO, *quantity)).sum();
        let charged = self.sold.charges.iter().filter(|charge| {
            let lines = |id| self.sold.lines.iter().any(|line| line.shipment.as_ref() == Some(id));
            charge
                .shipment
                .as_ref()
                .is_none_or(|id| !lines(id) || remaining.iter().any(|(line, _)| line.shipment.as_ref() == Some(id)))
        });
        self.sold.money(lines + charged.map(|charge| charge.worth.amount).sum::<Decimal>())
    }

    // -- after booking --

    fn erp_order(&self) -> Value {
        let remaining = self.remaining();
        let entry = |line: &SoldLine, quantity: Decimal| DispatchLine { line: line.id.clone(), quantity: line.of(quantity) };
        let all: Vec<_> = remaining.iter().map(|(line, quantity)| entry(line, *quantity)).collect();
        let shipments = self.shipments.iter().filter_map(|shipment| {
            let lines = remaining.iter().filter(|(line, _)| shipment.lines.contains(&line.id));
            let lines: Vec<_> = lines.map(|(line, quantity)| entry(line, *quantity)).collect();
            (!lines.is_empty()).then(|| value!({"shipment": shipment.id.as_str(), "lines": json(&lines)}))
        });
        value!({"shipments": shipments.collect::<Value>(), "lines": json(&all), "total": json(&self.remaining_total())})
    }

    fn release(&self, ask: &mut Asking) {
        if ask.policy.fulfilment.is_none() {
            return;
        }
        for shipment in &self.shipments {
            let wanted = self.remaining().into_iter().filter(|(line, _)| shipment.lines.contains(&line.id));
            let lines = ask.lines(wanted);
            if !lines.is_empty() {
                ask.release(shipment, lines);
            }
        }
    }

    /// One dispatch: take the money, let go of the stock, tell the ERP and the customer.
    fn settle_dispatch(&self, dispatch: &Dispatch, ask: &mut Asking) {
        let id = dispatch.id.as_str();
        if self.captures(dispatch, ask.policy) {
            ask.payment(
                Step::CapturePayment,
                id,
                "capture",
                || value!({"shipment": id, "amount": json(&dispatch.amount), "final": dispatch.last}),
            );
        }
        if self.fulfils_stock(dispatch, ask.policy) {
            let picked = dispatch.lines.iter().filter_map(|part| Some((self.sold.line(&part.line)?, part.quantity.value)));
            let lines = ask.lines(picked.filter(|(line, _)| line.is_picked()));
            ask.inventory(Step::FulfilStock, id, || value!({"lines": lines}));
        }
        if self.posts(ask.policy) {
            ask.erp(Step::PostDelivery, id, || {
                let mut args = value!({"shipment": id, "lines": json(&dispatch.lines)});
                if let Some(tracking) = &dispatch.tracking {
                    args.insert("tracking", tracking.as_str());
                }
                args
            });
            if self.ends.through(Step::PostDelivery, id) {
                ask.erp(Step::PostInvoice, id, || {
                    value!({"shipment": id, "lines": json(&dispatch.lines), "amount": json(&dispatch.amount), "tax": json(&dispatch.tax)})
                });
            }
        }
        let template = if dispatch.shipment.is_some() { "order_shipped" } else { "order_fulfilled" };
        ask.notify(&format!("shipped/{id}"), || value!({"template": template, "shipment": id, "lines": json(&dispatch.lines)}));
    }

    /// Payments into the ERP; and once every line is decided: settle the payment, commit the tax, complete the order.
    fn settle_books(&self, ask: &mut Asking) {
        for captured in &self.captured {
            if self.posts(ask.policy) && self.may_post_payment(&captured.by) {
                ask.erp(Step::PostPayment, &captured.intent(), || {
                    let mut args = value!({
                        "payment": captured.payment.as_str(),
                        "amount": json(&captured.amount),
                        "kind": if captured.refund { "refund" } else { "capture" }
                    });
                    if let Some(transaction) = &captured.transaction {
                        args.insert("transaction", transaction.as_str());
                    }
                    if self.dispatches.iter().any(|dispatch| dispatch.id == captured.by) {
                        args.insert("shipment", captured.by.as_str());
                    }
                    args
                });
            }
        }
        if !self.every_line_is_decided() || self.is_cancelling() {
            return;
        }
        let captured =
            |dispatch: &Dispatch| !self.captures(dispatch, ask.policy) || self.ends.through(Step::CapturePayment, &dispatch.id);
        if !self.dispatches.iter().all(captured) {
            return;
        }
        if !self.sold.tenders.is_empty() {
            ask.payment(Step::ClosePayment, "", "close", || value!({"amount": json(&self.due())}));
            if !self.ends.through(Step::ClosePayment, "") {
                return;
            }
        }
        if ask.policy.tax.is_some() {
            ask.tax(Step::CommitTax, || value!({"tax": json(&self.tax_due())}));
        }
        if self.books_are_settled(ask.policy) && self.tells.are_quiet() && self.next_tell(ask.policy).is_none() {
            ask.storefront(Step::CompleteOrder, "", || value!({"status": "completed"}));
        }
    }

    pub(super) fn books_are_settled(&self, policy: &Policy) -> bool {
        let through = |step, intent: &str| self.ends.through(step, intent);
        self.dispatches.iter().all(|dispatch| {
            let id = dispatch.id.as_str();
            (!self.captures(dispatch, policy) || through(Step::CapturePayment, id))
                && (!self.fulfils_stock(dispatch, policy) || through(Step::FulfilStock, id))
                && (!self.posts(policy) || through(Step::PostInvoice, id))
        }) && (!self.posts(policy) || self.captured.iter().all(|captured| through(Step::PostPayment, &captured.intent())))
            && (self.sold.tenders.is_empty() || through(Step::ClosePayment, ""))
            && (policy.tax.is_none() || through(Step::CommitTax, ""))
            && through(Step::ConfirmOrder, "")
    }

    fn captures(&self, dispatch: &Dispatch, policy: &Policy) -> bool {
        policy.payment.capture == CaptureWhen::Shipment && dispatch.amount.is_positive() && !self.sold.tenders.is_empty()
    }

    fn fulfils_stock(&self, dispatch: &Dispatch, policy: &Policy) -> bool {
        self.holds_stock(policy)
            && policy.inventory.system.is_some()
            && dispatch.lines.iter().any(|part| self.sold.line(&part.line).is_some_and(SoldLine::is_picked))
    }

    fn posts(&self, policy: &Policy) -> bool {
        policy.erp.as_ref().is_some_and(|erp| erp.posts)
    }

    /// A payment follows the invoice it pays; what was taken at accept is a prepayment and follows the order alone.
    fn may_post_payment(&self, by: &str) -> bool {
        match self.dispatches.iter().find(|dispatch| dispatch.id == by) {
            Some(dispatch) => self.ends.through(Step::PostInvoice, &dispatch.id),
            None => {
                by == "authorize" || self.dispatches.iter().all(|dispatch| self.ends.through(Step::PostInvoice, &dispatch.id))
            }
        }
    }

    pub(super) fn is_cancelling(&self) -> bool {
        !self.wishes.is_empty() || self.cancellations.iter().any(|c| !c.ended)
    }

    pub(super) fn timers(&self, policy: &Policy) -> Vec<Timer> {
        let mut timers = Vec::new();
        if self.end.is_some() {
            return timers;
        }
        if let (super::Fraud::Review { since, overdue: false }, Some(fraud)) = (self.fraud, &policy.fraud) {
            timers.push(Timer { name: super::trouble::REVIEW_TIMER.to_owned(), due: since + fraud.review_within });
        }
        let Some(fulfilment) = &policy.fulfilment else { return timers };
        for shipment in self.shipments.iter().filter(|shipment| !shipment.overdue && self.is_awaited(shipment)) {
            if let Some(released) = shipment.released_at {
                timers.push(Timer { name: super::trouble::ship_timer(&shipment.id), due: released + fulfilment.ship_within });
            }
        }
        timers
    }
}

impl super::Captured {
    /// The name of its posting.
    pub(super) fn intent(&self) -> String {
        let refund = if self.refund { "refund/" } else { "" };
        format!("{}/{refund}{}", self.by, self.payment)
    }
}

// ---- asking ------------------------------------------------------------------------------------------------------------------

/// Collects effects: who is asked, how long he may take, and nothing that has ended already.
pub(super) struct Asking<'a> {
    life: &'a Life,
    pub(super) policy: &'a Policy,
    pub(super) effects: Vec<Effect>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(life: &'a Life, policy: &'a Policy) -> Self {
        Self { life, policy, effects: Vec::new() }
    }

    fn put(&mut self, step: Step, intent: &str, target: Target, deadline: Duration, args: impl FnOnce() -> Value) {
        if !self.life.ends.ended(step, intent) {
            let intent = intent.to_owned();
            self.effects.push(Effect { step: step.name(), intent, target, operation: step.operation(), args: args(), deadline });
        }
    }

    pub(super) fn storefront(&mut self, step: Step, intent: &str, args: impl FnOnce() -> Value) {
        let to = &self.policy.storefront;
        self.put(step, intent, Target::System(to.system.clone()), to.deadline, args);
    }

    fn screen(&mut self) {
        if let Some(to) = &self.policy.fraud {
            self.put(Step::ScreenFraud, "", Target::System(to.system.clone()), to.deadline, || value!({}));
        }
    }

    pub(super) fn tax(&mut self, step: Step, args: impl FnOnce() -> Value) {
        if let Some(to) = &self.policy.tax {
            self.put(step, "", Target::System(to.system.clone()), to.deadline, args);
        }
    }

    pub(super) fn inventory(&mut self, step: Step, intent: &str, args: impl FnOnce() -> Value) {
        let to = &self.policy.inventory;
        if let Some(system) = &to.system {
            self.put(step, intent, Target::System(system.clone()), to.deadline, args);
        }
    }

    pub(super) fn erp(&mut self, step: Step, intent: &str, args: impl FnOnce() -> Value) {
        if let Some(to) = &self.policy.erp {
            self.put(step, intent, Target::System(to.system.clone()), to.deadline, args);
        }
    }

    pub(super) fn notify(&mut self, intent: &str, args: impl FnOnce() -> Value) {
        if let Some(to) = &self.policy.notification {
            self.put(Step::Notify, intent, Target::System(to.system.clone()), to.deadline, args);
        }
    }

    /// A command to this order's payment process. It may have to ask every tender in turn, so it gets the time of all of them.
    pub(super) fn payment(&mut self, step: Step, intent: &str, command: &str, body: impl FnOnce() -> Value) {
        let key = self.life.reference.to_string();
        let slowest = self.policy.payment.methods.values().map(|tender| tender.deadline).max().unwrap_or(Duration::minutes(5));
        let turns = i64::try_from(self.life.sold.tenders.len()).unwrap_or(i64::MAX).saturating_add(1);
        let deadline = Duration::millis(slowest.0.saturating_mul(turns).saturating_mul(2));
        let args = || value!({"command": command, "body": body()});
        self.put(step, intent, Target::Process { kind: crate::payment::KIND, key }, deadline, args);
    }

    fn release(&mut self, shipment: &Shipment, lines: Lines) {
        self.warehouse(Step::ReleaseShipment, shipment.id.as_str(), shipment, |mut args| {
            args.insert("lines", lines);
            args.insert("delivery", json(&shipment.delivery));
            if let Some(store) = &shipment.store {
                args.insert("store", store.as_str());
            }
            args
        });
    }

    pub(super) fn recall(&mut self, intent: &str, shipment: &Shipment, lines: Lines) {
        self.warehouse(Step::CancelShipment, intent, shipment, |mut args| {
            args.insert("lines", lines);
            args
        });
    }

    fn warehouse(&mut self, step: Step, intent: &str, shipment: &Shipment, args: impl FnOnce(Value) -> Value) {
        if let Some(to) = &self.policy.fulfilment {
            let system = warehouse_of(shipment, to);
            let args = || args(value!({"shipment": shipment.id.as_str()}));
            self.put(step, intent, Target::System(system.clone()), to.deadline, args);
        }
    }

    /// Lines as inventory and warehouse take them; a bundle says what is picked for it.
    pub(super) fn lines<'l>(&self, lines: impl Iterator<Item = (&'l SoldLine, Decimal)>) -> Lines {
        let entry = |(line, quantity): (&SoldLine, Decimal)| {
            let mut entry = value!({"line": line.id.as_str(), "quantity": json(&line.of(quantity))});
            if let Some(sku) = &line.sku {
                entry.insert("sku", sku.as_str());
            }
            if let Some(location) = self.life.locations.get(&line.id) {
                entry.insert("location", location.as_str());
            }
            if !line.components.is_empty() {
                entry.insert("components", json(&line.components));
            }
            entry
        };
        Lines(lines.map(entry).collect())
    }
}

/// The store that serves a pickup itself, else the warehouse.
pub(super) fn warehouse_of<'p>(shipment: &Shipment, policy: &'p crate::policy::FulfilmentPolicy) -> &'p SystemName {
    let store = shipment.store.as_ref().filter(|_| shipment.delivery == Delivery::Pickup);
    store.and_then(|store| policy.stores.get(store)).unwrap_or(&policy.system)
}

/// A list of line entries, ready to be an argument.
pub(super) struct Lines(Vec<Value>);

impl Lines {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Lines> for Value {
    fn from(lines: Lines) -> Self {
        lines.0.into()
    }
}
