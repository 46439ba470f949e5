//! An order of the SCAPI Orders API in canonical terms. Pure and total: a record is read whole or refused with the path at fault.
//!
//! Amounts follow Salesforce's own sums: `priceAfterItemDiscount` and `adjustedTax` of each item, before the order's adjustments; in
//! the order's taxation (`gross` prices contain tax). What has no canonical place stays under its own name, in `custom` of the record
//! it stood in, or in `extra` of the order.

use super::Settings;
use crate::fields::{Fields, Read, grouped};
use crossdock_canonical::order::{
    Address, Attribute, Attributes, Component, Coupon, Customer, Delivery, Line, LineKind, LineOption, Note, Order,
    PlannedShipment, PriceAdjustment, ShippingCharge, Taxation, Totals,
};
use crossdock_canonical::payment::{Payment, Tender};
use crossdock_canonical::{Currency, Money, Quantity};
use crossdock_value::{Decimal, Value};

/// An amount with and without tax.
#[derive(Clone, Copy, Default)]
struct Amount {
    net: Decimal,
    tax: Decimal,
    gross: Decimal,
}

/// What all parts of an order share.
#[derive(Clone, Copy)]
struct Basis {
    currency: Currency,
    taxation: Taxation,
}

impl Basis {
    fn money(&self, amount: Decimal) -> Money {
        Money::new(amount, self.currency)
    }

    /// The other side of an amount that is given in the order's taxation.
    fn split(&self, amount: Decimal, tax: Decimal) -> Amount {
        match self.taxation {
            Taxation::Net => Amount { net: amount, tax, gross: amount + tax },
            Taxation::Gross => Amount { net: amount - tax, tax, gross: amount },
        }
    }

    fn of(&self, amount: Amount) -> Decimal {
        match self.taxation {
            Taxation::Net => amount.net,
            Taxation::Gross => amount.gross,
        }
    }

    /// `netPrice`, `grossPrice` and `tax` as a record states them before adjustments; the missing one is derived.
    fn stated(&self, fields: &Fields<'_>) -> Read<Option<Amount>> {
        let number = |key: &str| match fields.peek(key) {
            Value::Null => Ok(None),
            Value::Num(number) => Ok(Some(*number)),
            other => Err(fields.fault(key, format!("expected a number, found {}", other.kind()))),
        };
        let (net, gross, tax) = (number("netPrice")?, number("grossPrice")?, number("tax")?);
        Ok(match (net, gross, tax) {
            (Some(net), Some(gross), _) => Some(Amount { net, tax: gross - net, gross }),
            (Some(net), None, tax) => Some(Amount { net, tax: tax.unwrap_or_default(), gross: net + tax.unwrap_or_default() }),
            (None, Some(gross), tax) => {
                Some(Amount { net: gross - tax.unwrap_or_default(), tax: tax.unwrap_or_default(), gross })
            }
            (None, None, tax) => number("basePrice")?.map(|base| self.split(base, tax.unwrap_or_default())),
        })
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.net += other.net;
        self.tax += other.tax;
        self.gross += other.gross;
    }
}

/// Reads one order. `site` is the one it was polled from, for orders that do not name theirs.
pub(super) fn order(settings: &Settings, value: &Value) -> Read<Order> {
    let mut f = Fields::of(value, "")?;
    let number = f.text("orderNo")?.ok_or_else(|| f.missing("orderNo"))?;
    let site = match f.text("siteId")? {
        Some(site) => site,
        // With one site there is no doubt which it is.
        None if settings.sites.len() == 1 => settings.sites[0].clone(),
        None => return Err(f.missing("siteId")),
    };
    let currency: Currency =
        f.text("currency")?.ok_or_else(|| f.missing("currency"))?.parse().map_err(|e| f.fault("currency", format!("{e}")))?;
    let taxation = match f.text("taxation")?.as_deref() {
        Some("gross") => Taxation::Gross,
        Some("net") => Taxation::Net,
        _ => return Err(f.fault("taxation", "expected `gross` or `net`")),
    };
    let basis = Basis { currency, taxation };
    let placed_at = match f.instant("placeDate")? {
        Some(at) => at,
        None => f.instant("creationDate")?.ok_or_else(|| f.missing("placeDate"))?,
    };
    let mut extra = Attributes::new();

    let shipments = f.objects("shipments")?.into_iter().map(|s| shipment(settings, s)).collect::<Read<Vec<_>>>()?;
    let sub_total = f.decimal("productSubTotal")?;
    let items = f.objects("productItems")?;
    let options_apart = options_are_apart(&items, sub_total);
    let mut lines = Vec::with_capacity(items.len());
    for (n, item) in items.into_iter().enumerate() {
        lines.push(product_line(settings, &basis, &shipments, item, n, options_apart)?);
    }
    let merchandise_tax: Decimal = lines.iter().map(|line| line.tax.amount).sum();
    let mut certificates = Amount::default();
    for (n, item) in f.objects("giftCertificateItems")?.into_iter().enumerate() {
        let line = gift_certificate_line(&basis, item, n)?;
        certificates += Amount { net: line.net.amount, tax: line.tax.amount, gross: line.gross.amount };
        lines.push(line);
    }

    let mut shipping = Vec::new();
    let mut shipping_sum = Amount::default();
    for (n, item) in f.objects("shippingItems")?.into_iter().enumerate() {
        let (charge, rest) = shipping_charge(&basis, item, n)?;
        shipping_sum += Amount { net: charge.net.amount, tax: charge.tax.amount, gross: charge.gross.amount };
        if let Some(rest) = grouped(rest) {
            extra.insert(format!("shippingItems[{n}]"), rest);
        }
        shipping.push(charge);
    }

    let mut coupons = Vec::new();
    for (n, mut item) in f.objects("couponItems")?.into_iter().enumerate() {
        let code = item.text("code")?.unwrap_or_default();
        let applied = item.peek("statusCode").as_str() == Some("applied");
        if let Some(rest) = grouped(item.rest()) {
            extra.insert(format!("couponItems[{n}]"), rest);
        }
        coupons.push(Coupon { code, applied });
    }

    let grand = f.decimal("orderTotal")?.ok_or_else(|| f.missing("orderTotal"))?;
    let stated_lines = sub_total.map(|total| match taxation {
        Taxation::Net => total,
        Taxation::Gross => total - merchandise_tax,
    });
    let lines_net = stated_lines.unwrap_or_else(|| lines.iter().map(|line| line.net.amount).sum::<Decimal>() - certificates.net);
    let shipping_net = match f.decimal("shippingTotal")? {
        Some(total) => match taxation {
            Taxation::Net => total,
            Taxation::Gross => total - shipping_sum.tax,
        },
        None => shipping_sum.net,
    };
    let tax = match f.decimal("taxTotal")? {
        Some(tax) => tax,
        None => merchandise_tax + certificates.tax + shipping_sum.tax,
    };
    let totals = Totals {
        lines_net: basis.money(lines_net + certificates.net),
        shipping_net: basis.money(shipping_net),
        tax: basis.money(tax),
        grand: basis.money(grand),
    };

    let payments = f.objects("paymentInstruments")?.into_iter().enumerate();
    let payments = payments.map(|(n, item)| payment(settings, &basis, item, n, grand)).collect::<Read<Vec<_>>>()?;
    let adjustments = adjustments(&basis, &mut f, "orderPriceAdjustments")?.0;
    let customer = customer(f.object("customerInfo")?, &mut extra)?;
    let bill_to = f.object("billingAddress")?.map(address).transpose()?;
    let notes = notes(&f)?;
    let (locale, channel_type, source_code) = (f.text("customerLocale")?, f.text("channelType")?, f.text("sourceCode")?);

    let (custom, rest): (Attributes, Attributes) = f.rest().into_iter().partition(|(key, _)| key.starts_with("c_"));
    extra.extend(rest);
    Ok(Order {
        channel: settings.channel.as_str().into(),
        site: site.into(),
        number: number.into(),
        placed_at,
        currency,
        taxation,
        locale,
        channel_type,
        source_code,
        customer,
        bill_to,
        lines,
        shipments,
        shipping,
        adjustments,
        coupons,
        payments,
        totals,
        notes,
        custom,
        extra,
    })
}

/// Whether prices of options come on top of `priceAfterItemDiscount`. The specification leaves it open, so the order's own sum decides:
/// they are apart unless the items alone already make `productSubTotal`.
fn options_are_apart(items: &[Fields<'_>], sub_total: Option<Decimal>) -> bool {
    let alone: Decimal = items.iter().filter_map(|item| item.peek("priceAfterItemDiscount").as_decimal()).sum();
    sub_total != Some(alone)
}

fn product_line(
    settings: &Settings,
    basis: &Basis,
    shipments: &[PlannedShipment],
    mut f: Fields<'_>,
    n: usize,
    options_apart: bool,
) -> Read<Line> {
    let id = match f.text("itemId")? {
        Some(id) => id,
        None => f.decimal("position")?.map_or_else(|| format!("line-{}", n + 1), |position| position.normalize().to_string()),
    };
    let sku = f.text("productId")?.ok_or_else(|| f.missing("productId"))?;
    let name = match f.text("productName")? {
        Some(name) => Some(name),
        None => f.text("itemText")?,
    };
    let count = f.decimal("quantity")?.unwrap_or(Decimal::ONE);
    let (adjustments, adjusted) = adjustments(basis, &mut f, "priceAdjustments")?;
    let stated = basis.stated(&f)?;
    let tax = line_tax(&mut f, adjusted.tax)?;
    let mut amount = match f.decimal("priceAfterItemDiscount")? {
        Some(price) => basis.split(price, tax),
        None => {
            let before = stated.ok_or_else(|| f.missing("priceAfterItemDiscount"))?;
            basis.split(basis.of(before) + basis.of(adjusted), tax)
        }
    };
    let unit_price = match f.decimal("basePrice")? {
        Some(price) => price,
        None if count.is_zero() => Decimal::ZERO,
        None => basis.of(stated.unwrap_or(amount)) / count,
    };

    let mut options = Vec::new();
    for mut option in f.objects("optionItems")? {
        let mut price = basis.stated(&option)?.unwrap_or_default();
        price += self::adjustments(basis, &mut option, "priceAdjustments")?.1;
        if options_apart {
            amount += price;
        }
        let id = option.text("optionId")?.or(option.text("productId")?).unwrap_or_default();
        options.push(LineOption { id, value: option.text("optionValueId")?, price: Some(basis.money(basis.of(price))) });
    }
    let mut components = Vec::new();
    for mut part in f.objects("bundledProductItems")? {
        let sku = part.text("productId")?.ok_or_else(|| part.missing("productId"))?;
        // Salesforce counts the parts of all bundles of the line.
        let all = part.decimal("quantity")?.unwrap_or(count);
        let quantity = if count.is_zero() { all } else { all / count };
        if quantity * count != all {
            return Err(part.fault("quantity", format!("{all} parts do not make {count} bundles")));
        }
        components.push(Component { sku: sku.into(), quantity: Quantity::new(quantity, &settings.unit) });
    }

    let shipment = f.text("shipmentId")?;
    let is_digital =
        shipment.as_ref().is_some_and(|id| shipments.iter().any(|s| s.id.as_str() == id && s.delivery == Delivery::Digital))
            || f.peek(&settings.digital_attribute).as_bool() == Some(true);
    let kind = match (is_digital, f.flag("bonusProductLineItem")?.unwrap_or(false)) {
        (true, _) => LineKind::Digital,
        (false, true) => LineKind::Bonus,
        (false, false) => LineKind::Physical,
    };
    let (tax_rate, inventory) = (f.decimal("taxRate")?, f.text("inventoryId")?);
    let (raw_options, raw_parts) = (f.peek("optionItems").clone(), f.peek("bundledProductItems").clone());
    let bonus_of_digital = is_digital && f.peek("bonusProductLineItem").as_bool() == Some(true);
    let mut custom = f.rest();
    // Options, components and their own attributes have more fields than the canonical line keeps.
    for (key, raw) in [("optionItems", raw_options), ("bundledProductItems", raw_parts)] {
        if raw.as_arr().is_some_and(|items| !items.is_empty()) {
            custom.insert(key.into(), Attribute(raw));
        }
    }
    if bonus_of_digital {
        custom.insert("bonusProductLineItem".into(), Attribute(Value::Bool(true)));
    }
    Ok(Line {
        id: id.into(),
        kind,
        sku: Some(sku.into()),
        name,
        quantity: Quantity::new(count, &settings.unit),
        unit_price: basis.money(unit_price),
        net: basis.money(amount.net),
        tax: basis.money(amount.tax),
        gross: basis.money(amount.gross),
        tax_rate,
        shipment: shipment.map(Into::into),
        inventory,
        adjustments,
        components,
        options,
        custom,
    })
}

/// The tax of a line before the order's own adjustments, like its price.
///
/// `adjustedTax` is the tax after them where the platform spreads them over the lines, which `priceAfterOrderDiscount` tells. Then the
/// tax before all adjustments and that of the line's own ones make it up.
fn line_tax(f: &mut Fields<'_>, of_adjustments: Decimal) -> Read<Decimal> {
    let (after_item, after_order) =
        (f.peek("priceAfterItemDiscount").as_decimal(), f.peek("priceAfterOrderDiscount").as_decimal());
    let spread = after_item.is_some() && after_order.is_some() && after_item != after_order;
    if (!spread || f.peek("tax").is_null())
        && let Some(tax) = f.decimal("adjustedTax")?
    {
        return Ok(tax);
    }
    Ok(f.decimal("tax")?.unwrap_or_default() + of_adjustments)
}

fn gift_certificate_line(basis: &Basis, mut f: Fields<'_>, n: usize) -> Read<Line> {
    let amount = basis.stated(&f)?.ok_or_else(|| f.missing("grossPrice"))?;
    for key in ["netPrice", "grossPrice"] {
        f.take(key);
    }
    let id = f.text("giftCertificateItemId")?.unwrap_or_else(|| format!("gift-{}", n + 1));
    let name = f.text("itemText")?;
    let unit_price = f.decimal("basePrice")?.unwrap_or_else(|| basis.of(amount));
    let shipment = f.text("shipmentId")?;
    Ok(Line {
        id: id.into(),
        kind: LineKind::GiftCard,
        sku: None,
        name,
        quantity: Quantity::pieces(1),
        unit_price: basis.money(unit_price),
        net: basis.money(amount.net),
        tax: basis.money(amount.tax),
        gross: basis.money(amount.gross),
        tax_rate: None,
        shipment: shipment.map(Into::into),
        inventory: None,
        adjustments: Vec::new(),
        components: Vec::new(),
        options: Vec::new(),
        custom: f.rest(),
    })
}

fn shipping_charge(basis: &Basis, mut f: Fields<'_>, n: usize) -> Read<(ShippingCharge, Attributes)> {
    let id = f.text("itemId")?.unwrap_or_else(|| format!("shipping-{}", n + 1));
    let (adjustments, adjusted) = adjustments(basis, &mut f, "priceAdjustments")?;
    let stated = basis.stated(&f)?;
    let tax = match f.decimal("adjustedTax")? {
        Some(tax) => tax,
        None => f.decimal("tax")?.unwrap_or_default() + adjusted.tax,
    };
    let amount = match f.decimal("priceAfterItemDiscount")? {
        Some(price) => basis.split(price, tax),
        None => {
            let before = stated.ok_or_else(|| f.missing("priceAfterItemDiscount"))?;
            basis.split(basis.of(before) + basis.of(adjusted), tax)
        }
    };
    let charge = ShippingCharge {
        id,
        shipment: f.text("shipmentId")?.map(Into::into),
        net: basis.money(amount.net),
        tax: basis.money(amount.tax),
        gross: basis.money(amount.gross),
        tax_rate: f.decimal("taxRate")?,
        adjustments,
    };
    Ok((charge, f.rest()))
}

/// The adjustments under `key`, net of tax, and their sum.
fn adjustments(basis: &Basis, f: &mut Fields<'_>, key: &'static str) -> Read<(Vec<PriceAdjustment>, Amount)> {
    let mut sum = Amount::default();
    let mut adjustments = Vec::new();
    for (n, mut item) in f.objects(key)?.into_iter().enumerate() {
        let amount = basis.stated(&item)?.ok_or_else(|| item.missing("netPrice"))?;
        sum += amount;
        // The canonical amount is in the order's taxation; what it was derived from stays in `custom`.
        let amount = match basis.taxation {
            Taxation::Gross => amount.gross,
            Taxation::Net => {
                item.take("netPrice");
                amount.net
            }
        };
        let promotion = item.text("promotionId")?;
        let id = item.text("priceAdjustmentId")?.or_else(|| promotion.clone()).unwrap_or_else(|| format!("{}", n + 1));
        let (coupon, text) = (item.text("couponCode")?, item.text("itemText")?);
        let custom = item.rest();
        adjustments.push(PriceAdjustment { id, promotion, coupon, text, amount: basis.money(amount), custom });
    }
    Ok((adjustments, sum))
}

fn shipment(settings: &Settings, mut f: Fields<'_>) -> Read<PlannedShipment> {
    let id = f.text("shipmentId")?.ok_or_else(|| f.missing("shipmentId"))?;
    let method = match f.peek("shippingMethod") {
        // Orders injected by a marketplace carry the bare id.
        Value::Str(_) => f.text("shippingMethod")?,
        _ => match f.object("shippingMethod")? {
            Some(mut method) => {
                let id = method.text("id")?;
                if let Some((key, _)) = method.rest().into_iter().next() {
                    return Err(f.fault("shippingMethod", format!("has an unexpected field `{key}`")));
                }
                id
            }
            None => None,
        },
    };
    let store = f.peek(&settings.store_attribute).as_str().filter(|store| !store.is_empty()).map(str::to_owned);
    let named =
        |methods: &[String]| method.as_ref().is_some_and(|method| methods.iter().any(|known| known.eq_ignore_ascii_case(method)));
    let delivery = if store.is_some() || named(&settings.pickup_methods) {
        Delivery::Pickup
    } else if named(&settings.digital_methods) {
        Delivery::Digital
    } else {
        Delivery::Ship
    };
    Ok(PlannedShipment {
        id: id.into(),
        delivery,
        method,
        store,
        ship_to: f.object("shippingAddress")?.map(address).transpose()?,
        gift: f.flag("gift")?.unwrap_or(false),
        gift_message: f.text("giftMessage")?,
        custom: f.rest(),
    })
}

fn address(mut f: Fields<'_>) -> Read<Address> {
    let name = match f.text("fullName")? {
        Some(name) => Some(name),
        None => {
            let parts = [f.text("firstName")?, f.text("lastName")?];
            let name = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
            if name.is_empty() { None } else { Some(name) }
        }
    };
    Ok(Address {
        name,
        company: f.text("companyName")?,
        line1: f.text("address1")?,
        line2: f.text("address2")?,
        city: f.text("city")?,
        postal_code: f.text("postalCode")?,
        region: f.text("stateCode")?,
        country: f.text("countryCode")?.map(|code| code.to_ascii_uppercase()),
        phone: f.text("phone")?,
        custom: f.rest(),
    })
}

fn customer(fields: Option<Fields<'_>>, extra: &mut Attributes) -> Read<Customer> {
    let Some(mut f) = fields else {
        return Ok(Customer { id: None, number: None, guest: true, name: None, email: None });
    };
    let guest = match f.flag("guest")? {
        Some(guest) => guest,
        None => f.peek("customerNo").is_null(),
    };
    // A guest's number is one the platform made up for this order: no account stands behind it.
    let number = if guest { None } else { f.text("customerNo")? };
    let customer = Customer { id: f.text("customerId")?, number, guest, name: f.text("customerName")?, email: f.text("email")? };
    if let Some(rest) = grouped(f.rest()) {
        extra.insert("customerInfo".into(), rest);
    }
    Ok(customer)
}

fn payment(settings: &Settings, basis: &Basis, mut f: Fields<'_>, n: usize, grand: Decimal) -> Read<Payment> {
    let id = f.text("paymentInstrumentId")?.unwrap_or_else(|| format!("payment-{}", n + 1));
    let method = f.text("paymentMethodId")?.unwrap_or_default();
    let kind = tender(settings, &method, &f);
    let mut custom = Attributes::new();
    let (mut amount, mut transaction) = (None, None);
    if let Some(mut t) = f.object("paymentTransaction")? {
        amount = t.decimal("amount")?;
        transaction = t.text("transactionId")?;
        if let Some(rest) = grouped(t.rest()) {
            custom.insert("paymentTransaction".into(), rest);
        }
    }
    let (mut token, mut last_digits) = (None, None);
    if let Some(mut card) = f.object("paymentCard")? {
        token = card.text("creditCardToken")?;
        last_digits = card.text("numberLastDigits")?;
        if let Some(rest) = grouped(card.rest()) {
            custom.insert("paymentCard".into(), rest);
        }
    }
    let attribute = |name: &Option<String>| name.as_ref().and_then(|name| f.peek(name).as_str()).map(str::to_owned);
    let token = token.or_else(|| attribute(&settings.token_attribute)).or_else(|| {
        if kind == Tender::GiftCard { f.peek("maskedGiftCertificateCode").as_str().map(str::to_owned) } else { None }
    });
    let processor = attribute(&settings.processor_attribute);
    custom.extend(f.rest());
    Ok(Payment {
        id,
        method,
        kind,
        amount: basis.money(amount.unwrap_or(grand)),
        transaction,
        token,
        processor,
        last_digits,
        custom,
    })
}

/// What kind of tender a payment method is: as configured, else by what the instrument carries.
fn tender(settings: &Settings, method: &str, f: &Fields<'_>) -> Tender {
    if let Some((_, kind)) = settings.tenders.iter().find(|(name, _)| name.eq_ignore_ascii_case(method)) {
        return *kind;
    }
    if method == "GIFT_CERTIFICATE" || !f.peek("maskedGiftCertificateCode").is_null() {
        Tender::GiftCard
    } else if method == "CREDIT_CARD" || !f.peek("paymentCard").is_null() {
        Tender::Card
    } else {
        Tender::Wallet
    }
}

/// The Orders API carries no notes; OCAPI and cartridges put them in this place. They stay in `extra` as well, with all their fields.
fn notes(f: &Fields<'_>) -> Read<Vec<Note>> {
    let raw = f.peek("notes").as_arr().unwrap_or_default();
    let mut notes = Vec::new();
    for (n, raw) in raw.iter().enumerate() {
        let mut note = Fields::of(raw, f.path_of(&format!("notes[{n}]")))?;
        let subject = note.text("subject")?;
        let text = note.text("text")?.unwrap_or_default();
        let text = subject.map_or(text.clone(), |subject| format!("{subject}: {text}"));
        notes.push(Note { text, at: note.instant("creationDate")? });
    }
    Ok(notes)
}
