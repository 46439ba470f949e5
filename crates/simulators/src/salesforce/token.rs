//! Account Manager's token endpoint, and the trusted-system one that order injection needs.
//!
//! A token names a tenant and scopes, ends after its lifetime, and can be revoked while it is still in date.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Config;
use super::problem::Problem;
use crate::http::{Call, Response, form};
use crate::json::object;
use crate::simulator::Context;

const TENANT_SCOPE: &str = "SALESFORCE_COMMERCE_API:";
const KNOWN_SCOPES: [&str; 2] = ["sfcc.orders", "sfcc.orders.rw"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Admin,
    TrustedSystem,
}

struct Token {
    kind: Kind,
    expires_at: i64,
    tenant: String,
    scopes: Vec<String>,
}

#[derive(Default)]
pub struct Tokens {
    live: HashMap<String, Token>,
}

impl Tokens {
    /// `POST /dwsso/oauth2/access_token`.
    pub fn account_manager(&mut self, call: &Call, config: &Config, context: &mut Context) -> Response {
        let body = String::from_utf8_lossy(&call.request.body);
        let form = form(&body);
        let field = |name: &str| form.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v.as_str());
        if !client_is_known(call, config) {
            return refused(401, "invalid_client", "Client authentication failed");
        }
        if field("grant_type") != "client_credentials" {
            return refused(400, "unsupported_grant_type", "Only client_credentials is supported here");
        }
        let asked: Vec<&str> = field("scope").split_whitespace().collect();
        let own = format!("{TENANT_SCOPE}{}", config.tenant);
        if let Some(bad) = asked.iter().find(|s| **s != own && !KNOWN_SCOPES.contains(s)) {
            return refused(400, "invalid_scope", &format!("Unknown/invalid scope(s): [{bad}]"));
        }
        let tenant = if asked.contains(&own.as_str()) { config.tenant.clone() } else { String::new() };
        self.issue(Kind::Admin, tenant, asked, config, context)
    }

    /// `POST /shopper/auth/v1/organizations/{organization}/oauth2/trusted-system/token`.
    pub fn trusted_system(&mut self, call: &Call, config: &Config, context: &mut Context) -> Response {
        if !client_is_known(call, config) {
            return refused(401, "invalid_client", "Client authentication failed");
        }
        self.issue(Kind::TrustedSystem, config.tenant.clone(), vec!["sfcc.orders.rw"], config, context)
    }

    fn issue(&mut self, kind: Kind, tenant: String, scopes: Vec<&str>, config: &Config, context: &mut Context) -> Response {
        self.live.retain(|_, token| token.expires_at > context.now);
        // Three dotted parts, so that it looks like the JWT it stands for; nothing inside is meant to be read.
        let name = format!("sim.{}.{}", context.rng.token(24), context.rng.token(24));
        let lifetime_ms = config.token_lifetime_s.saturating_mul(1000);
        let scope = scopes.join(" ");
        let scopes = scopes.into_iter().map(str::to_owned).collect();
        let expires_at = context.now.saturating_add_unsigned(lifetime_ms);
        self.live.insert(name.clone(), Token { kind, expires_at, tenant, scopes });
        let body = object! {
            "access_token": name, "scope": scope, "token_type": "Bearer", "expires_in": config.token_lifetime_s,
        };
        Response::json(200, &body)
    }

    /// Refuses a call whose token does not open this resource.
    pub fn check(&self, call: &Call, kind: Kind, writes: bool, asked: &str, own: &str, now: i64) -> Result<(), Problem> {
        let token = bearer(call).and_then(|name| self.live.get(name)).filter(|t| t.expires_at > now);
        let token = token.ok_or_else(Problem::unauthorized)?;
        if asked != own || format!("f_ecom_{}", token.tenant) != own {
            return Err(Problem::forbidden("The token's tenant does not open this organization."));
        }
        let enough = token.scopes.iter().any(|s| s == "sfcc.orders.rw" || (!writes && s == "sfcc.orders"));
        if !enough || token.kind != kind {
            return Err(Problem::forbidden("The token's type or scopes do not open this resource."));
        }
        Ok(())
    }

    /// Revokes the token a call carries.
    pub fn revoke(&mut self, call: &Call) {
        if let Some(name) = bearer(call) {
            self.live.remove(name);
        }
    }
}

fn bearer<'a>(call: &Call<'a>) -> Option<&'a str> {
    call.header("authorization").and_then(|h| h.strip_prefix("Bearer "))
}

fn client_is_known(call: &Call, config: &Config) -> bool {
    let sent = call.header("authorization").and_then(|h| h.strip_prefix("Basic "));
    let sent = sent.and_then(|text| STANDARD.decode(text).ok());
    sent.as_deref() == Some(format!("{}:{}", config.client_id, config.client_secret).as_bytes())
}

fn refused(status: u16, error: &str, description: &str) -> Response {
    Response::json(status, &object! { "error": error, "error_description": description })
}
