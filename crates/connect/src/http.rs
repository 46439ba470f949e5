//! HTTP requests and answers as plain data, the only transport words a connector needs.

use std::sync::Arc;

/// What `encode` writes for each request, and how much of it a stored intent may hold.
const REQUESTS_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete].into_iter().find(|method| method.as_str() == text)
    }
}

/// Writes requests one after the other, as HTTP/1.1 would look on the wire without host and credentials.
///
/// These are the bytes that an intent stores and that people read in a trace.
pub fn encode(requests: &[Request]) -> Arc<[u8]> {
    let mut out = Vec::with_capacity(requests.iter().map(|r| r.body.len() + r.target.len() + 96).sum());
    for request in requests {
        out.extend_from_slice(request.method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(request.target.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        for (name, value) in &request.headers {
            for part in [name.as_str(), ": ", value.as_str(), "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.extend_from_slice(format!("content-length: {}\r\n\r\n", request.body.len()).as_bytes());
        out.extend_from_slice(&request.body);
    }
    Arc::from(out)
}

/// Reads what `encode` wrote; `None` when the bytes are not of that form.
pub fn decode(mut bytes: &[u8]) -> Option<Vec<Request>> {
    let mut requests = Vec::new();
    while !bytes.is_empty() && requests.len() < REQUESTS_MAX {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.splitn(3, ' ');
        let mut request = Request::new(Method::parse(first.next()?)?, first.next()?);
        let mut length = 0;
        for line in lines {
            let (name, value) = line.split_once(": ")?;
            if name == "content-length" {
                length = value.parse().ok()?;
            } else {
                request.headers.push((name.to_owned(), value.to_owned()));
            }
        }
        let body = bytes.get(end + 4..end.checked_add(4)?.checked_add(length)?)?;
        request.body = Arc::from(body);
        bytes = &bytes[end + 4 + length..];
        requests.push(request);
    }
    bytes.is_empty().then_some(requests)
}

/// Percent-encodes a path segment or a query value: everything but the unreserved characters of RFC 3986.
pub fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// An `application/x-www-form-urlencoded` body.
pub fn form<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(&percent(name));
        out.push('=');
        out.push_str(&percent(value));
    }
    out
}

/// A request below the system's base address. Header names are lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// Path and query, percent-encoded, starting with `/`. An absolute `http(s)://` address goes elsewhere (token servers).
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Arc<[u8]>,
    /// Whether `Connector::authorize` (and a token, where one is needed) applies.
    pub authorize: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names lower case.
    pub headers: Vec<(String, String)>,
    pub body: Arc<[u8]>,
}

impl Request {
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: Vec::new(), body: Arc::from([]), authorize: true }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    pub fn json(self, body: impl Into<Arc<[u8]>>) -> Self {
        let mut request = self.header("content-type", "application/json");
        request.body = body.into();
        request
    }

    pub fn form(self, body: String) -> Self {
        let mut request = self.header("content-type", "application/x-www-form-urlencoded");
        request.body = Arc::from(body.into_bytes());
        request
    }

    pub fn find_header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

impl Response {
    pub fn new(status: u16, body: impl Into<Arc<[u8]>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// `Retry-After` in milliseconds when it is given in seconds, at most a day.
    pub fn retry_after_ms(&self) -> Option<i64> {
        let seconds: i64 = self.header("retry-after")?.trim().parse().ok()?;
        Some(seconds.clamp(0, 86_400) * 1_000)
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_requests_are_read_back_exactly() {
        let requests = vec![
            Request::new(Method::Put, "/a%2Fb?x=1").json(*br#"{"n":"1\r\n\r\n2"}"#).header("Idempotency-Key", "k"),
            Request::new(Method::Get, "/empty"),
            Request::new(Method::Post, "/binary").json([0, 13, 10, 13, 10, 255]),
        ];
        let bytes = encode(&requests);
        assert_eq!(decode(&bytes).as_deref(), Some(&requests[..]));
        for cut in [1, 10, bytes.len() - 1] {
            assert_eq!(decode(&bytes[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn forms_escape_brackets_and_spaces() {
        assert_eq!(form([("metadata[order]", "a/b c"), ("amount", "1")]), "metadata%5Border%5D=a%2Fb%20c&amount=1");
    }
}
