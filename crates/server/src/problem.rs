//! Every way a request can fail, in one catalogue, told as RFC 9457 `problem+json`.
//!
//! A caller acts on `code`: it never changes and is never reused. `GET /problems` lists the catalogue. No handler builds an
//! error answer of its own, and no text of a library reaches a caller except where it quotes the caller's own input.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use crossdock_connect::WebhookError;
use crossdock_engine::face::HubError;
use crossdock_store::StoreError;
use crossdock_value::{Error as ValueError, ParseError};
use serde::Serialize;
use std::borrow::Cow;

macro_rules! catalogue {
    ($($variant:ident = $code:literal, $status:ident, $title:literal, $advice:literal;)*) => {
        /// The stable codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($variant),* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),* }
            }
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }
            /// What the caller should do about it.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice),* }
            }
        }
    };
}

catalogue! {
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "Who is asking?",
        "Send `Authorization: Bearer cdk_...`, or sign in to the console.";
    SignInFailed = "sign_in_failed", UNAUTHORIZED, "Sign-in failed",
        "Check the name and the password, or the first-run token printed when the hub started.";
    TooManyAttempts = "too_many_attempts", TOO_MANY_REQUESTS, "Too many failed attempts",
        "Wait as long as `Retry-After` says. Other names and other addresses are not affected.";
    Forbidden = "forbidden", FORBIDDEN, "Your role does not allow this",
        "Ask an administrator for a role that does; the table of roles is in docs/api.md.";
    ForbiddenSite = "forbidden_site", FORBIDDEN, "Outside your sites",
        "Use a key whose site scope holds this channel and site.";
    ForgeryRefused = "forgery_refused", FORBIDDEN, "The form is not from this session",
        "Load the page again and send the form from there.";
    NotFound = "not_found", NOT_FOUND, "There is nothing here",
        "Check the path; /openapi.json lists all of them.";
    OrderNotFound = "order_not_found", NOT_FOUND, "No such order",
        "Check channel, site and number. An order outside your sites is reported as absent.";
    ProcessNotFound = "process_not_found", NOT_FOUND, "No such process",
        "A process id is `kind:channel/site/number`, percent-encoded. One outside your sites is reported as absent.";
    SystemNotFound = "system_not_found", NOT_FOUND, "No such system",
        "GET /system/v1/systems lists the configured systems.";
    SubjectNotFound = "subject_not_found", NOT_FOUND, "No such subject",
        "A subject is `customer:channel/number` or `guest:channel/site/order`. It may have been erased already.";
    PayloadGone = "payload_gone", NOT_FOUND, "The payload is no longer kept",
        "Its retention ended, or its subject was erased.";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The path exists, the method does not",
        "See `Allow`, or /openapi.json.";
    MalformedJson = "malformed_json", BAD_REQUEST, "The body is not JSON",
        "Mend the body at the byte named in `detail`. NaN, Infinity, comments and trailing commas are not JSON.";
    InvalidUtf8 = "invalid_utf8", BAD_REQUEST, "The body is not UTF-8",
        "Encode the body in UTF-8.";
    DuplicateKey = "duplicate_key", BAD_REQUEST, "A key comes twice in one object",
        "Send every key once; readers disagree which of two counts.";
    NumberOutOfRange = "number_out_of_range", BAD_REQUEST, "A number cannot be kept exactly",
        "Send at most 28 digits. Nothing is rounded silently.";
    TooDeep = "too_deep", BAD_REQUEST, "The document is nested too deeply",
        "At most 64 arrays and objects within each other are read.";
    TooManyValues = "too_many_values", BAD_REQUEST, "The document has too many values",
        "Split the document.";
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, "The body is too large",
        "The limit of the path is in /openapi.json as `x-body-max`.";
    HeadTooLarge = "head_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request is too large",
        "Send at most 100 header lines and 32 kB of them, the address included.";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The content type is not taken here",
        "Send `Content-Type: application/json`.";
    InvalidRequest = "invalid_request", UNPROCESSABLE_ENTITY, "The document does not have the expected form",
        "See `detail` for the field, and /openapi.json for the schema. Unknown fields are refused, not ignored.";
    InvalidParameter = "invalid_parameter", BAD_REQUEST, "A parameter is missing, unknown or malformed",
        "See `detail`, and /openapi.json for the parameters.";
    IdempotencyKeyMissing = "idempotency_key_missing", BAD_REQUEST, "Idempotency-Key is missing or malformed",
        "Send 1 to 128 visible ASCII characters, new for each order or command, the same for each repeat.";
    VersionConflict = "version_conflict", CONFLICT, "The process has moved on",
        "Read it again, decide again, and send the command with the version you saw.";
    CommandRefused = "command_refused", CONFLICT, "The process does not take this command now",
        "`detail` says why. Nothing was changed.";
    WebhookUnverified = "webhook_unverified", UNAUTHORIZED, "The webhook's signature does not fit",
        "Check the shared secret, and that no proxy rewrites the body. Nothing was stored.";
    WebhookStale = "webhook_stale", BAD_REQUEST, "The webhook's timestamp is outside the tolerance",
        "Check the sender's clock, or send it again with a fresh timestamp.";
    WebhookMalformed = "webhook_malformed", BAD_REQUEST, "The webhook cannot be read",
        "See `detail`. Nothing was stored.";
    WebhookUnsupported = "webhook_unsupported", NOT_FOUND, "This system takes no webhooks",
        "Check the system's name; its connector may poll instead.";
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The body came too slowly",
        "Send the whole body within 30 seconds.";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "The hub is over a cap",
        "Nothing was accepted. Repeat with the same Idempotency-Key after `Retry-After`.";
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "The store does not answer",
        "Nothing was written. Repeat with the same Idempotency-Key after `Retry-After`.";
    OutcomeUnknown = "outcome_unknown", SERVICE_UNAVAILABLE, "It may or may not have been written",
        "Repeat with the same Idempotency-Key: if it was written, you are told so and it is not written twice.";
    Stopping = "stopping", SERVICE_UNAVAILABLE, "The hub is shutting down",
        "Repeat after `Retry-After`, here or at another node.";
    Unanswered = "unanswered", SERVICE_UNAVAILABLE, "The command is stored, its answer is not there yet",
        "It will be carried out: look at the process. Repeated with the same Idempotency-Key it is not carried out twice.";
    Internal = "internal", INTERNAL_SERVER_ERROR, "A fault of the hub",
        "Report `request_id`; the log has the cause under it.";
}

impl Code {
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// When a repeat is worth trying, in seconds.
    fn retry_after(self) -> Option<u64> {
        match self {
            Self::Overloaded | Self::OutcomeUnknown => Some(1),
            Self::Unavailable | Self::Stopping | Self::Unanswered => Some(5),
            _ => None,
        }
    }
}

/// One failure, ready to be answered.
#[derive(Clone, Debug)]
pub struct Problem {
    pub code: Code,
    pub detail: Cow<'static, str>,
    /// JSON pointer or name of what is at fault in the input.
    pub at: Option<String>,
    retry_after: Option<u64>,
}

/// The body of an error answer (RFC 9457).
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemBody {
    /// `/problems/{code}`.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// Stable; act on this.
    pub code: String,
    pub detail: String,
    /// Where in the input, when that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    pub request_id: String,
}

impl Problem {
    /// `detail` is for the caller: a sentence, no internals. It is cut at 500 characters and cleaned of control characters,
    /// because it may quote input.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        let fits = detail.len() <= 500 && !detail.contains(char::is_control);
        let detail = if fits { detail } else { Cow::Owned(detail.chars().filter(|c| !c.is_control()).take(500).collect()) };
        Self { code, detail, at: None, retry_after: code.retry_after() }
    }

    pub fn of(code: Code) -> Self {
        Self::new(code, code.advice())
    }

    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.at = Some(place.into()).filter(|place| !place.is_empty());
        self
    }

    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// A fault of the hub: the cause goes to the log, the caller gets an id to report.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::of(Code::Internal)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            kind: format!("/problems/{}", self.code.as_str()),
            title: self.code.title().into(),
            status: self.code.status().as_u16(),
            code: self.code.as_str().into(),
            detail: self.detail.clone().into_owned(),
            at: self.at.clone(),
            request_id: crate::harden::request_id(),
        };
        let mut response = (self.code.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"crossdock\""));
        }
        // The console turns it into a page; see `harden`.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ParseError> for Problem {
    fn from(error: ParseError) -> Self {
        let code = match error.code() {
            "json.too_large" => Code::PayloadTooLarge,
            "json.too_deep" => Code::TooDeep,
            "json.too_many_values" => Code::TooManyValues,
            "json.invalid_utf8" => Code::InvalidUtf8,
            "json.number_out_of_range" => Code::NumberOutOfRange,
            "json.duplicate_key" => Code::DuplicateKey,
            _ => Code::MalformedJson,
        };
        let place = error.path.chars().take(200).collect::<String>();
        Self::new(code, error.to_string()).at(place)
    }
}

impl From<ValueError> for Problem {
    fn from(error: ValueError) -> Self {
        Self::new(Code::InvalidRequest, error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy(_) => Self::of(Code::Overloaded),
            StoreError::Unavailable(_) => {
                tracing::error!(%error, "store unavailable");
                Self::of(Code::Unavailable)
            }
            StoreError::Unknown(_) => Self::of(Code::OutcomeUnknown),
            StoreError::StaleVersion { expected, found, .. } => {
                Self::new(Code::VersionConflict, format!("The process is at version {found}, you saw {expected}."))
            }
            StoreError::StaleEpoch { .. } => Self::of(Code::Unavailable),
            StoreError::Constraint(_) | StoreError::Damaged(_) => Self::internal(error),
        }
    }
}

impl From<HubError> for Problem {
    fn from(error: HubError) -> Self {
        match error {
            HubError::NoProcess(process) => Self::new(Code::ProcessNotFound, format!("There is no process {process}.")),
            HubError::NoSystem(system) => {
                Self::new(Code::SystemNotFound, format!("There is no system {system}; GET /system/v1/systems lists them."))
            }
            HubError::Conflict { seen, found } => {
                Self::new(Code::VersionConflict, format!("The process is at version {found}, you saw {seen}."))
            }
            HubError::Overloaded(cap) => Self::new(Code::Overloaded, format!("Over its cap: {cap}. Nothing was accepted.")),
            HubError::Webhook(error) => match error {
                WebhookError::BadSignature => Self::of(Code::WebhookUnverified),
                WebhookError::Stale => Self::of(Code::WebhookStale),
                WebhookError::Malformed(reason) => Self::new(Code::WebhookMalformed, reason),
                WebhookError::Unsupported(system) => Self::new(Code::WebhookUnsupported, format!("{system} takes no webhooks.")),
            },
            HubError::Malformed(reason) => Self::new(Code::InvalidRequest, reason),
            HubError::Store(error) => error.into(),
            HubError::Unanswered(seconds) => {
                Self::new(Code::Unanswered, format!("The node that owns the process did not answer within {seconds} s."))
            }
            HubError::Stopping | HubError::Superseded => Self::of(Code::Stopping),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_and_say_what_to_do() {
        let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
            assert!(code.advice().ends_with('.'), "{code:?}: {}", code.advice());
            assert_eq!(Code::parse(code.as_str()), Some(*code));
        }
    }

    #[test]
    fn detail_quotes_input_without_control_characters_and_briefly() {
        let problem = Problem::new(Code::InvalidRequest, format!("a\r\nb{}", "x".repeat(2_000)));
        assert!(problem.detail.starts_with("abxx"));
        assert_eq!(problem.detail.chars().count(), 500);
    }

    #[test]
    fn a_caller_is_told_when_to_repeat() {
        for (error, code) in [
            (HubError::Overloaded("inbox".into()), "overloaded"),
            (HubError::Stopping, "stopping"),
            (HubError::Unanswered(10), "unanswered"),
            (HubError::Store(StoreError::Busy(9)), "overloaded"),
            (HubError::Store(StoreError::Unavailable("disk".into())), "unavailable"),
            (HubError::Store(StoreError::Unknown("lost".into())), "outcome_unknown"),
        ] {
            let response = Problem::from(error).into_response();
            assert_eq!(response.status(), 503, "{code}");
            assert!(response.headers().contains_key(header::RETRY_AFTER), "{code}");
        }
    }
}
