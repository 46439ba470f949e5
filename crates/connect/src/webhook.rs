//! Verifying that an inbound request comes from who it says: the schemes in use, each over the raw bytes, each in constant time.
//!
//! It says who sent the bytes, not what they mean, and it never changes them. Schemes that sign parsed fields (Adyen's standard
//! webhooks) or need fetched keys (RSA with a key set) belong to their connectors; [`Mac`] is what they build on.

use crate::WebhookError;
use crate::config::{ConfigFault, Section, fault};
use crate::http::Request;
use crate::secret::{Secret, Secrets};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crossdock_canonical::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// How old, or how far ahead, a signed timestamp may be.
pub const TOLERANCE_MS: i64 = 300_000;

/// Signatures looked at in one header: two are usual while a secret is rolled.
const SIGNATURES_MAX: usize = 8;

/// A verification scheme with its secret.
#[derive(Clone, Debug)]
pub enum Verifier {
    /// `t=<unix>,v1=<hex>[,v1=...]` over `t.body`, HMAC-SHA256 (Stripe and many that copied it).
    Timestamped { header: String, secret: Secret, tolerance_ms: i64 },
    /// HMAC-SHA256 over the raw body, the signature in a header behind a fixed prefix.
    Body { header: String, prefix: String, encoding: Encoding, secret: Secret },
    /// The secret itself in a header: proves little, but some senders offer no more.
    Static { header: String, secret: Secret },
    /// HTTP Basic.
    Basic { user: String, password: Secret },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Hex,
    Base64,
}

/// An HMAC-SHA256 under one key.
pub struct Mac(Hmac<Sha256>);

impl Mac {
    pub fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    pub fn with(mut self, part: &[u8]) -> Self {
        self.0.update(part);
        self
    }

    /// Compares in constant time.
    pub fn verifies(self, signature: &[u8]) -> bool {
        self.0.verify_slice(signature).is_ok()
    }

    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }
}

/// Compares two texts in a time that depends on neither: what is compared is their digests.
pub fn same(left: &[u8], right: &[u8]) -> bool {
    let (left, right) = (Sha256::digest(left), Sha256::digest(right));
    left.iter().zip(right.iter()).fold(0, |difference, (l, r)| difference | (l ^ r)) == 0
}

impl Verifier {
    /// Whether `request` was sent by the holder of the secret.
    pub fn verify(&self, request: &Request, now: Timestamp) -> Result<(), WebhookError> {
        match self {
            Self::Timestamped { header, secret, tolerance_ms } => {
                let header = request.find_header(header).ok_or(WebhookError::BadSignature)?;
                timestamped(header, secret, *tolerance_ms, &request.body, now)
            }
            Self::Body { header, prefix, encoding, secret } => {
                let given = request.find_header(header).and_then(|value| value.trim().strip_prefix(prefix.as_str()));
                let signature = given.and_then(|text| encoding.decode(text)).ok_or(WebhookError::BadSignature)?;
                check(Mac::new(secret.expose().as_bytes()).with(&request.body).verifies(&signature))
            }
            Self::Static { header, secret } => {
                let given = request.find_header(header).ok_or(WebhookError::BadSignature)?;
                check(same(given.as_bytes(), secret.expose().as_bytes()))
            }
            Self::Basic { user, password } => {
                let given = request.find_header("authorization").and_then(|value| value.strip_prefix("Basic "));
                let given = given.and_then(|text| BASE64.decode(text.trim()).ok()).ok_or(WebhookError::BadSignature)?;
                check(same(&given, format!("{user}:{}", password.expose()).as_bytes()))
            }
        }
    }

    /// Reads `{kind, header, prefix, encoding, secret, user, tolerance}` out of a configuration.
    pub fn from_config(mut section: Section<'_>, url: &str, secrets: &Secrets, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        let kind = section.required("kind", faults);
        let verifier = match kind {
            "stripe" | "timestamped" => Self::Timestamped {
                header: section.text("header", faults).unwrap_or("stripe-signature").to_owned(),
                secret: section.secret("secret", url, secrets, faults),
                tolerance_ms: section.duration("tolerance", TOLERANCE_MS, faults),
            },
            "hmac" => Self::Body {
                header: section.required("header", faults).to_owned(),
                prefix: section.text("prefix", faults).unwrap_or("").to_owned(),
                encoding: match section.text("encoding", faults).unwrap_or("hex") {
                    "hex" => Encoding::Hex,
                    "base64" => Encoding::Base64,
                    other => {
                        faults.push(fault(section.path_of("encoding"), format!("`{other}` is not `hex` or `base64`")));
                        Encoding::Hex
                    }
                },
                secret: section.secret("secret", url, secrets, faults),
            },
            "static" => Self::Static {
                header: section.required("header", faults).to_owned(),
                secret: section.secret("secret", url, secrets, faults),
            },
            "basic" => Self::Basic {
                user: section.required("user", faults).to_owned(),
                password: section.secret("secret", url, secrets, faults),
            },
            other => {
                if !other.is_empty() {
                    faults.push(fault(section.path_of("kind"), format!("`{other}` is not one of stripe, hmac, static, basic")));
                }
                return None;
            }
        };
        section.finish(faults);
        Some(verifier)
    }
}

impl Encoding {
    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => BASE64.decode(text).ok(),
        }
    }
}

fn check(fits: bool) -> Result<(), WebhookError> {
    if fits { Ok(()) } else { Err(WebhookError::BadSignature) }
}

/// Checks the signature before the age: a stale answer to a forger would tell him nothing, but a clear log tells us more.
fn timestamped(header: &str, secret: &Secret, tolerance_ms: i64, body: &[u8], now: Timestamp) -> Result<(), WebhookError> {
    let mut at = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) => at = Some(text),
            Some(("v1", text)) if signatures.len() < SIGNATURES_MAX => signatures.push(text),
            _ => {}
        }
    }
    let at_text = at.ok_or(WebhookError::BadSignature)?;
    let at: i64 = at_text.parse().map_err(|_| WebhookError::BadSignature)?;
    // No early exit: the time taken does not tell which of several secrets fitted.
    let fits = signatures.iter().filter_map(|text| hex::decode(text).ok()).fold(false, |fits, signature| {
        let mac = Mac::new(secret.expose().as_bytes()).with(at_text.as_bytes()).with(b".").with(body);
        mac.verifies(&signature) | fits
    });
    check(fits)?;
    let age = now.0.saturating_sub(at.saturating_mul(1_000));
    if age.saturating_abs() > tolerance_ms { Err(WebhookError::Stale) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Method;

    const STRIPE_BODY: &str = "{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\",\n  \"data\": { \"object\": { \"id\": \"rdr_123\", \
                               \"object\": \"terminal.reader\" } }\n}";
    /// Computed with the algorithm of Stripe's published SDK over the inputs of its own test.
    const STRIPE_V1: &str = "3bfab77baf5f7b6991a46c9b53b6547d7afc56148b10468fcad9f35c1992ffbd";

    fn request(header: &str, value: &str, body: &str) -> Request {
        Request::new(Method::Post, "/inbound").header(header, value).json(body.as_bytes())
    }

    fn stripe() -> Verifier {
        Verifier::Timestamped {
            header: "stripe-signature".into(),
            secret: Secret::new("whsec_test_secret"),
            tolerance_ms: TOLERANCE_MS,
        }
    }

    #[test]
    fn the_published_stripe_vector_verifies_within_five_minutes() {
        let at = 1_700_000_000;
        let zeros = "0".repeat(64);
        let cases = [
            (format!("t={at},v1={STRIPE_V1}"), at, Ok(())),
            (format!("t={at},v1={zeros},v1={STRIPE_V1},v0=abc"), at + 300, Ok(())),
            (format!("t={at},v1={STRIPE_V1}"), at + 301, Err(WebhookError::Stale)),
            (format!("t={at},v1={STRIPE_V1}"), at - 301, Err(WebhookError::Stale)),
            (format!("t={},v1={STRIPE_V1}", at + 1), at, Err(WebhookError::BadSignature)),
            (format!("t={at},v0={STRIPE_V1}"), at, Err(WebhookError::BadSignature)),
            (format!("v1={STRIPE_V1}"), at, Err(WebhookError::BadSignature)),
            ("t=99999999999999999999,v1=00".into(), at, Err(WebhookError::BadSignature)),
        ];
        for (header, now, expected) in cases {
            let verified = stripe().verify(&request("Stripe-Signature", &header, STRIPE_BODY), Timestamp(now * 1_000));
            assert_eq!(verified, expected, "{header} at {now}");
        }
        let header = format!("t={at},v1={STRIPE_V1}");
        let changed = request("Stripe-Signature", &header, &STRIPE_BODY.replace("rdr_123", "rdr_124"));
        assert_eq!(stripe().verify(&changed, Timestamp(at * 1_000)), Err(WebhookError::BadSignature));
    }

    /// The vector of Adyen's published SDK tests: the key is hex, the data are joined fields, the signature is base64.
    #[test]
    fn the_published_adyen_vector_verifies() {
        let key = hex::decode("44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056").expect("hex");
        let data = "7914073381342284::TestMerchant:TestPayment-1407325143704:1130:EUR:AUTHORISATION:true";
        let signature = BASE64.decode("coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=").expect("base64");
        assert!(Mac::new(&key).with(data.as_bytes()).verifies(&signature));
    }

    #[test]
    fn body_signatures_are_read_in_both_encodings_behind_their_prefix() {
        let mac = Mac::new(b"key").with(b"{}").finish();
        for (encoding, text) in [(Encoding::Hex, hex::encode(mac)), (Encoding::Base64, BASE64.encode(mac))] {
            let verifier =
                Verifier::Body { header: "x-signature".into(), prefix: "sha256=".into(), encoding, secret: Secret::new("key") };
            let verify = |value: &str, body: &str| verifier.verify(&request("X-Signature", value, body), Timestamp(0));
            assert_eq!(verify(&format!("sha256={text}"), "{}"), Ok(()));
            for (value, body) in
                [(text.clone(), "{}"), (format!("sha256={text}"), "{ }"), (format!("sha256={}", &text[2..]), "{}")]
            {
                assert_eq!(verify(&value, body), Err(WebhookError::BadSignature), "{value} {body}");
            }
        }
    }

    #[test]
    fn static_secrets_and_basic_compare_whole() {
        let verifier = Verifier::Static { header: "x-event-id".into(), secret: Secret::new("s") };
        assert_eq!(verifier.verify(&request("X-Event-Id", "s", ""), Timestamp(0)), Ok(()));
        assert_eq!(verifier.verify(&request("X-Event-Id", "st", ""), Timestamp(0)), Err(WebhookError::BadSignature));
        let verifier = Verifier::Basic { user: "hub".into(), password: Secret::new("pw") };
        let basic =
            |text: &str| verifier.verify(&request("Authorization", &format!("Basic {}", BASE64.encode(text)), ""), Timestamp(0));
        assert_eq!(basic("hub:pw"), Ok(()));
        assert_eq!(basic("hub:pv"), Err(WebhookError::BadSignature));
    }
}
