//! The HTTP client of effects: connections kept per address, credentials put on just before the bytes leave.
//!
//! Plain HTTP goes the short way of `wire`; HTTPS through hyper.

use super::{clock, standing::Leave, wire};
use crate::System;
use crossdock_canonical::{Duration, Outcome, SystemName};
use crossdock_connect::{
    Token, TransportError,
    http::{Method, Request, Response},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::net::TcpStream;

type Secured = SendRequest<Full<Bytes>>;

pub struct Client {
    plain: Idle<wire::Connection>,
    secured: Idle<Secured>,
    tokens: Mutex<HashMap<SystemName, Held>>,
    /// One refresh at a time for all systems: they are rare.
    refreshing: tokio::sync::Mutex<()>,
    tls: Arc<rustls::ClientConfig>,
    answer_max: usize,
}

#[derive(Clone)]
struct Held {
    token: Token,
    got: Arc<clock::Stopwatch>,
}

/// Connections kept open to one address while idle: as many as a system is called at once.
const IDLE_MAX: usize = 256;

/// Connections by address, the last one used on top.
struct Idle<C>(Mutex<BTreeMap<Arc<str>, Vec<C>>>);

impl Client {
    pub fn new(answer_max: usize) -> Self {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            plain: Idle::default(),
            secured: Idle::default(),
            tokens: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            tls: Arc::new(tls),
            answer_max,
        }
    }

    /// Sends one request of a system, with its credentials. A rejected token is renewed once, before anything was applied.
    pub async fn send(&self, system: &System, request: &Request, timeout: Duration) -> Result<Response, TransportError> {
        self.send_by_leave(system, request, timeout, &Leave::GRANTED).await
    }

    /// The same, by a leave that is asked for at the last moment before the bytes go; without it the call is one that found no
    /// connection.
    pub(super) async fn send_by_leave(
        &self,
        system: &System,
        request: &Request,
        timeout: Duration,
        leave: &Leave<'_>,
    ) -> Result<Response, TransportError> {
        let response = self.authorized(system, request, timeout, leave).await?;
        if response.status == 401 && request.authorize && system.connector.token_request().is_some() {
            self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(&system.name);
            return self.authorized(system, request, timeout, leave).await;
        }
        Ok(response)
    }

    async fn authorized(
        &self,
        system: &System,
        request: &Request,
        timeout: Duration,
        leave: &Leave<'_>,
    ) -> Result<Response, TransportError> {
        if !request.authorize {
            return self.call(&system.base, request, timeout, leave).await;
        }
        let token = self.token(system, timeout).await?;
        let mut request = request.clone();
        system.connector.authorize(&mut request, token.as_ref());
        self.call(&system.base, &request, timeout, leave).await
    }

    async fn token(&self, system: &System, timeout: Duration) -> Result<Option<Token>, TransportError> {
        let Some(request) = system.connector.token_request() else { return Ok(None) };
        if let Some(token) = self.held(&system.name) {
            return Ok(Some(token));
        }
        let _one = self.refreshing.lock().await;
        if let Some(token) = self.held(&system.name) {
            return Ok(Some(token));
        }
        let response = self
            .call(&system.base, &request, timeout, &Leave::GRANTED)
            .await
            .map_err(|e| TransportError::NotAuthorized(e.to_string()))?;
        let token = system.connector.token(&response).map_err(|outcome: Outcome| {
            TransportError::NotAuthorized(if outcome.text.is_empty() {
                outcome.code
            } else {
                format!("{}: {}", outcome.code, outcome.text)
            })
        })?;
        let held = Held { token: token.clone(), got: Arc::new(clock::Stopwatch::start()) };
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(system.name.clone(), held);
        Ok(Some(token))
    }

    /// A token with at least a tenth of its life left.
    fn held(&self, system: &SystemName) -> Option<Token> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let held = tokens.get(system)?;
        (held.got.elapsed().0 < held.token.lives_ms - held.token.lives_ms / 10).then(|| held.token.clone())
    }

    /// Sends a request to an address as it is, without credentials.
    pub async fn raw(&self, base: &str, request: Request, timeout: Duration) -> Result<Response, TransportError> {
        self.call(base, &request, timeout, &Leave::GRANTED).await
    }

    /// Sends bytes to an address and reads the answer, bounded in time and size.
    async fn call(
        &self,
        base: &str,
        request: &Request,
        timeout: Duration,
        leave: &Leave<'_>,
    ) -> Result<Response, TransportError> {
        let (base, target) = split(base, &request.target);
        let address = Address::parse(base)?;
        let limit = std::time::Duration::from_millis(u64::try_from(timeout.0).unwrap_or(0));
        let exchange = async {
            if address.tls {
                // Apart: its many steps would make room for themselves in every call, and most go the short way.
                Box::pin(self.over_tls(&address, base, target, request, leave)).await
            } else {
                self.plainly(&address, base, target, request, leave).await
            }
        };
        tokio::time::timeout(limit, exchange).await.unwrap_or(Err(TransportError::Timeout(timeout.0)))
    }

    async fn plainly(
        &self,
        address: &Address<'_>,
        base: &str,
        target: &str,
        request: &Request,
        leave: &Leave<'_>,
    ) -> Result<Response, TransportError> {
        if let Some(mut kept) = self.plain.take(base, wire::Connection::is_usable) {
            granted(leave)?;
            match kept.exchange(address.authority, target, request, self.answer_max).await {
                // The system had closed it and nothing left: a new connection does no harm.
                Err(TransportError::NotConnected(_)) => {}
                ended => return self.plain_end(base, kept, ended),
            }
        }
        let mut fresh = wire::Connection::open(address.host, address.port).await?;
        granted(leave)?;
        let ended = fresh.exchange(address.authority, target, request, self.answer_max).await;
        self.plain_end(base, fresh, ended)
    }

    /// Keeps a connection that can carry another request.
    fn plain_end(
        &self,
        base: &str,
        connection: wire::Connection,
        ended: Result<wire::Answer, TransportError>,
    ) -> Result<Response, TransportError> {
        let answer = ended?;
        if answer.keeps {
            self.plain.give_back(base, connection);
        }
        Ok(answer.response)
    }

    async fn over_tls(
        &self,
        address: &Address<'_>,
        base: &str,
        target: &str,
        request: &Request,
        leave: &Leave<'_>,
    ) -> Result<Response, TransportError> {
        let mut connection = match self.secured.take(base, |connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => self.connect(address).await?,
        };
        if connection.ready().await.is_err() {
            connection = self.connect(address).await?;
            connection.ready().await.map_err(|e| TransportError::NotConnected(e.to_string()))?;
        }
        let mut builder = hyper::Request::builder().method(method(request.method)).uri(target).header("host", address.authority);
        for (name, value) in &request.headers {
            builder = builder.header(name.as_str(), value.as_str());
        }
        let body = Full::new(Bytes::from_owner(request.body.clone()));
        let outgoing =
            builder.body(body).map_err(|e| TransportError::NotConnected(format!("the request cannot be formed: {e}")))?;
        granted(leave)?;
        let response = connection.send_request(outgoing).await.map_err(|e| {
            // Hyper hands back a request that it never began to write.
            if e.is_canceled() { TransportError::NotConnected(e.to_string()) } else { TransportError::Broken(e.to_string()) }
        })?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = Limited::new(response.into_body(), self.answer_max).collect().await.map_err(|e| {
            if e.is::<http_body_util::LengthLimitError>() {
                TransportError::TooLarge(self.answer_max)
            } else {
                TransportError::Broken(e.to_string())
            }
        })?;
        if !connection.is_closed() {
            self.secured.give_back(base, connection);
        }
        Ok(Response { status, headers, body: Arc::from(&*body.to_bytes()) })
    }

    async fn connect(&self, address: &Address<'_>) -> Result<Secured, TransportError> {
        let failed = |e: &dyn std::fmt::Display| TransportError::NotConnected(e.to_string());
        let stream = TcpStream::connect((address.host, address.port)).await.map_err(|e| failed(&e))?;
        stream.set_nodelay(true).map_err(|e| failed(&e))?;
        let name = rustls::pki_types::ServerName::try_from(address.host.to_owned()).map_err(|e| failed(&e))?;
        let stream = tokio_rustls::TlsConnector::from(self.tls.clone()).connect(name, stream).await.map_err(|e| failed(&e))?;
        let (connection, task) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
        tokio::spawn(task);
        Ok(connection)
    }
}

fn granted(leave: &Leave<'_>) -> Result<(), TransportError> {
    let refused = || TransportError::NotConnected("the lease was not checked lately enough".into());
    if leave.is_granted() { Ok(()) } else { Err(refused()) }
}

impl<C> Default for Idle<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C> Idle<C> {
    /// The newest connection that can be used; those that cannot are dropped.
    fn take(&self, base: &str, usable: impl Fn(&C) -> bool) -> Option<C> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.get_mut(base)?;
        while let Some(connection) = connections.pop() {
            if usable(&connection) {
                return Some(connection);
            }
        }
        None
    }

    fn give_back(&self, base: &str, connection: C) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = match idle.get_mut(base) {
            Some(connections) => connections,
            None => idle.entry(Arc::from(base)).or_default(),
        };
        if connections.len() < IDLE_MAX {
            connections.push(connection);
        }
    }
}

/// The address and the path of a target: its own when it is absolute, else below the system's base.
fn split<'a>(base: &'a str, target: &'a str) -> (&'a str, &'a str) {
    let Some(scheme) = target.find("://").filter(|_| !target.starts_with('/')) else { return (base, target) };
    match target[scheme + 3..].find('/') {
        Some(at) => target.split_at(scheme + 3 + at),
        None => (target, "/"),
    }
}

struct Address<'a> {
    tls: bool,
    authority: &'a str,
    host: &'a str,
    port: u16,
}

impl<'a> Address<'a> {
    fn parse(base: &'a str) -> Result<Self, TransportError> {
        let wrong = || TransportError::NotConnected(format!("{base:?} is not http://host:port or https://host"));
        let (tls, rest) = match (base.strip_prefix("https://"), base.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(wrong()),
        };
        let authority = rest.split('/').next().filter(|a| !a.is_empty()).ok_or_else(wrong)?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (authority, if tls { 443 } else { 80 }),
        };
        Ok(Self { tls, authority, host, port })
    }
}

fn method(method: Method) -> hyper::Method {
    match method {
        Method::Get => hyper::Method::GET,
        Method::Post => hyper::Method::POST,
        Method::Put => hyper::Method::PUT,
        Method::Patch => hyper::Method::PATCH,
        Method::Delete => hyper::Method::DELETE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_go_below_the_base_unless_they_are_absolute() {
        for (target, base, path) in [
            ("/a/b?c=d", "http://x:1", "/a/b?c=d"),
            ("https://auth.example/token", "https://auth.example", "/token"),
            ("/redirect?to=http://y/z", "http://x:1", "/redirect?to=http://y/z"),
        ] {
            assert_eq!(split("http://x:1", target), (base, path), "{target}");
        }
    }

    #[test]
    fn addresses_name_host_and_port() {
        let port = |base| Address::parse(base).map(|a| (a.tls, a.host.to_owned(), a.port)).ok();
        assert_eq!(port("http://127.0.0.1:81"), Some((false, "127.0.0.1".into(), 81)));
        assert_eq!(port("https://api.example/base"), Some((true, "api.example".into(), 443)));
        assert_eq!(port("ftp://x"), None);
        assert_eq!(port("http://x:y"), None);
    }
}
