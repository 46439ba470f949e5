//! Errors as the platform words them: RFC 7807 with a documented `type`.

use crate::http::Response;
use crate::json::object;

#[derive(Debug)]
pub struct Problem {
    status: u16,
    title: String,
    slug: String,
    detail: String,
}

impl Problem {
    pub fn new(status: u16, title: &str, slug: &str, detail: &str) -> Self {
        Problem { status, title: title.into(), slug: slug.into(), detail: detail.into() }
    }

    pub fn bad_request(detail: &str) -> Self {
        Problem::new(400, "Bad Request", "bad-request", detail)
    }

    pub fn unauthorized() -> Self {
        Problem::new(401, "Unauthorized", "unauthorized", "The access token is missing, expired or revoked.")
    }

    pub fn forbidden(detail: &str) -> Self {
        Problem::new(403, "Forbidden", "forbidden", detail)
    }

    pub fn not_found(what: &str) -> Self {
        Problem::new(404, "Not Found", "not-found", &format!("No such {what} could be found."))
    }

    pub fn order_not_found(number: &str) -> Self {
        Problem::new(404, "Order Not Found", "order-not-found", &format!("No order with number '{number}' was found."))
    }

    pub fn method_not_allowed() -> Self {
        Problem::new(405, "Method Not Allowed", "method-not-allowed", "The resource has no such method.")
    }

    pub fn response(self) -> Response {
        let body = object! {
            "title": self.title,
            "type": format!("https://api.commercecloud.salesforce.com/documentation/error/v1/errors/{}", self.slug),
            "detail": self.detail,
        };
        Response::bytes(self.status, "application/problem+json", body.render())
    }
}
