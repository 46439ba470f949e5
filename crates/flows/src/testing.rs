//! Plays flows against a scripted world, for tests here and in other crates. No I/O, no clock: time moves when a test says so.
//!
//! [`World`] holds one process: whatever it hears is folded, decided and checked against the laws every flow keeps (deciding twice
//! is deciding once, one name has one set of arguments, a state survives its encoding). [`Shop`] joins an order with its payment.
//! [`order`] and [`policy`] build what tests start from; a test names only what it cares about.

use crate::{
    Answer, Effect, Flow, Input, Plan, Policy, Target,
    order::OrderFlow,
    payment::PaymentFlow,
    policy::{
        AuthorizedBy, CaptureWhen, ErpPolicy, FraudPolicy, FulfilmentPolicy, InventoryPolicy, NotificationPolicy, PaymentPolicy,
        Refusals, StockAuthority, StorefrontPolicy, TaxBasis, TaxPolicy, TenderPolicy, ValidationPolicy,
    },
};
use crossdock_canonical::{
    Currency, Duration, Money, Operation, Order, Outcome, Quantity, Timestamp,
    order::{Address, Customer, Delivery, Line, LineKind, PlannedShipment, PriceAdjustment, ShippingCharge, Taxation, Totals},
    payment::{Payment, Tender},
};
use crossdock_value::{Value, value};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// How a scripted system answers a step.
#[derive(Clone, Debug)]
pub enum Script {
    Done(Value),
    Refused(&'static str),
    /// Not at all, until the test answers.
    Silent,
}

/// An effect that was asked for, and how it ended.
#[derive(Clone, Debug)]
pub struct Asked {
    pub effect: Effect,
    pub ended: Option<Outcome>,
}

/// One process of flow `F` and the world around it.
#[derive(Clone, Debug)]
pub struct World<F: Flow> {
    pub policy: Policy,
    pub state: F::State,
    pub now: Timestamp,
    pub asked: Vec<Asked>,
    pub events: Vec<F::Event>,
    /// JSON lines for [`replay`]: what each input led to.
    pub history: String,
    scripts: Vec<(String, Script)>,
}

impl<F: Flow> World<F> {
    pub fn new(policy: Policy) -> Self {
        let now = Timestamp::parse("2026-11-24T10:00:00Z").expect("an instant");
        Self {
            policy,
            state: F::State::default(),
            now,
            asked: Vec::new(),
            events: Vec::new(),
            history: String::new(),
            scripts: Vec::new(),
        }
    }

    /// Answers `step` or `step:intent` so, until told otherwise; the default is *done* with plausible evidence.
    pub fn script(mut self, name: &str, script: Script) -> Self {
        self.set_script(name, script);
        self
    }

    pub fn set_script(&mut self, name: &str, script: Script) {
        self.scripts.retain(|(known, _)| known != name);
        self.scripts.push((name.to_owned(), script));
    }

    /// Lets the process hear something, and checks the laws of flows.
    pub fn hear(&mut self, input: &Input) -> Option<Answer> {
        let heard = F::hear(&self.state, input, &self.policy, self.now);
        for event in &heard.events {
            self.state = F::apply(self.state.clone(), event, self.now);
        }
        let events = serde_json::to_string(&heard.events).expect("events can be written");
        self.events.extend(heard.events);
        let before = self.asked.len();
        let plan = self.plan();
        assert_eq!(plan, self.plan(), "deciding twice is deciding once");
        let mut names = BTreeSet::new();
        for effect in plan.effects {
            assert!(names.insert((effect.step, effect.intent.clone())), "{} is named twice in one plan", name_of(&effect));
            match self.asked.iter().find(|asked| asked.effect.step == effect.step && asked.effect.intent == effect.intent) {
                None => self.asked.push(Asked { effect, ended: None }),
                Some(asked) => assert_eq!(asked.effect, effect, "{} is named again with other arguments", name_of(&effect)),
            }
        }
        let asks: Vec<String> = self.asked[before..].iter().map(|asked| name_of(&asked.effect)).collect();
        if events != "[]" {
            let asks = serde_json::to_string(&asks).expect("names can be written");
            self.history.push_str(&format!("{{\"at\":\"{}\",\"events\":{events},\"asks\":{asks}}}\n", self.now));
        }
        let json = serde_json::to_string(&self.state).expect("a state can be written");
        assert_eq!(
            serde_json::from_str::<F::State>(&json).expect("a state can be read"),
            self.state,
            "a state survives its encoding"
        );
        heard.answer
    }

    pub fn plan(&self) -> Plan {
        F::decide(&self.state, &self.policy, F::LOGIC, self.now)
    }

    pub fn message(&mut self, kind: &str, body: Value) {
        self.hear(&Input::Message { from: "test".into(), kind: kind.into(), body });
    }

    pub fn command(&mut self, name: &str, body: Value, key: &str) -> Option<Answer> {
        self.hear(&Input::Command { name: name.into(), body, key: key.into() })
    }

    pub fn timer(&mut self, name: &str) {
        self.hear(&Input::Timer { name: name.into() });
    }

    /// Ends one effect.
    pub fn settle(&mut self, step: &str, intent: &str, outcome: Outcome) {
        let asked = self.asked.iter_mut().find(|asked| asked.effect.step == step && asked.effect.intent == intent);
        asked.unwrap_or_else(|| panic!("{step}:{intent} was never asked for")).ended = Some(outcome.clone());
        self.hear(&Input::Settled { step: step.into(), intent: intent.into(), outcome });
    }

    /// A person skips one effect.
    pub fn skip(&mut self, step: &str, intent: &str) {
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.effect.step == step && asked.effect.intent == intent) {
            asked.ended = Some(Outcome::done(Value::Null));
        }
        self.hear(&Input::Skipped { step: step.into(), intent: intent.into(), reason: "test".into() });
    }

    /// The engine found that an effect nobody calls for any more was never applied.
    pub fn withdraw(&mut self, step: &str, intent: &str) {
        self.asked.retain(|asked| asked.effect.step != step || asked.effect.intent != intent);
        self.hear(&Input::Withdrawn { step: step.into(), intent: intent.into() });
    }

    /// Answers open effects of outside systems, and those the answers lead to, until only silence is left.
    pub fn run(&mut self) {
        self.run_where(|_| true);
    }

    pub fn run_where(&mut self, wanted: impl Fn(&Effect) -> bool) {
        loop {
            let open = self.asked.iter().find(|asked| {
                asked.ended.is_none() && wanted(&asked.effect) && !matches!(self.script_of(&asked.effect), Some(Script::Silent))
            });
            let Some(effect) = open.map(|asked| asked.effect.clone()) else { return };
            let outcome = self.answer(&effect);
            self.settle(effect.step, &effect.intent, outcome);
        }
    }

    pub fn answer(&self, effect: &Effect) -> Outcome {
        match self.script_of(effect) {
            Some(Script::Done(evidence)) => Outcome::done(evidence.clone()),
            Some(Script::Refused(code)) => Outcome::refused(*code, "scripted"),
            Some(Script::Silent) | None => Outcome::done(plausible(effect)),
        }
    }

    fn script_of(&self, effect: &Effect) -> Option<&Script> {
        let named = |wanted: &str| self.scripts.iter().find(|(name, _)| name == wanted).map(|(_, script)| script);
        named(&name_of(effect)).or_else(|| named(effect.step))
    }

    /// `step` or `step:intent` of every effect asked for, in order.
    pub fn names(&self) -> Vec<String> {
        self.asked.iter().map(|asked| name_of(&asked.effect)).collect()
    }

    /// Names of effects that have not ended.
    pub fn open(&self) -> Vec<String> {
        self.asked.iter().filter(|asked| asked.ended.is_none()).map(|asked| name_of(&asked.effect)).collect()
    }

    /// How an effect ended, by its name.
    pub fn find(&self, name: &str) -> Option<&Asked> {
        self.asked.iter().find(|asked| name_of(&asked.effect) == name)
    }

    pub fn args(&self, name: &str) -> &Value {
        &self.find(name).unwrap_or_else(|| panic!("{name} was never asked for; there are {:?}", self.names())).effect.args
    }

    pub fn is_done(&self, name: &str) -> bool {
        self.find(name)
            .and_then(|asked| asked.ended.as_ref())
            .is_some_and(|outcome| outcome.class == crossdock_canonical::OutcomeClass::Done)
    }

    pub fn stage(&self) -> String {
        self.plan().summary.stage
    }

    /// Classes of the exceptions that stand.
    pub fn exceptions(&self) -> Vec<String> {
        self.plan().exceptions.into_iter().map(|exception| exception.class).collect()
    }

    /// Business names of everything that happened.
    pub fn trail(&self) -> Vec<&'static str> {
        self.events.iter().map(F::event_name).collect()
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }
}

/// Folds a recorded [`World::history`] and checks that the flow still asks for the same effects at the same points.
pub fn replay<F: Flow>(policy: &Policy, history: &str) -> F::State {
    #[derive(serde::Deserialize)]
    struct Line<E> {
        at: Timestamp,
        events: Vec<E>,
        asks: Vec<String>,
    }
    let mut state = F::State::default();
    let mut known = BTreeSet::new();
    for (number, line) in history.lines().enumerate() {
        let line: Line<F::Event> = serde_json::from_str(line).unwrap_or_else(|error| panic!("line {}: {error}", number + 1));
        state = line.events.iter().fold(state, |state, event| F::apply(state, event, line.at));
        let names = F::decide(&state, policy, F::LOGIC, line.at).effects.iter().map(name_of).collect::<Vec<_>>();
        let new: Vec<String> = names.into_iter().filter(|name| known.insert(name.clone())).collect();
        assert_eq!(new, line.asks, "line {}: the flow asks for something else than it did", number + 1);
    }
    state
}

pub fn name_of(effect: &Effect) -> String {
    if effect.intent.is_empty() { effect.step.to_owned() } else { format!("{}:{}", effect.step, effect.intent) }
}

/// Evidence of *done* that a system would give.
fn plausible(effect: &Effect) -> Value {
    let args = &effect.args;
    match effect.operation {
        Operation::Screen => value!({"decision": "approve"}),
        Operation::PaymentVerify | Operation::PaymentAuthorize => {
            let payment = args.get("payment").as_str().unwrap_or_default();
            value!({"amount": args.get("amount"), "transaction": format!("auth-{payment}")})
        }
        Operation::PaymentCapture | Operation::PaymentRefund => {
            value!({"amount": args.get("amount"), "transaction": format!("{}-{}", effect.step, effect.intent)})
        }
        Operation::HubCommand => match args.get("command").as_str() {
            Some("capture") => {
                value!({"captured": [{"payment": "p1", "amount": args.at("body.amount"), "transaction": format!("cap-{}", effect.intent)}]})
            }
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}

/// An order and its payment process, with the hub's commands between them.
#[derive(Clone, Debug)]
pub struct Shop {
    pub order: World<OrderFlow>,
    pub payment: World<PaymentFlow>,
    routed: BTreeSet<String>,
    replied: BTreeSet<String>,
}

impl Shop {
    pub fn new(policy: Policy) -> Self {
        let (order, payment) = (World::new(policy.clone()), World::new(policy));
        Self { order, payment, routed: BTreeSet::new(), replied: BTreeSet::new() }
    }

    pub fn place(&mut self, order: &Order) {
        self.order.message("order.placed", crate::kit::json(order));
    }

    /// Answers everything until only silence is left on both sides.
    pub fn run(&mut self) {
        loop {
            let before = (self.order.events.len(), self.payment.events.len(), self.routed.len(), self.replied.len());
            self.order.run_where(|effect| matches!(effect.target, Target::System(_)));
            let commands: Vec<Effect> =
                self.order.asked.iter().filter(|asked| asked.ended.is_none()).map(|asked| asked.effect.clone()).collect();
            for effect in commands.into_iter().filter(|effect| matches!(effect.target, Target::Process { .. })) {
                let key = name_of(&effect);
                if self.routed.insert(key.clone()) {
                    let command = effect.args.get("command").as_str().unwrap_or_default().to_owned();
                    self.payment.command(&command, effect.args.get("body").clone(), &key);
                }
            }
            self.payment.run();
            for reply in self.payment.plan().replies {
                if self.replied.insert(reply.to.clone()) && self.order.find(&reply.to).is_some() {
                    let (step, intent) = reply.to.split_once(':').unwrap_or((&reply.to, ""));
                    self.order.settle(step, intent, reply.outcome.clone());
                }
            }
            if before == (self.order.events.len(), self.payment.events.len(), self.routed.len(), self.replied.len()) {
                return;
            }
        }
    }

    /// Money that left a tender's holder for good: captures less refunds, by payment, from the effects that ended *done*.
    pub fn taken(&self) -> BTreeMap<String, Decimal> {
        let mut taken = BTreeMap::new();
        for asked in self
            .payment
            .asked
            .iter()
            .filter(|asked| asked.ended.as_ref().is_some_and(|o| o.class == crossdock_canonical::OutcomeClass::Done))
        {
            let sign = match asked.effect.operation {
                Operation::PaymentCapture => Decimal::ONE,
                Operation::PaymentRefund => -Decimal::ONE,
                _ => continue,
            };
            let payment = asked.effect.args.get("payment").as_str().unwrap_or_default().to_owned();
            let amount: Money = crossdock_value::from_value(asked.effect.args.get("amount")).expect("an amount");
            *taken.entry(payment).or_default() += sign * amount.amount;
        }
        taken
    }

    pub fn ship(&mut self, shipment: &str, parcel: &str, lines: &[(&str, i64)]) {
        self.order.message("shipment.notice", notice("shipped", shipment, parcel, lines, 1));
        self.run();
    }
}

/// A canonical shipment notice; `parcel` empty for none.
pub fn notice(stage: &str, shipment: &str, parcel: &str, lines: &[(&str, i64)], sequence: u64) -> Value {
    let lines: Value = lines
        .iter()
        .map(|(line, pieces)| value!({"line": *line, "quantity": {"value": pieces.to_string(), "unit": "EA"}}))
        .collect();
    let mut notice = value!({
        "shipment": shipment,
        "stage": stage,
        "lines": lines,
        "at": "2026-11-24T12:00:00Z",
        "sequence": sequence
    });
    if !parcel.is_empty() {
        notice.insert("parcel", parcel);
        notice.insert("tracking", format!("track-{parcel}"));
    }
    notice
}

/// A market where every step runs: cards are verified and captured several times, gift cards are authorized by the hub.
pub fn policy() -> Policy {
    let deadline = Duration::minutes(5);
    let card = TenderPolicy {
        system: Some("psp".into()),
        authorized_by: AuthorizedBy::Storefront,
        multi_capture: true,
        reauthorize: false,
        auth_valid_for: Duration::days(7),
        sale_only: false,
        deadline,
    };
    let gift_card = TenderPolicy { system: Some("giftcards".into()), authorized_by: AuthorizedBy::Hub, ..card.clone() };
    let single = TenderPolicy { multi_capture: false, ..card.clone() };
    let sale = TenderPolicy { sale_only: true, authorized_by: AuthorizedBy::Hub, ..card.clone() };
    let invoice = TenderPolicy { system: None, ..card.clone() };
    let methods =
        [("CREDIT_CARD", card), ("GIFT_CERTIFICATE", gift_card), ("SINGLE", single), ("SALE", sale), ("INVOICE", invoice)];
    Policy {
        market: "test".into(),
        time_zone: "Europe/Berlin".into(),
        storefront: StorefrontPolicy { system: "sfcc".into(), deadline, hub_state: true },
        fraud: Some(FraudPolicy { system: "fraud".into(), deadline, review_within: Duration::hours(24) }),
        tax: Some(TaxPolicy { system: "tax".into(), deadline, basis: TaxBasis::Estimate, tolerance: Decimal::new(2, 2) }),
        payment: PaymentPolicy {
            methods: methods.into_iter().map(|(name, terms)| (name.to_owned(), terms)).collect(),
            capture: CaptureWhen::Shipment,
        },
        inventory: InventoryPolicy { authority: StockAuthority::Hub, system: Some("stock".into()), deadline },
        erp: Some(ErpPolicy { system: "erp".into(), deadline, tolerance: money("0.02 EUR"), posts: true }),
        fulfilment: Some(FulfilmentPolicy {
            system: "wms".into(),
            stores: BTreeMap::from([("store-7".to_owned(), "store-7-pos".into())]),
            deadline,
            ship_within: Duration::hours(24),
        }),
        notification: Some(NotificationPolicy { system: "mail".into(), deadline }),
        validation: ValidationPolicy {
            regions: BTreeMap::from([("US".to_owned(), vec!["CA".to_owned(), "NY".to_owned()])]),
            tolerance: Decimal::ZERO,
        },
        refusals: Refusals::default(),
    }
}

/// `12.50 EUR`.
pub fn money(text: &str) -> Money {
    let (amount, currency) = text.split_once(' ').expect("an amount and a currency");
    Money::new(amount.parse().expect("a decimal"), currency.parse().expect("a currency"))
}

/// An order in the making; [`OrderBuilder::build`] adds up its totals.
#[derive(Clone, Debug)]
pub struct OrderBuilder {
    order: Order,
}

pub fn order() -> OrderBuilder {
    order_in("EUR")
}

pub fn order_in(currency: &str) -> OrderBuilder {
    let currency: Currency = currency.parse().expect("a currency");
    let zero = Money::zero(currency);
    OrderBuilder {
        order: Order {
            channel: "sfcc".into(),
            site: "shop".into(),
            number: "0001".into(),
            placed_at: Timestamp::parse("2026-11-24T09:59:00Z").expect("an instant"),
            currency,
            taxation: Taxation::Gross,
            locale: None,
            channel_type: None,
            source_code: None,
            customer: Customer {
                id: None,
                number: None,
                guest: true,
                name: Some("A Person".into()),
                email: Some("person@example.com".into()),
            },
            bill_to: None,
            lines: Vec::new(),
            shipments: Vec::new(),
            shipping: Vec::new(),
            adjustments: Vec::new(),
            coupons: Vec::new(),
            payments: Vec::new(),
            totals: Totals { lines_net: zero, shipping_net: zero, tax: zero, grand: zero },
            notes: Vec::new(),
            custom: BTreeMap::new(),
            extra: BTreeMap::new(),
        },
    }
}

impl OrderBuilder {
    fn money(&self, amount: &str) -> Money {
        Money::new(amount.parse().expect("a decimal"), self.order.currency)
    }

    /// A planned shipment to a good address.
    pub fn shipment(self, id: &str) -> Self {
        let address = Address {
            line1: Some("1 Main Street".into()),
            city: Some("Berlin".into()),
            postal_code: Some("10115".into()),
            country: Some("DE".into()),
            ..Address::default()
        };
        self.shipment_to(id, address)
    }

    pub fn shipment_to(mut self, id: &str, address: Address) -> Self {
        self.order.shipments.push(planned(id, Delivery::Ship, None, Some(address)));
        self
    }

    pub fn pickup(mut self, id: &str, store: &str) -> Self {
        self.order.shipments.push(planned(id, Delivery::Pickup, Some(store.into()), None));
        self
    }

    /// A physical line of the shipment added last; `gross` is the line's total.
    pub fn line(self, id: &str, pieces: i64, gross: &str) -> Self {
        self.line_of(LineKind::Physical, id, pieces, gross)
    }

    pub fn line_of(mut self, kind: LineKind, id: &str, pieces: i64, gross: &str) -> Self {
        let gross = self.money(gross);
        self.order.lines.push(Line {
            id: id.into(),
            kind,
            sku: Some(format!("SKU-{id}").into()),
            name: None,
            quantity: Quantity::pieces(pieces),
            unit_price: gross,
            net: gross,
            tax: Money::zero(self.order.currency),
            gross,
            tax_rate: None,
            shipment: self.order.shipments.last().map(|shipment| shipment.id.clone()),
            inventory: None,
            adjustments: Vec::new(),
            components: Vec::new(),
            options: Vec::new(),
            custom: BTreeMap::new(),
        });
        self
    }

    /// A shipping charge of the shipment added last.
    pub fn charge(mut self, gross: &str) -> Self {
        let gross = self.money(gross);
        let id = format!("charge-{}", self.order.shipping.len() + 1);
        let shipment = self.order.shipments.last().map(|shipment| shipment.id.clone());
        let tax = Money::zero(self.order.currency);
        self.order.shipping.push(ShippingCharge {
            id,
            shipment,
            net: gross,
            tax,
            gross,
            tax_rate: None,
            adjustments: Vec::new(),
        });
        self
    }

    /// A discount (negative) on the order.
    pub fn adjust(mut self, amount: &str) -> Self {
        let amount = self.money(amount);
        let id = format!("adjustment-{}", self.order.adjustments.len() + 1);
        self.order.adjustments.push(PriceAdjustment {
            id,
            promotion: None,
            coupon: None,
            text: None,
            amount,
            custom: BTreeMap::new(),
        });
        self
    }

    /// A payment `p1`, `p2` ... of `amount`; the last one without an amount pays the rest.
    pub fn pay(mut self, method: &str, amount: &str) -> Self {
        let kind = match method {
            "GIFT_CERTIFICATE" => Tender::GiftCard,
            "INVOICE" => Tender::Invoice,
            _ => Tender::Card,
        };
        let id = format!("p{}", self.order.payments.len() + 1);
        let transaction = (kind == Tender::Card).then(|| format!("shop-{id}"));
        self.order.payments.push(Payment {
            id,
            method: method.into(),
            kind,
            amount: self.money(amount),
            transaction,
            token: Some("token".into()),
            processor: None,
            last_digits: None,
            custom: BTreeMap::new(),
        });
        self
    }

    /// The order with its totals; paid by one card unless payments were named.
    pub fn build(mut self) -> Order {
        let sum = |parts: &mut dyn Iterator<Item = Money>| parts.map(|part| part.amount).sum::<Decimal>();
        let lines = sum(&mut self.order.lines.iter().map(|line| line.gross));
        let shipping = sum(&mut self.order.shipping.iter().map(|charge| charge.gross));
        let adjustments = sum(&mut self.order.adjustments.iter().map(|adjustment| adjustment.amount));
        let money = |amount| Money::new(amount, self.order.currency);
        let grand = lines + shipping + adjustments;
        self.order.totals = Totals {
            lines_net: money(lines),
            shipping_net: money(shipping),
            tax: Money::zero(self.order.currency),
            grand: money(grand),
        };
        if self.order.payments.is_empty() && grand > Decimal::ZERO {
            self = self.pay("CREDIT_CARD", &grand.to_string());
        }
        self.order
    }
}

fn planned(id: &str, delivery: Delivery, store: Option<String>, ship_to: Option<Address>) -> PlannedShipment {
    PlannedShipment {
        id: id.into(),
        delivery,
        method: None,
        store,
        ship_to,
        gift: false,
        gift_message: None,
        custom: BTreeMap::new(),
    }
}
