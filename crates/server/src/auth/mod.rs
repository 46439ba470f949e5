//! Who is asking: API keys for programs, sign-in with sessions for people, one table of roles for both.
//!
//! Nothing is let in by default: without a principal there is only the first-run token, printed once by the binary. Every
//! route names the action it needs (`route`), and `guard` is the only way to a handler.

pub mod guard;
pub mod keys;
pub mod password;
pub mod principals;
pub mod roles;
pub mod session;
pub mod throttle;

use crate::{
    problem::{Code, Problem},
    random::{self, Random},
};
use axum::http::{HeaderMap, header};
use crossdock_canonical::Timestamp;
use crossdock_store::{CursorWrite, Store};
use principals::{Key, Person, PrincipalError, Principals};
use roles::{Actor, Role, Sites};
use sha2::{Digest, Sha256};
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, OnceLock, RwLock},
};
use tokio::sync::Semaphore;

/// Where people and keys added at run time are kept.
const SAVED: &str = "server/principals";

/// Passwords hashed at the same time; more would let a few strangers take all cores.
const HASHING_MAX: usize = 2;

/// The address of the other end, put on each request by `serve`.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// What the printed token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenUse {
    /// Names the first administrator, then never again.
    FirstRun,
    /// Signs in as `person:demo` as often as wanted; only simulated systems are behind it.
    Demo,
}

pub struct Auth {
    /// From configuration; not changed at run time.
    configured: Principals,
    /// From the store.
    saved: RwLock<Principals>,
    sessions: session::Sessions,
    throttle: throttle::Throttle,
    token: Mutex<Option<(TokenUse, [u8; 32])>>,
    hashing: Semaphore,
    /// Checked when no such person exists, so that the answer takes as long.
    decoy: OnceLock<String>,
    https: bool,
    random: Random,
}

/// How someone proved who they are.
enum Proof {
    Bearer(String),
    Cookie(String),
}

impl Auth {
    /// `https`: whether people reach the console over TLS (directly or by a proxy); it decides the cookie's form.
    pub fn new(configured: Principals, https: bool, random: Random) -> Result<Self, PrincipalError> {
        configured.check()?;
        Ok(Self {
            configured,
            saved: RwLock::default(),
            sessions: session::Sessions::default(),
            throttle: throttle::Throttle::default(),
            token: Mutex::new(None),
            hashing: Semaphore::new(HASHING_MAX),
            decoy: OnceLock::new(),
            https,
            random,
        })
    }

    /// Reads the people and keys that were added at run time. Call it before serving, and now and then where another node may add or
    /// revoke some.
    pub async fn load(&self, store: &dyn Store) -> Result<(), Problem> {
        if let Some(bytes) = store.cursor(SAVED).await? {
            let saved: Principals = serde_json::from_slice(&bytes).map_err(Problem::internal)?;
            *self.saved.write().expect("no panic happens under this lock") = saved;
        }
        Ok(())
    }

    /// The token that names the first administrator; `None` when somebody can sign in already. Print it once.
    pub fn first_run_token(&self) -> Option<String> {
        self.nobody_signs_in().then(|| self.make_token(TokenUse::FirstRun))
    }

    /// A token that signs in to the demo's console as an administrator, as often as wanted while this process runs.
    pub fn demo_token(&self) -> String {
        self.make_token(TokenUse::Demo)
    }

    fn make_token(&self, usable: TokenUse) -> String {
        let text = random::token(self.random);
        *self.token.lock().expect("no panic happens under this lock") = Some((usable, Sha256::digest(text.as_bytes()).into()));
        text
    }

    fn nobody_signs_in(&self) -> bool {
        self.configured.people.is_empty() && self.saved.read().expect("no panic happens under this lock").people.is_empty()
    }

    /// Whether the sign-in page must ask for the token and a new administrator.
    pub fn awaits_first_run(&self) -> bool {
        let token = self.token.lock().expect("no panic happens under this lock");
        matches!(*token, Some((TokenUse::FirstRun, _))) && self.nobody_signs_in()
    }

    /// Whether the sign-in page offers the demo's token.
    pub fn offers_demo(&self) -> bool {
        matches!(*self.token.lock().expect("no panic happens under this lock"), Some((TokenUse::Demo, _)))
    }

    fn fits_token(&self, usable: TokenUse, text: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(text.trim().as_bytes()).into();
        let token = self.token.lock().expect("no panic happens under this lock");
        matches!(*token, Some((known, hash)) if known == usable && keys::same(&given, &hash))
    }

    /// Who sends these headers; `None` when they do not say. A wrong key or an ended session is a problem or nobody, never
    /// somebody else.
    pub fn authenticate(&self, headers: &HeaderMap, from: Peer, now: Timestamp) -> Result<Option<Actor>, Problem> {
        match self.proof(headers)? {
            None => Ok(None),
            Some(Proof::Cookie(token)) => Ok(self.sessions.find(&token, now).map(of_session)),
            Some(Proof::Bearer(text)) => match self.find_key(&text) {
                Some(key) => Ok(Some(of_key(key))),
                // A right key is never slowed down, only guessing is.
                None => {
                    self.throttle.admit("key", from.0, now).map_err(too_many)?;
                    self.throttle.failed("key", from.0, now);
                    Err(Problem::new(Code::Unauthenticated, "The API key is not known, or it was revoked."))
                }
            },
        }
    }

    /// Who these headers still stand for, asked by a stream that is open. It keeps no session awake.
    pub fn recheck(&self, headers: &HeaderMap, now: Timestamp) -> Option<Actor> {
        match self.proof(headers).ok()?? {
            Proof::Cookie(token) => self.sessions.look(&token, now).map(of_session),
            Proof::Bearer(text) => self.find_key(&text).map(of_key),
        }
    }

    fn proof(&self, headers: &HeaderMap) -> Result<Option<Proof>, Problem> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let bearer = value.to_str().ok().and_then(|text| text.split_once(' '));
            return match bearer {
                Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(Proof::Bearer(key.trim().to_owned()))),
                _ => Err(Problem::of(Code::Unauthenticated)),
            };
        }
        Ok(cookie(headers, self.cookie_name()).map(Proof::Cookie))
    }

    fn find_key(&self, text: &str) -> Option<Key> {
        let id = keys::id(text)?;
        let saved = self.saved.read().expect("no panic happens under this lock");
        let mut known = self.configured.keys.iter().chain(&saved.keys);
        known.find(|key| key.id == id && keys::fits(text, key)).cloned()
    }

    /// Checks a name and a password; the cookie of the new session.
    pub async fn sign_in(&self, name: &str, password: String, from: Peer, now: Timestamp) -> Result<(String, Arc<str>), Problem> {
        self.throttle.admit(name, from.0, now).map_err(too_many)?;
        let person = self.find_person(name);
        let hash = person.as_ref().map_or_else(|| self.decoy().to_owned(), |person| person.password.clone());
        let fits = self.off_thread(move || password::fits(&password, &hash)).await?;
        match person.filter(|_| fits) {
            Some(person) => {
                self.throttle.succeeded(name, from.0);
                let recorded = format!("person:{}", person.name);
                let token = self.sessions.begin(&recorded, person.role, person.sites, now, self.random);
                Ok((self.set_cookie(&token), recorded.into()))
            }
            None => {
                self.throttle.failed(name, from.0, now);
                Err(Problem::of(Code::SignInFailed))
            }
        }
    }

    /// Signs in to the demo with the printed token.
    pub fn sign_in_to_demo(&self, token: &str, from: Peer, now: Timestamp) -> Result<(String, Arc<str>), Problem> {
        self.check_token(TokenUse::Demo, token, from, now)?;
        let session = self.sessions.begin("person:demo", Role::Admin, Sites::All, now, self.random);
        Ok((self.set_cookie(&session), "person:demo".into()))
    }

    /// Makes the first administrator. The token is worth nothing afterwards.
    pub async fn first_run(
        &self,
        store: &dyn Store,
        token: &str,
        name: &str,
        password: String,
        from: Peer,
        now: Timestamp,
    ) -> Result<(String, Arc<str>), Problem> {
        self.check_token(TokenUse::FirstRun, token, from, now)?;
        self.add_person(store, name, Role::Admin, Sites::All, password).await?;
        *self.token.lock().expect("no panic happens under this lock") = None;
        let recorded = format!("person:{name}");
        let session = self.sessions.begin(&recorded, Role::Admin, Sites::All, now, self.random);
        Ok((self.set_cookie(&session), recorded.into()))
    }

    fn check_token(&self, usable: TokenUse, token: &str, from: Peer, now: Timestamp) -> Result<(), Problem> {
        self.throttle.admit("token", from.0, now).map_err(too_many)?;
        if self.fits_token(usable, token) {
            return Ok(());
        }
        self.throttle.failed("token", from.0, now);
        Err(Problem::of(Code::SignInFailed))
    }

    /// Ends the session of these headers; the header that clears the cookie.
    pub fn sign_out(&self, headers: &HeaderMap) -> String {
        if let Some(token) = cookie(headers, self.cookie_name()) {
            self.sessions.end(&token);
        }
        format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict{}", self.cookie_name(), self.secure())
    }

    /// Adds or replaces a person. Their sessions end.
    pub async fn add_person(
        &self,
        store: &dyn Store,
        name: &str,
        role: Role,
        sites: Sites,
        password: String,
    ) -> Result<(), Problem> {
        if !principals::is_name(name) {
            return Err(Problem::new(Code::InvalidRequest, PrincipalError::PersonName(name.into()).to_string()).at("name"));
        }
        if self.configured.people.iter().any(|person| person.name == name) {
            return Err(Problem::new(Code::InvalidRequest, "This person is in the configuration; change them there.").at("name"));
        }
        if !(password::LENGTH_MIN..=password::LENGTH_MAX).contains(&password.len()) {
            let detail = format!("A password has {} to {} characters.", password::LENGTH_MIN, password::LENGTH_MAX);
            return Err(Problem::new(Code::InvalidRequest, detail).at("password"));
        }
        let random = self.random;
        let password = self.off_thread(move || password::hash(&password, random)).await?;
        let person = Person { name: name.into(), role, sites, password };
        self.change(store, |saved| {
            saved.people.retain(|known| known.name != person.name);
            saved.people.push(person.clone());
        })
        .await?;
        self.sessions.end_all(&format!("person:{name}"));
        Ok(())
    }

    /// Makes an API key and saves its hash; the text is given once.
    pub async fn add_key(&self, store: &dyn Store, name: &str, role: Role, sites: Sites) -> Result<String, Problem> {
        if !principals::is_name(name) {
            return Err(Problem::new(Code::InvalidRequest, PrincipalError::KeyName(name.into()).to_string()).at("name"));
        }
        if self.keys().iter().any(|key| key.name == name) {
            return Err(Problem::new(Code::InvalidRequest, "There is a key of this name; revoke it first.").at("name"));
        }
        let (text, key) = keys::make(name, role, sites, self.random);
        self.change(store, |saved| saved.keys.push(key.clone())).await?;
        Ok(text)
    }

    /// Revokes a saved key; `false` when there is none of this name.
    pub async fn revoke_key(&self, store: &dyn Store, name: &str) -> Result<bool, Problem> {
        let known = self.saved.read().expect("no panic happens under this lock").keys.iter().any(|key| key.name == name);
        if known {
            self.change(store, |saved| saved.keys.retain(|key| key.name != name)).await?;
        }
        Ok(known)
    }

    /// Every key, without a secret.
    pub fn keys(&self) -> Vec<Key> {
        let saved = self.saved.read().expect("no panic happens under this lock");
        self.configured.keys.iter().chain(&saved.keys).cloned().collect()
    }

    /// Saves a change of the principals, then lets it take effect.
    async fn change(&self, store: &dyn Store, change: impl FnOnce(&mut Principals)) -> Result<(), Problem> {
        // What another node has saved since is changed with it, not undone.
        let stored = store.cursor(SAVED).await?;
        let mut next: Principals = match &stored {
            Some(bytes) => serde_json::from_slice(bytes).map_err(Problem::internal)?,
            None => self.saved.read().expect("no panic happens under this lock").clone(),
        };
        change(&mut next);
        let body = serde_json::to_vec(&next).map_err(Problem::internal)?;
        store.set_cursor(CursorWrite { name: SAVED.into(), body, seen: Some(stored.unwrap_or_default()) }).await?;
        *self.saved.write().expect("no panic happens under this lock") = next;
        Ok(())
    }

    fn find_person(&self, name: &str) -> Option<Person> {
        let saved = self.saved.read().expect("no panic happens under this lock");
        self.configured.people.iter().chain(&saved.people).find(|person| person.name == name).cloned()
    }

    fn decoy(&self) -> &str {
        self.decoy.get_or_init(|| password::hash("nobody has this password", self.random))
    }

    async fn off_thread<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let _permit = self.hashing.acquire().await.map_err(Problem::internal)?;
        tokio::task::spawn_blocking(work).await.map_err(Problem::internal)
    }

    fn cookie_name(&self) -> &'static str {
        if self.https { "__Host-crossdock" } else { "crossdock" }
    }

    fn secure(&self) -> &'static str {
        if self.https { "; Secure" } else { "" }
    }

    fn set_cookie(&self, token: &str) -> String {
        format!("{}={token}; Path=/; HttpOnly; SameSite=Strict{}", self.cookie_name(), self.secure())
    }

    /// A random key for a form, so that sending it twice is one command.
    pub fn form_key(&self) -> String {
        random::token(self.random)
    }
}

fn of_session(session: session::Session) -> Actor {
    Actor { name: session.name, role: session.role, sites: session.sites, form_token: Some(session.form_token) }
}

fn of_key(key: Key) -> Actor {
    Actor { name: format!("key:{}", key.name).into(), role: key.role, sites: key.sites, form_token: None }
}

fn too_many(seconds: u64) -> Problem {
    Problem::of(Code::TooManyAttempts).retry_after(seconds)
}

/// A cookie by name; the first one counts.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value.to_owned())
}
