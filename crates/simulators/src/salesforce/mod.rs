//! A Salesforce B2C Commerce instance: Account Manager tokens and the SCAPI Orders API 1.5.2, as the vendor's OpenAPI file and
//! documentation describe them. Sources and limits: `README.md` in this folder.
//!
//! It holds orders; it has no catalog, basket or search, and sends no events.

mod create;
mod list;
mod orders;
mod problem;
mod token;
mod write;

#[cfg(test)]
mod tests;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::http::{Call, Response};
use crate::json::Json;
use crate::simulator::{Context, Injected, Operation, Service};
use orders::Orders;
use problem::Problem;
use token::{Kind, Tokens};

const BASE: [&str; 4] = ["checkout", "orders", "v1", "organizations"];
const TOKEN_PATH: [&str; 3] = ["dwsso", "oauth2", "access_token"];
/// The vendor's limits on requests and answers.
const HEAD_BYTES_MAX: usize = 24_000;
const REQUEST_BYTES_MAX: usize = 5_000_000;
const ANSWER_BYTES_MAX: usize = 10_000_000;

/// One instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The hub's name for this channel; it goes into ledgers.
    pub channel: String,
    pub tenant: String,
    pub sites: Vec<String>,
    pub client_id: String,
    pub client_secret: String,
    pub token_lifetime_s: u64,
    /// Whether undoing a failed or cancelled order finds its inventory gone.
    pub refuse_undo: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            channel: "sfcc".into(),
            tenant: "zzte_053".into(),
            sites: crate::catalog::SITES.iter().map(|s| s.id.to_owned()).collect(),
            client_id: "crossdock-client".into(),
            client_secret: "crossdockSecret1".into(),
            token_lifetime_s: 1799,
            refuse_undo: false,
        }
    }
}

impl Config {
    pub fn organization(&self) -> String {
        format!("f_ecom_{}", self.tenant)
    }
}

pub struct Storefront {
    config: Config,
    organization: String,
    tokens: Tokens,
    orders: Orders,
    correlations: u64,
}

impl Storefront {
    pub fn new(config: Config) -> Self {
        Storefront {
            organization: config.organization(),
            tokens: Tokens::default(),
            orders: Orders::new(config.channel.as_str()),
            correlations: 0,
            config,
        }
    }

    /// Takes an order the shopper has placed. Dates, `status` and `exportStatus` are set if absent.
    pub fn place_order(&mut self, order: Json, context: &mut Context) -> Result<(), String> {
        if !self.config.sites.iter().any(|s| s == order.text("siteId")) {
            return Err(format!("there is no site '{}'", order.text("siteId")));
        }
        self.orders.place(order, context)
    }

    /// The order as `GET` would answer it.
    pub fn order(&self, site: &str, number: &str) -> Option<&Json> {
        self.orders.find(site, number).map(|index| self.orders.json(index))
    }

    pub fn order_count(&self) -> usize {
        self.orders.len()
    }

    /// What placed and not yet exported orders hold of a SKU; `exported` finalizes it.
    pub fn on_order(&self, sku: &str) -> Decimal {
        self.orders.on_order(sku)
    }

    fn answer(&mut self, call: &Call, context: &mut Context) -> Result<Response, Problem> {
        let path = call.path();
        if path == TOKEN_PATH && call.method == "POST" {
            return Ok(self.tokens.account_manager(call, &self.config, context));
        }
        if let ["shopper", "auth", "v1", "organizations", organization, "oauth2", "trusted-system", "token"] = path[..] {
            return if organization == self.organization {
                Ok(self.tokens.trusted_system(call, &self.config, context))
            } else {
                Err(Problem::not_found("organization"))
            };
        }
        let rest = path.strip_prefix(&BASE).filter(|rest| rest.len() >= 2 && rest[1] == "orders");
        let Some([organization, _, rest @ ..]) = rest else { return Err(Problem::not_found("resource")) };
        let headers: usize = call.request.headers.iter().map(|(k, v)| k.len() + v.len()).sum();
        if call.request.path_and_query.len() + headers > HEAD_BYTES_MAX {
            return Err(Problem::bad_request("The URL and the headers exceed 24 kB."));
        }
        if call.request.body.len() > REQUEST_BYTES_MAX {
            return Err(Problem::new(413, "Payload Too Large", "payload-too-large", "The request exceeds 5 MB."));
        }
        let create = call.method == "POST" && rest.is_empty();
        let kind = if create { Kind::TrustedSystem } else { Kind::Admin };
        self.tokens.check(call, kind, call.method != "GET", organization, &self.organization, context.now)?;
        let site = self.site(call)?;
        match (call.method, rest) {
            ("GET", []) => self.list(call, site, context.now),
            ("POST", []) => self.create(call, site, context),
            ("GET", [number]) => {
                let index = self.found(site, number)?;
                Ok(Response::bytes(200, "application/json", self.orders.text(index).as_bytes()))
            }
            (_, [number, what @ ..]) => {
                let body = self.body(call)?;
                let index = self.found(site, number)?;
                let key = call.header("correlation-id").unwrap_or("");
                self.write(call.method, what, index, &body, key, context)
            }
            _ => Err(Problem::method_not_allowed()),
        }
    }

    fn site<'a>(&self, call: &'a Call) -> Result<&'a str, Problem> {
        let site = call.query("siteId").filter(|s| !s.is_empty() && s.len() <= 32);
        let site = site.ok_or_else(|| Problem::bad_request("The query parameter 'siteId' is required, 1 to 32 characters."))?;
        if self.config.sites.iter().any(|s| s == site) {
            Ok(site)
        } else {
            Err(Problem::new(404, "Site Not Found", "site-not-found", &format!("No site with ID '{site}' was found.")))
        }
    }

    fn body(&self, call: &Call) -> Result<Json, Problem> {
        match call.json() {
            Ok(body) if body.is_object() => Ok(body),
            Ok(_) => Err(Problem::bad_request("The body must be a JSON object.")),
            Err(why) => Err(Problem::bad_request(&format!("The body is not JSON: {why}."))),
        }
    }

    fn found(&self, site: &str, number: &str) -> Result<usize, Problem> {
        self.orders.find(site, number).ok_or_else(|| Problem::order_not_found(number))
    }

    /// Echoes the caller's correlation id, or makes one.
    fn correlated(&mut self, call: &Call, response: Response) -> Response {
        let id = match call.header("correlation-id") {
            Some(id) => id.to_owned(),
            None => {
                self.correlations += 1;
                format!("sim-{}", self.correlations)
            }
        };
        response.with("x-correlation-id", id)
    }
}

impl Service for Storefront {
    fn operation(&self, call: &Call) -> Operation {
        let path = call.path();
        if path == TOKEN_PATH {
            return Operation::read("token.create");
        }
        let Some([_, _, rest @ ..]) = path.strip_prefix(&BASE).filter(|rest| rest.len() >= 2) else {
            return Operation::read("unknown");
        };
        match (call.method, rest) {
            ("GET", []) => Operation::read("order.list"),
            ("GET", _) => Operation::read("order.get"),
            ("POST", []) => Operation::write("order.create"),
            (_, [_, what @ ..]) => Operation::write(write::operation(what).unwrap_or("order.patch")),
            _ => Operation::read("unknown"),
        }
    }

    fn apply(&mut self, call: &Call, context: &mut Context) -> Response {
        let mut response = self.answer(call, context).unwrap_or_else(Problem::response);
        if response.body.len() > ANSWER_BYTES_MAX {
            response =
                Problem::new(500, "Internal Server Error", "internal-server-error", "The response exceeds 10 MB.").response();
        }
        self.correlated(call, response)
    }

    fn injected(&mut self, call: &Call, fault: Injected, retry_after_s: u64, _now: i64) -> Response {
        let response = match fault {
            Injected::Internal => {
                Problem::new(500, "Internal Server Error", "internal-server-error", "An internal error occurred.").response()
            }
            Injected::AppliedThenFailed => {
                Problem::new(504, "Gateway Timeout", "gateway-timeout", "No answer within 60 seconds.").response()
            }
            Injected::Unavailable => Problem::new(503, "Service Unavailable", "service-unavailable", "Load is being shed.")
                .response()
                .with("sfdc_load", "97")
                .with("sfdc_load_status", "THROTTLE"),
            Injected::Throttled => Problem::new(429, "Too Many Requests", "too-many-requests", "Too many requests.")
                .response()
                .with("retry-after", retry_after_s.to_string())
                .with("sfdc_load", "91")
                .with("sfdc_load_status", "THROTTLE"),
            Injected::Unauthorized => {
                self.tokens.revoke(call);
                Problem::unauthorized().response()
            }
        };
        self.correlated(call, response)
    }
}
