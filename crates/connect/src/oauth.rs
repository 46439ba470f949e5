//! OAuth 2 client credentials: the request and its answer. When to ask again is the shell's business.

use crate::Token;
use crate::classify::{self, Credentials, Nature};
use crate::http::{Method, Request, Response, form};
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crossdock_canonical::{Outcome, OutcomeClass};
use std::sync::Arc;

/// Taken off the lifetime, so that a token does not run out under way.
const MARGIN_MS: i64 = 30_000;
/// Assumed when the server does not say.
const LIFETIME_S: i64 = 600;

#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// Absolute address of the token endpoint, or a target below the system's address.
    pub url: String,
    pub client_id: String,
    pub client_secret: Secret,
    /// Space-separated.
    pub scope: Option<String>,
}

impl ClientCredentials {
    pub fn request(&self) -> Request {
        let mut pairs = vec![("grant_type", "client_credentials")];
        if let Some(scope) = &self.scope {
            pairs.push(("scope", scope));
        }
        let mut request = Request::new(Method::Post, &self.url).form(form(pairs)).header("accept", "application/json");
        request.headers.push(("authorization".into(), basic(&self.client_id, &self.client_secret)));
        // It authorizes itself; the system's own credentials do not belong here.
        request.authorize = false;
        request
    }

    /// Reads the token. A refusal of the credentials stops the system; anything else passes.
    pub fn token(&self, response: &Response) -> Result<Token, Outcome> {
        let body = classify::body(response);
        if !response.is_success() {
            let mut outcome = classify::answered(response, Nature::Read, Credentials::Fixed);
            if outcome.class == OutcomeClass::Refused {
                outcome.class = OutcomeClass::Misconfigured;
            }
            if let Some(error) = body.get("error").as_str() {
                outcome.code = format!(
                    "token_{}",
                    error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect::<String>()
                );
            }
            outcome.text =
                body.get("error_description").as_str().unwrap_or("the token server refused").chars().take(300).collect();
            return Err(outcome);
        }
        let Some(value) = body.get("access_token").as_str().filter(|text| !text.is_empty()) else {
            return Err(Outcome::misconfigured("no_access_token", "the token server's answer has no access_token"));
        };
        let seconds = body.get("expires_in").as_i64().unwrap_or(LIFETIME_S).clamp(1, 7 * 86_400);
        Ok(Token { value: Arc::from(value), lives_ms: (seconds * 1_000 - MARGIN_MS).max(1_000) })
    }
}

/// The value of an `authorization: Basic` header.
pub fn basic(user: &str, password: &Secret) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{}", password.expose())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> ClientCredentials {
        ClientCredentials {
            url: "https://account.example/token".into(),
            client_id: "id".into(),
            client_secret: Secret::new("secret"),
            scope: Some("SALESFORCE_COMMERCE_API:zzte_053 sfcc.orders.rw".into()),
        }
    }

    #[test]
    fn the_request_is_a_form_with_basic_credentials() {
        let request = client().request();
        assert_eq!(request.find_header("authorization"), Some("Basic aWQ6c2VjcmV0"));
        let body = String::from_utf8_lossy(&request.body).into_owned();
        assert_eq!(body, "grant_type=client_credentials&scope=SALESFORCE_COMMERCE_API%3Azzte_053%20sfcc.orders.rw");
        assert!(!request.authorize);
    }

    #[test]
    fn answers_give_a_token_or_the_class_of_their_trouble() {
        let token = client().token(&Response::new(200, *br#"{"access_token":"abc","expires_in":1799}"#)).expect("a token");
        assert_eq!((&*token.value, token.lives_ms), ("abc", 1_769_000));
        let cases: [(u16, &str, OutcomeClass, &str); 5] = [
            (401, r#"{"error":"invalid_client"}"#, OutcomeClass::Misconfigured, "token_invalid_client"),
            (400, r#"{"error":"invalid_scope"}"#, OutcomeClass::Misconfigured, "token_invalid_scope"),
            (503, "busy", OutcomeClass::Retry, "http_503"),
            (500, "", OutcomeClass::Retry, "http_500"),
            (200, "{}", OutcomeClass::Misconfigured, "no_access_token"),
        ];
        for (status, body, class, code) in cases {
            let outcome = client().token(&Response::new(status, body.as_bytes())).expect_err("no token");
            assert_eq!((outcome.class, outcome.code.as_str()), (class, code), "{status} {body}");
        }
    }
}
