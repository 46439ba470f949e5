//! The bytes a simulator is handed and hands back. No sockets here.

use crate::json::Json;

/// One HTTP request as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    pub path_and_query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One HTTP answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What became of a request: an answer after a delay, or a connection that ends without one.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub response: Option<Response>,
    pub delay_ms: u64,
}

/// A notification that is due: `POST {hub}{path}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    pub system: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The event's id, the same in every copy and every attempt.
    pub event: String,
    /// Attempts already made before this one.
    pub attempts: u32,
}

impl Request {
    pub fn new(method: &str, path_and_query: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Request { method: method.to_owned(), path_and_query: path_and_query.into(), headers: Vec::new(), body: body.into() }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

impl Response {
    pub fn empty(status: u16) -> Self {
        Response { status, headers: Vec::new(), body: Vec::new() }
    }

    pub fn json(status: u16, body: &Json) -> Self {
        Response::bytes(status, "application/json", body.render())
    }

    pub fn bytes(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Response { status, headers: vec![("content-type".into(), content_type.into())], body: body.into() }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A request taken apart once: decoded path segments and query pairs.
pub struct Call<'a> {
    pub request: &'a Request,
    pub method: &'a str,
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
}

impl<'a> Call<'a> {
    pub fn new(request: &'a Request) -> Self {
        let (path, query) = request.path_and_query.split_once('?').unwrap_or((&request.path_and_query, ""));
        Call {
            request,
            method: &request.method,
            segments: path.split('/').filter(|s| !s.is_empty()).map(|s| decode(s, false)).collect(),
            query: form(query),
        }
    }

    pub fn header(&self, name: &str) -> Option<&'a str> {
        find(&self.request.headers, name)
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// The path as slices, for matching.
    pub fn path(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    pub fn json(&self) -> Result<Json, String> {
        Json::parse(&self.request.body)
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
}

/// The pairs of a query or a form body, percent-decoded **before** anyone splits a value at commas.
pub fn form(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        })
        .collect()
}

fn decode(text: &str, plus_is_space: bool) -> String {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let escaped =
            (bytes[i] == b'%').then(|| text.get(i + 1..i + 3)).flatten().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(if bytes[i] == b'+' && plus_is_space { b' ' } else { bytes[i] });
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_decoded_once() {
        let request = Request::new("GET", "/a%2Fb/c?x=1%2C2&y=a+b&z", "");
        let call = Call::new(&request);
        assert_eq!(call.segments, ["a/b", "c"]);
        assert_eq!((call.query("x"), call.query("y"), call.query("z")), (Some("1,2"), Some("a b"), Some("")));
        assert_eq!(form("a=%zz%4"), [("a".to_owned(), "%zz%4".to_owned())]);
    }
}
