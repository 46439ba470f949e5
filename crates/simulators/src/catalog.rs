//! The synthetic retailer all simulators share: its sites, places and products.
//!
//! Only the simulators know this file. The hub learns of a SKU or a location from messages alone.

use rust_decimal::Decimal;

/// How a site shows prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taxation {
    Gross,
    Net,
}

/// A storefront.
#[derive(Debug)]
pub struct Site {
    pub id: &'static str,
    pub currency: &'static str,
    pub locale: &'static str,
    pub country: &'static str,
    pub taxation: Taxation,
    /// The distribution center that serves it.
    pub warehouse: &'static str,
    /// Its pickup store.
    pub store: &'static str,
    /// Factor from the catalog's base price.
    pub rate: (i64, u32),
    /// Prices end on a multiple of so many minor units.
    pub step_minor: i64,
    pub phone: &'static str,
    /// City, postal code, state, and the tax rate for standard goods there.
    pub cities: &'static [(&'static str, &'static str, &'static str, &'static str)],
    /// The tax rate for reduced goods, if there is one.
    pub reduced: Option<&'static str>,
}

pub const SITES: &[Site] = &[
    Site {
        id: "RefArch-DE",
        currency: "EUR",
        locale: "de_DE",
        country: "DE",
        taxation: Taxation::Gross,
        warehouse: "DC-EU",
        store: "ST-BER",
        rate: (100, 2),
        step_minor: 5,
        phone: "+49 30 5550100",
        cities: &[("Berlin", "10115", "BE", "0.19"), ("München", "80331", "BY", "0.19"), ("Köln", "50667", "NW", "0.19")],
        reduced: Some("0.07"),
    },
    Site {
        id: "RefArch-US",
        currency: "USD",
        locale: "en_US",
        country: "US",
        taxation: Taxation::Net,
        warehouse: "DC-US",
        store: "ST-NYC",
        rate: (109, 2),
        step_minor: 1,
        phone: "+1 212 5550100",
        cities: &[
            ("New York", "10001", "NY", "0.08875"),
            ("Los Angeles", "90012", "CA", "0.095"),
            ("Austin", "78701", "TX", "0.0825"),
            ("Portland", "97204", "OR", "0"),
        ],
        reduced: None,
    },
    Site {
        id: "RefArch-GB",
        currency: "GBP",
        locale: "en_GB",
        country: "GB",
        taxation: Taxation::Gross,
        warehouse: "DC-GB",
        store: "ST-LON",
        rate: (86, 2),
        step_minor: 5,
        phone: "+44 20 55550100",
        cities: &[("London", "SW1A 1AA", "", "0.2"), ("Leeds", "LS1 1UR", "", "0.2")],
        reduced: Some("0"),
    },
    Site {
        id: "RefArch-JP",
        currency: "JPY",
        locale: "ja_JP",
        country: "JP",
        taxation: Taxation::Gross,
        warehouse: "DC-JP",
        store: "ST-TYO",
        rate: (163, 0),
        step_minor: 10,
        phone: "+81 3 55550100",
        cities: &[("東京都千代田区", "100-0001", "13", "0.1"), ("大阪市", "530-0001", "27", "0.1")],
        reduced: Some("0.08"),
    },
    Site {
        id: "RefArch-KW",
        currency: "KWD",
        locale: "ar_KW",
        country: "KW",
        taxation: Taxation::Net,
        warehouse: "DC-KW",
        store: "ST-KWI",
        rate: (334, 3),
        step_minor: 5,
        phone: "+965 55550100",
        cities: &[("Kuwait City", "", "", "0"), ("Salmiya", "", "", "0")],
        reduced: None,
    },
];

/// The site of that id.
pub fn site(id: &str) -> Option<&'static Site> {
    SITES.iter().find(|s| s.id == id)
}

/// Every place that holds stock.
pub fn locations() -> impl Iterator<Item = &'static str> {
    SITES.iter().flat_map(|s| [s.warehouse, s.store])
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Goods,
    Bundle,
    Digital,
    /// Sold only as an option of another product.
    Option,
    /// Given, not sold.
    Bonus,
    /// Listed, but no place has any.
    SoldOut,
}

#[derive(Debug)]
pub struct Product {
    pub sku: &'static str,
    pub name: &'static str,
    pub brand: &'static str,
    /// In cents of the base currency.
    pub price: i64,
    pub kind: Kind,
    pub reduced: bool,
    pub parts: &'static [(&'static str, u32)],
}

const fn goods(sku: &'static str, name: &'static str, brand: &'static str, price: i64) -> Product {
    Product { sku, name, brand, price, kind: Kind::Goods, reduced: false, parts: &[] }
}

const fn other(sku: &'static str, name: &'static str, price: i64, kind: Kind) -> Product {
    Product { sku, name, brand: "House", price, kind, reduced: false, parts: &[] }
}

const fn bundle(sku: &'static str, name: &'static str, price: i64, parts: &'static [(&'static str, u32)]) -> Product {
    Product { sku, name, brand: "House", price, kind: Kind::Bundle, reduced: false, parts }
}

const fn reduced(sku: &'static str, name: &'static str, price: i64) -> Product {
    Product { sku, name, brand: "House", price, kind: Kind::Goods, reduced: true, parts: &[] }
}

pub const PRODUCTS: &[Product] = &[
    goods("100101-S", "Merino Crew Sweater, small", "Norrland", 8990),
    goods("100101-M", "Merino Crew Sweater, medium", "Norrland", 8990),
    goods("100101-L", "Merino Crew Sweater, large", "Norrland", 8990),
    goods("100102-32", "Selvedge Denim, 32", "Norrland", 12990),
    goods("100102-34", "Selvedge Denim, 34", "Norrland", 12990),
    goods("100103-M", "Oxford Shirt, medium", "Harbour", 5995),
    goods("100103-L", "Oxford Shirt, large", "Harbour", 5995),
    goods("100104-OS", "Wool Beanie", "Harbour", 2495),
    goods("100105-42", "Trail Runner, 42", "Fell", 13995),
    goods("100105-43", "Trail Runner, 43", "Fell", 13995),
    goods("100106-OS", "Canvas Tote", "Harbour", 1999),
    goods("100107-OS", "Leather Belt", "Harbour", 4550),
    goods("100108-S", "Rain Shell, small", "Fell", 18900),
    goods("100108-M", "Rain Shell, medium", "Fell", 18900),
    goods("100109-OS", "Hiking Sock, three pairs", "Fell", 1895),
    goods("100110-OS", "Insulated Bottle 0.7 l", "Fell", 3333),
    goods("100111-OS", "Desk Lamp", "Hus", 7450),
    goods("100112-OS", "Linen Duvet Cover", "Hus", 11900),
    goods("100113-OS", "Stoneware Mug", "Hus", 1250),
    goods("100114-OS", "Cast Iron Pan", "Hus", 6999),
    goods("100115-OS", "Wireless Earbuds", "Tone", 9999),
    goods("100116-OS", "Travel Adapter", "Tone", 2907),
    reduced("100201-OS", "Coffee Beans 1 kg", 1890),
    reduced("100202-OS", "Field Guide, hardback", 3400),
    bundle("100301", "Coffee Set", 4290, &[("100201-OS", 1), ("100113-OS", 2)]),
    bundle("100302", "Trail Kit", 16990, &[("100105-42", 1), ("100109-OS", 1), ("100110-OS", 1)]),
    other("100401", "Trail Maps, download", 1499, Kind::Digital),
    other("100402", "Meditation Course, download", 4900, Kind::Digital),
    other("100501", "Extended Warranty", 1290, Kind::Option),
    other("100502", "Gift Wrapping", 395, Kind::Option),
    other("100601", "Sample Pack", 500, Kind::Bonus),
    other("100901-M", "Limited Anorak, medium", 24900, Kind::SoldOut),
    other("100902-OS", "Limited Vase", 8900, Kind::SoldOut),
];

/// The generic items an ERP keeps for what has no SKU.
pub const GENERIC_ITEMS: &[&str] = &["GIFT-CARD", "DIGITAL", "SHIPPING", "ADJUSTMENT"];

/// The product of that SKU.
pub fn product(sku: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|p| p.sku == sku)
}

/// The shelf price of a base price at a site, with the currency's decimals.
pub fn price(base: i64, site: &Site) -> Decimal {
    let (factor, decimals) = site.rate;
    let minor = i128::from(base) * i128::from(factor) * 10i128.pow(crate::money::scale(site.currency));
    let minor = minor / 10i128.pow(decimals + 2);
    let step = i128::from(site.step_minor);
    let minor = ((minor + step / 2) / step * step).max(step);
    crate::money::from_minor(i64::try_from(minor).unwrap_or(i64::MAX), site.currency)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_carry_the_currency_scale_and_bundle_parts_exist() {
        let shown: Vec<_> = SITES.iter().map(|s| price(8990, s).to_string()).collect();
        assert_eq!(shown, ["89.90", "97.99", "77.30", "14650", "30.025"]);
        for (part, _) in PRODUCTS.iter().flat_map(|p| p.parts) {
            assert!(product(part).is_some(), "{part}");
        }
    }
}
