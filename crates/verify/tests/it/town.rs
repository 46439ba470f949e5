//! A small world: five orders at nine systems, and the hub that brought them about. Everything in it is right.

use crossdock_canonical::{Operation, SystemName, Timestamp};
use crossdock_store::{AuditVerdict, EffectRow, EffectState, ExceptionRow, ProcessKey};
use crossdock_verify::{Fold, HubView, Ledgers, Options, Process, Recorded, Report, Row, Transition, compare, parse_all, verify};
use serde_json::{json, value::RawValue};
use std::{collections::BTreeMap, sync::Arc};

pub const CLOSED: &str = "sfcc/DE/1";
pub const CANCELLED: &str = "sfcc/DE/2";
pub const YEN: &str = "sfcc/JP/3";
pub const REVIEWED: &str = "sfcc/DE/4";

pub struct Town {
    pub ledgers: BTreeMap<&'static str, Vec<Row>>,
    pub hub: HubView,
    /// Rows are numbered anew before the check, so that taking one out leaves no gap.
    pub renumber: bool,
    now: i64,
    offsets: BTreeMap<u16, u64>,
}

pub fn dec(text: &str) -> Option<rust_decimal::Decimal> {
    Some(text.parse().expect("a decimal"))
}

impl Town {
    pub fn new() -> Self {
        let hub = HubView {
            processes: BTreeMap::new(),
            offsets: Vec::new(),
            audit: AuditVerdict::Intact { rows: 40, head: "6b86b273".into() },
            inbox_depth: 0,
        };
        let mut town = Self { ledgers: BTreeMap::new(), hub, renumber: true, now: 1_000, offsets: BTreeMap::new() };
        for (sku, count) in [("SKU-1", "10"), ("SKU-2", "5")] {
            town.row("inventory", "stock.set", "//", |row| {
                (row.sku, row.location, row.quantity) = (sku.into(), "WEST".into(), dec(count));
            });
        }
        town.closed();
        town.cancelled();
        town.yen();
        town.reviewed();
        town
    }

    /// One that ships whole and is charged once.
    fn closed(&mut self) {
        let order = CLOSED;
        self.place(order, "EUR", "120.00", &[("L1", "SKU-1", "2", "110.00")], "pi_1");
        self.begin(order, "order", "closed");
        self.begin(order, "payment", "closed");
        self.taken(order);
        let key = self.effect(order, "order", "quote-tax", "", Operation::TaxQuote, "tax");
        self.row("tax", "tax.create", order, |row| (row.key, row.reference, row.state) = (key, "T-1".into(), "saved".into()));
        self.reserve(order, "L1", "SKU-1", "2");
        self.book(order, "SO-1", "EUR", "120.00", &[("L1", "SKU-1", "2")]);
        self.told(order, "confirm-order", "", Operation::ConfirmationStatus, "confirmation_status", "confirmed");
        self.release(order, "FO-1", "L1", "SKU-1", "2");
        self.ship("FO-1", "PC-1", order, "L1", "SKU-1", "2");
        self.capture(order, "payment", "pi_1", "EUR", "120.00");
        let key = self.effect(order, "order", "fulfil-stock", "PC-1", Operation::FulfilStock, "inventory");
        self.row("inventory", "reservation.fulfil", order, |row| {
            (row.key, row.reference, row.parent) = (key.clone(), "RF-1".into(), order.into());
        });
        self.row("inventory", "fulfilment.line", order, |row| {
            (row.key, row.reference, row.parent, row.line) = (key, "RF-1".into(), order.into(), "L1".into());
            (row.sku, row.location, row.quantity) = ("SKU-1".into(), "WEST".into(), dec("2"));
        });
        self.deliver(order, "SO-1", "DN-1", "L1", "2");
        self.post(order, "post-invoice", Operation::ErpPostInvoice, "invoice.create", ("IN-1", "SO-1"), ("EUR", "120.00"));
        self.post(order, "post-payment", Operation::ErpPostPayment, "payment.create", ("RC-1", "SO-1"), ("EUR", "120.00"));
        self.told(order, "tell-shipping", "part_shipped", Operation::ShippingStatus, "shipping_status", "part_shipped");
        self.told(order, "tell-shipping", "shipped", Operation::ShippingStatus, "shipping_status", "shipped");
        self.told(order, "tell-payment", "paid", Operation::PaymentStatus, "payment_status", "paid");
        let key = self.effect(order, "order", "notify-customer", "PC-1", Operation::Notify, "notification");
        self.row("notification", "message.send", order, |row| (row.key, row.reference) = (key, "MS-1".into()));
        let key = self.effect(order, "order", "commit-tax", "", Operation::TaxCommit, "tax");
        self.row("tax", "tax.commit", order, |row| {
            (row.key, row.reference, row.parent, row.state) = (key, "T-1".into(), "T-1".into(), "committed".into());
        });
        self.told(order, "complete-order", "", Operation::OrderStatus, "status", "completed");
    }

    /// One that is cancelled after its release.
    fn cancelled(&mut self) {
        let order = CANCELLED;
        self.place(order, "EUR", "60.00", &[("L1", "SKU-2", "1", "60.00")], "pi_2");
        self.begin(order, "order", "cancelled");
        self.begin(order, "payment", "cancelled");
        self.taken(order);
        self.reserve(order, "L1", "SKU-2", "1");
        self.book(order, "SO-2", "EUR", "60.00", &[("L1", "SKU-2", "1")]);
        self.told(order, "confirm-order", "", Operation::ConfirmationStatus, "confirmation_status", "confirmed");
        self.release(order, "FO-2", "L1", "SKU-2", "1");
        self.undo(order, "cancel-shipment", Operation::WmsCancel, "warehouse", "fulfilment_order.cancel", ("FC-1", "FO-2"));
        self.undo(order, "cancel-erp-order", Operation::ErpCancelOrder, "erp", "sales_order.cancel", ("SC-1", "SO-2"));
        let key = self.effect(order, "order", "release-stock", "c1", Operation::ReleaseStock, "inventory");
        self.row("inventory", "reservation.release", order, |row| {
            (row.key, row.reference, row.parent, row.state) = (key.clone(), order.into(), order.into(), "released".into());
        });
        self.row("inventory", "release.line", order, |row| {
            (row.key, row.reference, row.parent, row.line) = (key, order.into(), order.into(), "L1".into());
            (row.sku, row.location, row.quantity) = ("SKU-2".into(), "WEST".into(), dec("1"));
        });
        let key = self.effect(order, "payment", "void", "pi_2", Operation::PaymentVoid, "payment");
        self.row("payment", "void", order, |row| {
            (row.key, row.reference, row.parent) = (key, "pi_2".into(), "pi_2".into());
            (row.amount, row.currency) = (dec("60.00"), "EUR".into());
        });
        self.told(order, "tell-cancelled", "", Operation::OrderStatus, "status", "cancelled");
    }

    /// One in yen, paid by gift card and partly refunded. Its shipment comes from a store without a warehouse system.
    fn yen(&mut self) {
        let order = YEN;
        self.place(order, "JPY", "1200", &[("L1", "SKU-1", "1", "1200")], "");
        self.begin(order, "order", "closed");
        self.begin(order, "payment", "closed");
        self.taken(order);
        let key = self.effect(order, "payment", "authorize", "p1", Operation::PaymentAuthorize, "giftcard");
        self.row("giftcard", "authorise", order, |row| {
            (row.key, row.reference, row.parent) = (key, "GA-1".into(), "card".into());
            (row.amount, row.currency) = (dec("1200"), "JPY".into());
        });
        self.book(order, "SO-3", "JPY", "1200", &[("L1", "SKU-1", "1")]);
        self.told(order, "confirm-order", "", Operation::ConfirmationStatus, "confirmation_status", "confirmed");
        self.capture(order, "giftcard", "GA-1", "JPY", "1200");
        self.post(order, "post-invoice", Operation::ErpPostInvoice, "invoice.create", ("IN-3", "SO-3"), ("JPY", "1200"));
        let key = self.effect(order, "payment", "refund", "r1", Operation::PaymentRefund, "giftcard");
        self.row("giftcard", "refund", order, |row| {
            (row.key, row.reference, row.parent) = (key, "GR-1".into(), "GA-1".into());
            (row.amount, row.currency) = (dec("200"), "JPY".into());
        });
        self.post(order, "post-refund", Operation::ErpPostPayment, "credit_note.create", ("CN-3", "SO-3"), ("JPY", "200"));
    }

    /// One that waits for a person.
    fn reviewed(&mut self) {
        let order = REVIEWED;
        self.place(order, "EUR", "60.00", &[("L1", "SKU-2", "1", "60.00")], "pi_4");
        self.begin(order, "order", "open");
        self.taken(order);
        let key = self.effect(order, "order", "screen-fraud", "", Operation::Screen, "fraud");
        self.row("fraud", "screening.create", order, |row| {
            (row.key, row.reference, row.state) = (key, "FS-4".into(), "review".into())
        });
        let exception = ExceptionRow {
            class: "fraud_review".into(),
            step: "screen-fraud".into(),
            intent: "".into(),
            system: "fraud".into(),
            cause: "score 71".into(),
            suggestion: "decide".into(),
            since: Timestamp(self.now),
            payload: None,
        };
        self.process(order, "order").exceptions.push(("fraud".into(), exception));
    }

    // ---- what orders are made of ---------------------------------------------------------------------------------------------

    fn place(&mut self, order: &str, currency: &str, total: &str, lines: &[(&str, &str, &str, &str)], transaction: &str) {
        self.row("storefront", "order.placed", order, |row| {
            (row.amount, row.currency, row.state) = (dec(total), currency.into(), "new".into())
        });
        for (line, sku, quantity, amount) in lines {
            self.row("storefront", "order.line", order, |row| {
                (row.line, row.sku, row.quantity) = ((*line).into(), (*sku).into(), dec(quantity));
                (row.amount, row.currency) = (dec(amount), currency.into());
            });
        }
        self.row("storefront", "order.tender", order, |row| (row.parent, row.amount) = (transaction.into(), dec(total)));
        if !transaction.is_empty() {
            self.row("payment", "authorise", order, |row| {
                (row.reference, row.amount, row.currency) = (transaction.into(), dec(total), currency.into());
            });
        }
    }

    fn taken(&mut self, order: &str) {
        self.told(order, "take-order", "", Operation::ExportStatus, "export_status", "exported");
    }

    /// A status the storefront is told. Its calls carry no key.
    fn told(&mut self, order: &str, step: &str, intent: &str, operation: Operation, word: &str, state: &str) {
        self.effect(order, "order", step, intent, operation, "storefront");
        self.row("storefront", word, order, |row| row.state = state.into());
    }

    fn reserve(&mut self, order: &str, line: &str, sku: &str, quantity: &str) {
        self.effect(order, "order", "reserve-stock", "", Operation::Reserve, "inventory");
        // The caller's own reference is all that this system keeps.
        self.row("inventory", "reservation.create", order, |row| (row.key, row.reference) = (order.into(), order.into()));
        self.row("inventory", "reservation.line", order, |row| {
            (row.key, row.reference, row.line) = (order.into(), order.into(), line.into());
            (row.sku, row.location, row.quantity) = (sku.into(), "WEST".into(), dec(quantity));
        });
    }

    fn book(&mut self, order: &str, id: &str, currency: &str, total: &str, lines: &[(&str, &str, &str)]) {
        let key = self.effect(order, "order", "create-erp-order", "", Operation::ErpCreateOrder, "erp");
        self.row("erp", "sales_order.create", order, |row| {
            (row.key, row.reference, row.amount, row.currency) = (key.clone(), id.into(), dec(total), currency.into());
        });
        for (line, sku, quantity) in lines {
            self.row("erp", "sales_order.line", order, |row| {
                (row.key, row.reference, row.line) = (key.clone(), id.into(), (*line).into());
                (row.sku, row.quantity) = ((*sku).into(), dec(quantity));
            });
        }
    }

    fn release(&mut self, order: &str, id: &str, line: &str, sku: &str, quantity: &str) {
        let key = self.effect(order, "order", "release-shipment", "ship-1", Operation::WmsRelease, "warehouse");
        self.row("warehouse", "fulfilment_order.create", order, |row| (row.key, row.reference) = (key.clone(), id.into()));
        self.row("warehouse", "fulfilment_order.line", order, |row| {
            (row.key, row.reference, row.line) = (key.clone(), id.into(), line.into());
            (row.sku, row.quantity) = (sku.into(), dec(quantity));
        });
    }

    fn ship(&mut self, release: &str, parcel: &str, order: &str, line: &str, sku: &str, quantity: &str) {
        self.row("warehouse", "shipment.create", order, |row| (row.reference, row.parent) = (parcel.into(), release.into()));
        self.row("warehouse", "shipment.line", order, |row| {
            (row.reference, row.parent, row.line) = (parcel.into(), release.into(), line.into());
            (row.sku, row.quantity) = (sku.into(), dec(quantity));
        });
        let at = Timestamp(self.now);
        let folded = Some(("warehouse".to_owned(), "shipment.notice".to_owned(), format!("hash of {parcel}")));
        self.transition(order, "order", Transition { folded, ..blank(at) });
    }

    fn capture(&mut self, order: &str, system: &'static str, transaction: &str, currency: &str, amount: &str) {
        let key = self.effect(order, "payment", "capture", "PC-1", Operation::PaymentCapture, system);
        self.row(system, "capture", order, |row| {
            (row.key, row.reference, row.parent) = (key, format!("{transaction}/1"), transaction.into());
            (row.amount, row.currency) = (dec(amount), currency.into());
        });
    }

    fn deliver(&mut self, order: &str, sale: &str, id: &str, line: &str, quantity: &str) {
        let key = self.effect(order, "order", "post-delivery", "PC-1", Operation::ErpPostDelivery, "erp");
        self.row("erp", "delivery.create", order, |row| {
            (row.key, row.reference, row.parent) = (key.clone(), id.into(), sale.into())
        });
        self.row("erp", "delivery.line", order, |row| {
            (row.key, row.reference, row.parent) = (key, id.into(), sale.into());
            (row.line, row.quantity) = (line.into(), dec(quantity));
        });
    }

    fn post(
        &mut self,
        order: &str,
        step: &str,
        operation: Operation,
        word: &str,
        (id, sale): (&str, &str),
        (currency, amount): (&str, &str),
    ) {
        let key = self.effect(order, "order", step, "PC-1", operation, "erp");
        self.row("erp", word, order, |row| {
            (row.key, row.reference, row.parent) = (key, id.into(), sale.into());
            (row.amount, row.currency) = (dec(amount), currency.into());
        });
    }

    /// Takes back one piece of line L1.
    fn undo(
        &mut self,
        order: &str,
        step: &str,
        operation: Operation,
        system: &'static str,
        word: &str,
        (id, parent): (&str, &str),
    ) {
        let key = self.effect(order, "order", step, "c1", operation, system);
        self.row(system, word, order, |row| (row.key, row.reference, row.parent) = (key.clone(), id.into(), parent.into()));
        self.row(system, &format!("{word}.line"), order, |row| {
            (row.key, row.reference, row.parent) = (key, id.into(), parent.into());
            (row.line, row.sku, row.quantity) = ("L1".into(), "SKU-2".into(), dec("1"));
        });
    }

    // ---- rows and processes ----------------------------------------------------------------------------------------------------

    /// Appends a row, ten milliseconds later than what happened last.
    pub fn row(&mut self, system: &'static str, operation: &str, order: &str, edit: impl FnOnce(&mut Row)) {
        self.now += 10;
        let mut parts = order.split('/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let mut row =
            Row { at: self.now, operation: operation.into(), channel: part(), site: part(), order: part(), ..Row::default() };
        edit(&mut row);
        self.ledgers.entry(system).or_default().push(row);
    }

    pub fn process(&mut self, order: &str, kind: &str) -> &mut Process {
        self.hub.processes.get_mut(&ProcessKey::new(kind, order)).expect("the town has it")
    }

    pub fn begin(&mut self, order: &str, kind: &str, status: &str) {
        let key = ProcessKey::new(kind, order);
        let process = Process {
            key: key.clone(),
            status: status.into(),
            stage: "somewhere".into(),
            waiting_for: "".into(),
            total: "".into(),
            opened_at: Timestamp(self.now),
            version: 0,
            schema: 1,
            state: Arc::from(*b"0"),
            effects: Vec::new(),
            timers: Vec::new(),
            exceptions: Vec::new(),
            history: Vec::new(),
        };
        self.hub.processes.insert(key, process);
    }

    /// An intent that the hub brought to its end; its key.
    pub fn effect(&mut self, order: &str, kind: &str, step: &str, intent: &str, operation: Operation, system: &str) -> String {
        self.now += 10;
        let at = Timestamp(self.now);
        let key = format!("key of {kind} {order} {step} {intent}");
        let process = self.process(order, kind);
        let no = u32::try_from(process.effects.len()).expect("few") + 1;
        process.effects.push(EffectRow {
            no,
            step: step.into(),
            intent: intent.into(),
            system: SystemName::new(system),
            operation,
            generation: 1,
            key: key.as_str().into(),
            state: EffectState::Done,
            class: 0,
            due: None,
            attempts: 1,
            deadline: Timestamp(at.0 + 1_000),
            made_at: at,
            request: None,
            last: "done".into(),
        });
        self.transition(order, kind, Transition { intents: vec![(no, key.clone())], ..blank(at) });
        key
    }

    /// Appends a journal row with one event.
    fn transition(&mut self, order: &str, kind: &str, transition: Transition) {
        let offset = self.offsets.entry(ProcessKey::new(kind, order).partition()).or_default();
        *offset += 1;
        let offset = (ProcessKey::new(kind, order).partition(), *offset);
        self.hub.offsets.push(offset);
        let process = self.process(order, kind);
        process.version += 1;
        process.history.push(Transition { version: process.version, ..transition });
        process.state = process.history.len().to_string().into_bytes().into();
    }

    /// The rows of one operation on one order.
    pub fn rows<'t>(&'t mut self, system: &str, order: &'t str, operation: &'t str) -> impl Iterator<Item = &'t mut Row> {
        let rows = self.ledgers.get_mut(system).expect("the town has the system");
        rows.iter_mut().filter(move |row| row.order_key().as_deref() == Some(order) && row.operation == operation)
    }

    pub fn edit(&mut self, system: &str, order: &str, operation: &str, edit: impl Fn(&mut Row)) {
        let count = self.rows(system, order, operation).map(edit).count();
        assert_ne!(count, 0, "{system} has no {operation} of {order} to edit");
    }

    pub fn remove(&mut self, system: &str, order: &str, operation: &str) {
        let rows = self.ledgers.get_mut(system).expect("the town has the system");
        let before = rows.len();
        rows.retain(|row| row.order_key().as_deref() != Some(order) || row.operation != operation);
        assert_ne!(rows.len(), before, "{system} has no {operation} of {order} to remove");
    }

    /// Appends a copy of a row, changed.
    pub fn copy(&mut self, system: &'static str, order: &str, operation: &str, edit: impl FnOnce(&mut Row)) {
        let mut copy = self.rows(system, order, operation).next().expect("a row to copy").clone();
        self.now += 10;
        copy.at = self.now;
        edit(&mut copy);
        self.ledgers.entry(system).or_default().push(copy);
    }

    /// Puts the rows of one operation at the end of their ledger's day.
    pub fn delay(&mut self, system: &str, order: &str, operation: &str) {
        let late = self.now + 1_000;
        self.edit(system, order, operation, |row| row.at = late);
    }

    pub fn ledgers(&self) -> Ledgers {
        let texts: Vec<(&str, String)> = self.ledgers.iter().map(|(system, rows)| (*system, self.lines(system, rows))).collect();
        parse_all(texts.iter().map(|(system, lines)| (*system, lines.as_str())))
    }

    fn lines(&self, system: &str, rows: &[Row]) -> String {
        let line = |(index, row): (usize, &Row)| {
            let seq = if self.renumber { index as u64 + 1 } else { row.seq };
            let json = json!({
                "seq": seq, "at": row.at, "system": system, "operation": row.operation, "key": row.key, "channel": row.channel,
                "site": row.site, "order": row.order, "ref": row.reference, "parent_ref": row.parent, "line": row.line,
                "sku": row.sku, "location": row.location, "quantity": row.quantity.map(|q| q.to_string()),
                "amount": row.amount.map(|a| a.to_string()), "currency": row.currency, "state": row.state, "extra": true,
            });
            format!("{json}\n")
        };
        rows.iter().enumerate().map(line).collect()
    }

    pub fn options(&self) -> Options {
        Options::at_rest(Timestamp(self.now + 10_000))
    }

    pub fn verify(&self) -> Report {
        verify(&self.ledgers(), Some(&self.hub), Some(&count_events), &self.options())
    }
}

fn blank(at: Timestamp) -> Transition {
    let event = RawValue::from_string("null".into()).expect("JSON");
    Transition { version: 0, at, folded: None, events: vec![event], intents: Vec::new(), unreadable: None }
}

/// The town's flow: its state is how many events there were.
pub fn count_events(recorded: &Recorded<'_>) -> Fold {
    if !matches!(recorded.kind, "order" | "payment") {
        return Fold::Unknown;
    }
    compare(
        recorded,
        |_, state| serde_json::from_slice::<usize>(state).map_err(|error| error.to_string()),
        |events| Ok(events.len()),
    )
}
