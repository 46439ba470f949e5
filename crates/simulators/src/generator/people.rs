//! Invented people and where they live. Names and mail addresses cannot be anyone's.

use crate::catalog::Site;
use crate::json::{Json, object};
use crate::rng::Rng;

pub struct Shopper {
    pub number: u64,
    pub guest: bool,
    pub email: String,
}

impl Shopper {
    /// A shopper whose mail address tells the fraud service what to answer, if `tag` is not empty.
    pub fn new(rng: &mut Rng, guest: bool, tag: &str) -> Self {
        let number = rng.between(1000..=9999);
        let email =
            if tag.is_empty() { format!("shopper.{number}@example.com") } else { format!("shopper.{number}+{tag}@example.com") };
        Shopper { number, guest, email }
    }

    pub fn name(&self) -> String {
        format!("Shopper {}", self.number)
    }

    pub fn json(&self, rng: &mut Rng) -> Json {
        let mut json = object! {
            "customerId": rng.token(26), "customerName": self.name(), "email": &self.email, "guest": self.guest,
        };
        if !self.guest {
            json.set("customerNo", format!("C{:07}", self.number));
        }
        json
    }

    /// An address in one of the site's cities: index from [`city`].
    pub fn address(&self, rng: &mut Rng, site: &Site, city: usize) -> Json {
        let (city, postal_code, state, _) = site.cities[city];
        let mut json = object! {
            "address1": format!("Sample Street {}", rng.between(1..=199)), "city": city, "countryCode": site.country,
            "firstName": "Shopper", "fullName": self.name(), "lastName": self.number.to_string(), "phone": site.phone,
        };
        if !postal_code.is_empty() {
            json.set("postalCode", postal_code);
        }
        if !state.is_empty() {
            json.set("stateCode", state);
        }
        json
    }
}

/// Picks a city of the site.
pub fn city(rng: &mut Rng, site: &Site) -> usize {
    rng.between(0..=site.cities.len() as u64 - 1) as usize
}
