//! HTTP/1.1 over one kept TCP connection: a request leaves in one write, its answer is read where it is awaited. No task of its own, no
//! channel, no copy that is not needed: on the path of every effect this is half of what a general client costs.
//!
//! It deliberately knows neither TLS nor HTTP/2 nor redirects nor compression; `client` takes another way for `https`.

use crossdock_connect::{
    TransportError,
    http::{Method, Request, Response},
};
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Header lines of an answer, and bytes of its head.
const HEADERS_MAX: usize = 100;
const HEAD_MAX: usize = 64 << 10;
/// A buffer that grew beyond this is not kept.
const BUFFER_KEPT: usize = 64 << 10;

pub(super) struct Connection {
    stream: TcpStream,
    /// The request while it is written, then the answer while it is read.
    buffer: Vec<u8>,
}

/// An answer, and whether the connection can carry another request.
pub(super) struct Answer {
    pub response: Response,
    pub keeps: bool,
}

/// How far the body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(usize),
    Chunked,
    /// To the end of the connection.
    Rest,
}

struct Head {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
    keeps: bool,
    /// Where the body begins.
    end: usize,
}

impl Connection {
    pub async fn open(host: &str, port: u16) -> Result<Self, TransportError> {
        let failed = |e: std::io::Error| TransportError::NotConnected(e.to_string());
        let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self { stream, buffer: Vec::with_capacity(2 << 10) })
    }

    /// Whether the other end, as far as is known, is there and waits. Whatever it says unasked makes the connection useless.
    pub fn is_usable(&self) -> bool {
        let mut byte = [0];
        matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Sends a request and reads its answer. `NotConnected` only if nothing of it left.
    pub async fn exchange(
        &mut self,
        authority: &str,
        target: &str,
        request: &Request,
        answer_max: usize,
    ) -> Result<Answer, TransportError> {
        self.buffer.clear();
        write_request(&mut self.buffer, authority, target, request)?;
        self.write().await?;
        self.buffer.clear();
        let answer = self.read(answer_max).await;
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        answer
    }

    async fn write(&mut self) -> Result<(), TransportError> {
        let mut written = 0;
        while written < self.buffer.len() {
            match self.stream.write(&self.buffer[written..]).await {
                Ok(count) if count > 0 => written += count,
                // The system's kernel took nothing, so nothing was sent.
                Ok(_) if written == 0 => return Err(TransportError::NotConnected("the connection was closed".into())),
                Err(error) if written == 0 => return Err(TransportError::NotConnected(error.to_string())),
                Ok(_) => return Err(TransportError::Broken("the connection was closed".into())),
                Err(error) => return Err(TransportError::Broken(error.to_string())),
            }
        }
        Ok(())
    }

    async fn read(&mut self, answer_max: usize) -> Result<Answer, TransportError> {
        let head = self.head().await?;
        let (body, end) = match head.body {
            Body::Length(length) => {
                if length > answer_max {
                    return Err(TransportError::TooLarge(answer_max));
                }
                let end = head.end + length;
                while self.buffer.len() < end {
                    self.more().await?;
                }
                (Arc::from(&self.buffer[head.end..end]), end)
            }
            Body::Chunked => self.chunks(head.end, answer_max).await?,
            Body::Rest => {
                loop {
                    if self.buffer.len() - head.end > answer_max {
                        return Err(TransportError::TooLarge(answer_max));
                    }
                    if self.stream.read_buf(&mut self.buffer).await.map_err(broken)? == 0 {
                        break;
                    }
                }
                (Arc::from(&self.buffer[head.end..]), self.buffer.len())
            }
        };
        // More than was asked for belongs to nothing: the next answer could not be told from it.
        let keeps = head.keeps && self.buffer.len() == end;
        Ok(Answer { response: Response { status: head.status, headers: head.headers, body }, keeps })
    }

    /// Reads until the head of the final answer is whole.
    async fn head(&mut self) -> Result<Head, TransportError> {
        loop {
            if !self.buffer.is_empty() {
                match parse_head(&self.buffer)? {
                    // Continue, early hints: the answer is still to come.
                    Some(head) if head.status < 200 => {
                        self.buffer.drain(..head.end);
                        continue;
                    }
                    Some(head) => return Ok(head),
                    None if self.buffer.len() > HEAD_MAX => return Err(malformed("its head is too large")),
                    None => {}
                }
            }
            self.more().await?;
        }
    }

    /// Reads a body in chunks, and what follows the last one.
    async fn chunks(&mut self, from: usize, answer_max: usize) -> Result<(Arc<[u8]>, usize), TransportError> {
        let mut body = Vec::new();
        let mut at = from;
        loop {
            match httparse::parse_chunk_size(&self.buffer[at..]).map_err(|_| malformed("a chunk has no size"))? {
                httparse::Status::Partial if self.buffer.len() - at > HEAD_MAX => return Err(malformed("a chunk has no size")),
                httparse::Status::Partial => self.more().await?,
                httparse::Status::Complete((_, 0)) => break,
                httparse::Status::Complete((line, size)) => {
                    let size = usize::try_from(size).ok().filter(|size| *size <= answer_max.saturating_sub(body.len()));
                    let size = size.ok_or(TransportError::TooLarge(answer_max))?;
                    let start = at + line;
                    while self.buffer.len() < start + size + 2 {
                        self.more().await?;
                    }
                    body.extend_from_slice(&self.buffer[start..start + size]);
                    if &self.buffer[start + size..start + size + 2] != b"\r\n" {
                        return Err(malformed("a chunk is longer than it says"));
                    }
                    // What was taken over need not be kept.
                    self.buffer.drain(..start + size + 2);
                    at = 0;
                }
            }
        }
        // The line of the last chunk, trailers, an empty line.
        loop {
            if let Some(end) = self.buffer[at..].windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok((Arc::from(body), at + end + 4));
            }
            if self.buffer.len() - at > HEAD_MAX {
                return Err(malformed("its trailers are too large"));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), TransportError> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(TransportError::Broken("the connection was closed before the answer was whole".into())),
            Ok(_) => Ok(()),
            Err(error) => Err(broken(error)),
        }
    }
}

fn broken(error: std::io::Error) -> TransportError {
    TransportError::Broken(error.to_string())
}

fn malformed(reason: &str) -> TransportError {
    TransportError::Broken(format!("the answer is no HTTP/1.1: {reason}"))
}

/// The request as it goes over the wire. A name or value that would break out of its line is refused.
fn write_request(out: &mut Vec<u8>, authority: &str, target: &str, request: &Request) -> Result<(), TransportError> {
    let unformed = |what: &str| TransportError::NotConnected(format!("the request cannot be formed: {what}"));
    if target.is_empty() || target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(unformed("its target has blanks or control characters"));
    }
    for part in [request.method.as_str(), " ", target, " HTTP/1.1\r\nhost: ", authority, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in &request.headers {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(unformed("a header's name is none"));
        }
        if value.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            return Err(unformed("a header's value has control characters"));
        }
        for part in [name.as_str(), ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    if !request.body.is_empty() || request.method != Method::Get {
        out.extend_from_slice(format!("content-length: {}\r\n", request.body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&request.body);
    Ok(())
}

/// `None` while the head is not whole.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, TransportError> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut lines);
    let end = match parsed.parse(bytes).map_err(|e| malformed(&e.to_string()))? {
        httparse::Status::Complete(end) => end,
        httparse::Status::Partial => return Ok(None),
    };
    let status = parsed.code.ok_or_else(|| malformed("no status"))?;
    let mut keeps = parsed.version == Some(1);
    let (mut length, mut coding) = (None, None);
    let mut headers = Vec::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        let name = header.name.to_ascii_lowercase();
        let value = String::from_utf8_lossy(header.value).into_owned();
        match name.as_str() {
            "content-length" => {
                let given = value.trim().parse::<usize>().map_err(|_| malformed("its length is no number"))?;
                if length.is_some_and(|known| known != given) {
                    return Err(malformed("it has two lengths"));
                }
                length = Some(given);
            }
            "transfer-encoding" => coding = Some(value.trim().eq_ignore_ascii_case("chunked")),
            "connection" => {
                let says = |word: &str| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
                keeps = !says("close") && (keeps || says("keep-alive"));
            }
            _ => {}
        }
        headers.push((name, value));
    }
    let body = match (status, coding, length) {
        (100..=199 | 204 | 304, _, _) => Body::Length(0),
        (_, Some(true), _) => Body::Chunked,
        (_, Some(false), _) => return Err(malformed("its transfer encoding is not known here")),
        (_, None, Some(length)) => Body::Length(length),
        (_, None, None) => Body::Rest,
    };
    // A length beside chunks may be meant for somebody in between.
    keeps &= body != Body::Rest && !(coding.is_some() && length.is_some());
    Ok(Some(Head { status, headers, body, keeps, end }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Answers one request with `pieces`, each in a write of its own, and closes.
    async fn answered(pieces: &'static [&'static str]) -> Result<Answer, TransportError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request).await;
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.expect("written");
                tokio::task::yield_now().await;
            }
        });
        let mut connection = Connection::open("127.0.0.1", port).await.expect("connected");
        let request = Request::new(Method::Post, "/x").json(*b"{}");
        let answer = connection.exchange("h", "/x", &request, 64).await;
        serving.await.expect("served");
        answer
    }

    #[tokio::test]
    async fn answers_of_every_shape_are_read_whole() {
        const LONG: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let cases: [(&'static [&'static str], u16, &str, bool); 9] = [
            (&["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody"], 200, "body", true),
            (&["HTTP/1.1 200 OK\r\ncont", "ent-length: 4\r\n\r\nbo", "dy"], 200, "body", true),
            (&[LONG, "3\r\nabc\r\n", "1;x=y\r\nd\r\n0\r\n", "a: b\r\n\r\n"], 200, "abcd", true),
            (&["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n"], 201, "", true),
            (&["HTTP/1.1 204 No Content\r\n\r\n"], 204, "", true),
            (&["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx"], 200, "x", false),
            (&["HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx"], 200, "x", false),
            (&["HTTP/1.1 200 OK\r\n\r\nto the", " end"], 200, "to the end", false),
            (&["HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200"], 200, "x", false),
        ];
        for (pieces, status, body, keeps) in cases {
            let answer = answered(pieces).await.unwrap_or_else(|e| panic!("{pieces:?}: {e}"));
            let read = (answer.response.status, &*answer.response.body, answer.keeps);
            assert_eq!(read, (status, body.as_bytes(), keeps), "{pieces:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_whole_or_too_large_is_no_answer() {
        let cases: [&'static [&'static str]; 7] = [
            &[],
            &["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbody"],
            &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"],
            &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n"],
            &["HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nx"],
            &["HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"],
            &["SMTP ready\r\n\r\n"],
        ];
        for pieces in cases {
            let end = answered(pieces).await.err();
            assert!(matches!(end, Some(TransportError::Broken(_))), "{pieces:?}: {end:?}");
        }
        for pieces in [
            &["HTTP/1.1 200 OK\r\ncontent-length: 65\r\n\r\n"] as &'static [&'static str],
            &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n41\r\n"],
        ] {
            assert_eq!(answered(pieces).await.err(), Some(TransportError::TooLarge(64)), "{pieces:?}");
        }
    }

    #[test]
    fn nothing_breaks_out_of_its_line() {
        let post =
            |name: &str, value: &str| Request { headers: vec![(name.into(), value.into())], ..Request::new(Method::Post, "/") };
        for (target, request) in [
            ("/a b", post("a", "b")),
            ("/\r\nx: y", post("a", "b")),
            ("/", post("a", "b\r\nx: y")),
            ("/", post("a: b\r\nx", "y")),
            ("/", post("", "y")),
        ] {
            let mut out = Vec::new();
            let end = write_request(&mut out, "h", target, &request);
            assert!(matches!(end, Err(TransportError::NotConnected(_))), "{target:?} {request:?}");
        }
        let mut out = Vec::new();
        write_request(&mut out, "h:1", "/x?y", &post("a", "b")).expect("formed");
        assert_eq!(out, b"POST /x?y HTTP/1.1\r\nhost: h:1\r\na: b\r\ncontent-length: 0\r\n\r\n");
    }
}
