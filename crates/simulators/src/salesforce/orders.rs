//! The orders an instance holds, indexed as `GET /orders` sorts them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rust_decimal::Decimal;

use crate::json::Json;
use crate::ledger::{Row, Scope};
use crate::simulator::Context;
use crate::time;

/// One order with the members a list filters by, kept beside the document.
pub struct Stored {
    pub json: Json,
    /// The document rendered, until the next change.
    text: Option<Arc<str>>,
    pub scope: Scope,
    pub created: i64,
    pub modified: i64,
    pub status: String,
    pub export: String,
    pub confirmation: String,
    pub payment: String,
    pub shipping: String,
    pub external: String,
}

#[derive(Default)]
struct SiteIndex {
    by_number: HashMap<String, usize>,
    by_created: BTreeSet<(i64, usize)>,
    by_modified: BTreeSet<(i64, usize)>,
}

pub struct Orders {
    channel: Arc<str>,
    orders: Vec<Stored>,
    sites: HashMap<String, SiteIndex>,
    on_order: HashMap<String, Decimal>,
}

impl Orders {
    pub fn new(channel: &str) -> Self {
        Orders { channel: Arc::from(channel), orders: Vec::new(), sites: HashMap::new(), on_order: HashMap::new() }
    }

    pub fn len(&self) -> usize {
        self.orders.len()
    }

    pub fn find(&self, site: &str, number: &str) -> Option<usize> {
        self.sites.get(site)?.by_number.get(number).copied()
    }

    pub fn json(&self, index: usize) -> &Json {
        &self.orders[index].json
    }

    pub fn get(&self, index: usize) -> &Stored {
        &self.orders[index]
    }

    pub fn text(&mut self, index: usize) -> Arc<str> {
        let order = &mut self.orders[index];
        order.text.get_or_insert_with(|| Arc::from(order.json.render())).clone()
    }

    pub fn on_order(&self, sku: &str) -> Decimal {
        self.on_order.get(sku).copied().unwrap_or_default()
    }

    /// Order indices of a site by creation or change, ascending, within `[from, to)`.
    pub fn sorted(&self, site: &str, by_modified: bool, from: i64, to: i64) -> impl DoubleEndedIterator<Item = usize> + '_ {
        let index = self.sites.get(site).filter(|_| from < to);
        let set = index.map(|i| if by_modified { &i.by_modified } else { &i.by_created });
        set.into_iter().flat_map(move |set| set.range((from, 0)..(to, 0)).map(|(_, index)| *index))
    }

    pub fn place(&mut self, mut json: Json, context: &mut Context) -> Result<(), String> {
        let (number, site) = (json.text("orderNo").to_owned(), json.text("siteId").to_owned());
        if number.is_empty() || number.len() > 50 {
            return Err("orderNo must have 1 to 50 characters".into());
        }
        if self.find(&site, &number).is_some() {
            return Err(format!("order '{number}' exists"));
        }
        let now = context.now;
        for (name, value) in [
            ("status", "new"),
            ("exportStatus", "ready"),
            ("confirmationStatus", "not_confirmed"),
            ("paymentStatus", "not_paid"),
            ("shippingStatus", "not_shipped"),
        ] {
            if json.get(name).is_none() {
                json.set(name, value);
            }
        }
        let instant = time::rfc3339(now);
        json.set("creationDate", instant.as_str());
        json.set("lastModified", instant.as_str());
        if json.text("status") != "created" {
            json.set("placeDate", instant);
        }
        let order = Stored {
            text: None,
            scope: Scope { channel: self.channel.clone(), site: Arc::from(site.as_str()), order: Arc::from(number.as_str()) },
            created: now,
            modified: now,
            status: json.text("status").to_owned(),
            export: json.text("exportStatus").to_owned(),
            confirmation: json.text("confirmationStatus").to_owned(),
            payment: json.text("paymentStatus").to_owned(),
            shipping: json.text("shippingStatus").to_owned(),
            external: json.text("externalOrderStatus").to_owned(),
            json,
        };
        book_placed(&order, context);
        let index = self.orders.len();
        let of_site = self.sites.entry(site).or_default();
        of_site.by_number.insert(number, index);
        of_site.by_created.insert((now, index));
        of_site.by_modified.insert((now, index));
        self.orders.push(order);
        self.hold(index, Decimal::ONE);
        Ok(())
    }

    /// Changes an order and moves it in the index of changes. Time never runs back on one order.
    pub fn change(&mut self, index: usize, now: i64, change: impl FnOnce(&mut Stored)) {
        let order = &mut self.orders[index];
        change(order);
        let modified = now.max(order.modified);
        if modified != order.modified {
            let by_modified = &mut self.sites.get_mut(&*order.scope.site).expect("a stored order's site is indexed").by_modified;
            by_modified.remove(&(order.modified, index));
            by_modified.insert((modified, index));
            order.modified = modified;
        }
        order.json.set("lastModified", time::rfc3339(modified));
        order.text = None;
    }

    /// Adds an order's quantities to the on-order count (`sign` 1) or takes them off (-1).
    pub fn hold(&mut self, index: usize, sign: Decimal) {
        for line in self.orders[index].json.list("productItems") {
            let quantity = line.decimal("quantity").unwrap_or_default() * sign;
            *self.on_order.entry(line.text("productId").to_owned()).or_default() += quantity;
        }
    }
}

/// The ledger's view of a placed order: a head, its lines, its tenders.
fn book_placed(order: &Stored, context: &mut Context) {
    let json = &order.json;
    let now = context.now;
    let number = order.scope.order.to_string();
    let base = |operation| Row {
        operation,
        scope: order.scope.clone(),
        reference: number.clone(),
        currency: json.text("currency").to_owned(),
        state: order.status.clone(),
        ..Row::default()
    };
    context.ledger.add(now, Row { amount: json.decimal("orderTotal"), ..base("order.placed") });
    for line in json.list("productItems") {
        let (sku, amount) = (line.text("productId").to_owned(), line.decimal("priceAfterOrderDiscount"));
        let quantity = line.decimal("quantity");
        context.ledger.add(now, Row { line: line.text("itemId").to_owned(), sku, amount, quantity, ..base("order.line") });
    }
    for gift in json.list("giftCertificateItems") {
        let (line, amount) = (gift.text("giftCertificateItemId").to_owned(), gift.decimal("grossPrice"));
        context.ledger.add(now, Row { line, amount, quantity: Some(Decimal::ONE), ..base("order.line") });
    }
    for tender in json.list("paymentInstruments") {
        let transaction = tender.get("paymentTransaction");
        let amount = transaction.and_then(|t| t.decimal("amount"));
        let parent = transaction.map_or("", |t| t.text("transactionId")).to_owned();
        let line = tender.text("paymentInstrumentId").to_owned();
        let state = tender.text("paymentMethodId").to_owned();
        context.ledger.add(now, Row { line, parent, amount, state, ..base("order.tender") });
    }
}
