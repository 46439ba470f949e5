//! Sessions of signed-in people: in memory, so a restart signs everybody out. The cookie holds a random token, the map its hash.

use super::roles::{Role, Sites};
use crate::random::{self, Random};
use crossdock_canonical::{Duration, Timestamp};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// Without a request for so long a session ends ...
const IDLE: Duration = Duration::minutes(60);
/// ... and after so long in any case.
const ABSOLUTE: Duration = Duration::hours(12);
const SESSIONS_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub struct Session {
    /// `person:anna`.
    pub name: Arc<str>,
    pub role: Role,
    pub sites: Sites,
    /// Every form of the session carries it.
    pub form_token: Arc<str>,
    began: Timestamp,
    seen: Timestamp,
}

impl Session {
    fn is_over(&self, now: Timestamp) -> bool {
        self.seen + IDLE <= now || self.began + ABSOLUTE <= now
    }
}

#[derive(Debug, Default)]
pub struct Sessions {
    live: Mutex<HashMap<[u8; 32], Session>>,
}

impl Sessions {
    /// Begins a session under a new token, always: a token from before the sign-in is worth nothing after it.
    pub fn begin(&self, name: &str, role: Role, sites: Sites, now: Timestamp, random: Random) -> String {
        let token = random::token(random);
        let form_token = Arc::from(random::token(random));
        let session = Session { name: name.into(), role, sites, form_token, began: now, seen: now };
        let mut live = self.live.lock().expect("no panic happens under this lock");
        if live.len() >= SESSIONS_MAX {
            live.retain(|_, session| !session.is_over(now));
            if live.len() >= SESSIONS_MAX {
                let longest_idle = live.iter().min_by_key(|(_, session)| session.seen).map(|(key, _)| *key);
                longest_idle.and_then(|key| live.remove(&key));
            }
        }
        live.insert(digest(&token), session);
        token
    }

    /// The session of a token, which is thereby seen.
    pub fn find(&self, token: &str, now: Timestamp) -> Option<Session> {
        let mut live = self.live.lock().expect("no panic happens under this lock");
        let key = digest(token);
        let session = live.get_mut(&key)?;
        if session.is_over(now) {
            live.remove(&key);
            return None;
        }
        session.seen = now;
        Some(session.clone())
    }

    /// Whether the session still runs. An open page asks this again and again; that is not someone being there.
    pub fn look(&self, token: &str, now: Timestamp) -> Option<Session> {
        let live = self.live.lock().expect("no panic happens under this lock");
        live.get(&digest(token)).filter(|session| !session.is_over(now)).cloned()
    }

    pub fn end(&self, token: &str) {
        self.live.lock().expect("no panic happens under this lock").remove(&digest(token));
    }

    /// Ends every session of a person.
    pub fn end_all(&self, name: &str) {
        self.live.lock().expect("no panic happens under this lock").retain(|_, session| &*session.name != name);
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::system;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn begin(sessions: &Sessions, name: &str) -> String {
        sessions.begin(name, Role::Viewer, Sites::All, NOW, system)
    }

    #[test]
    fn a_session_ends_when_idle_and_in_any_case_after_half_a_day() {
        let sessions = Sessions::default();
        let idle = begin(&sessions, "person:a");
        assert!(sessions.find(&idle, NOW + Duration::minutes(59)).is_some());
        assert!(sessions.find(&idle, NOW + Duration::minutes(119)).is_none());

        let busy = begin(&sessions, "person:a");
        for minutes in (0..719).step_by(30) {
            assert!(sessions.find(&busy, NOW + Duration::minutes(minutes)).is_some(), "{minutes}");
        }
        assert!(sessions.find(&busy, NOW + Duration::hours(12)).is_none());
    }

    #[test]
    fn every_sign_in_has_its_own_tokens_and_one_person_can_be_signed_out_everywhere() {
        let sessions = Sessions::default();
        let (first, second, other) = (begin(&sessions, "person:a"), begin(&sessions, "person:a"), begin(&sessions, "person:b"));
        assert_ne!(first, second);
        sessions.end(&first);
        assert!(sessions.find(&first, NOW).is_none());
        sessions.end_all("person:a");
        assert!(sessions.find(&second, NOW).is_none());
        assert!(sessions.find(&other, NOW).is_some());
        assert!(sessions.find("", NOW).is_none());
    }
}
