//! Notifications waiting to leave: ordered by due time, copied, held back or lost by the faults, retried until taken.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::faults::Injector;
use crate::http::Outgoing;

/// The pauses after a refused attempt, in ms; the last one repeats.
const PAUSES_MS: [i64; 6] = [200, 500, 1_000, 2_000, 5_000, 10_000];

/// How a system proves that a notification is its own.
#[derive(Clone, Debug)]
pub enum Signature {
    /// `X-Signature: sha256=<hex of HMAC(secret, body)>`.
    BodyHmac { secret: String },
    /// `Stripe-Signature: t=<seconds>,v1=<hex of HMAC(secret, t.body)>`.
    Timestamped { secret: String },
}

/// One notification as it is queued.
#[derive(Clone, Debug)]
struct Pending {
    event: String,
    body: Vec<u8>,
    attempts: u32,
}

#[derive(Debug)]
pub struct Outbox {
    system: &'static str,
    signature: Signature,
    queue: BTreeMap<(i64, u64), Pending>,
    sequence: u64,
}

impl Outbox {
    pub fn new(system: &'static str, signature: Signature) -> Self {
        Outbox { system, signature, queue: BTreeMap::new(), sequence: 0 }
    }

    /// Queues an event, as the faults let it.
    pub fn push(&mut self, at: i64, event: String, body: String, faults: &mut Injector) {
        let Some(delivery) = faults.delivery(at) else { return };
        let pending = Pending { event, body: body.into_bytes(), attempts: 0 };
        let at = at.saturating_add_unsigned(delivery.extra_delay_ms);
        if let Some(after) = delivery.copy_after_ms {
            self.insert(at.saturating_add_unsigned(after), pending.clone());
        }
        self.insert(at, pending);
    }

    fn insert(&mut self, at: i64, pending: Pending) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), pending);
    }

    pub fn next_due(&self) -> Option<i64> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes everything due by `now`, signed for this moment.
    pub fn due(&mut self, now: i64, out: &mut Vec<Outgoing>) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let pending = entry.remove();
            out.push(Outgoing {
                system: self.system,
                path: format!("/inbound/v1/{}", self.system),
                headers: self.headers(&pending, now),
                body: pending.body,
                event: pending.event,
                attempts: pending.attempts,
            });
        }
    }

    /// Puts back a notification the receiver did not take; it is signed anew when it leaves again.
    pub fn retry(&mut self, outgoing: Outgoing, now: i64) {
        let pause = PAUSES_MS[(outgoing.attempts as usize).min(PAUSES_MS.len() - 1)];
        let pending = Pending { event: outgoing.event, body: outgoing.body, attempts: outgoing.attempts + 1 };
        self.insert(now + pause, pending);
    }

    fn headers(&self, pending: &Pending, now: i64) -> Vec<(String, String)> {
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        match &self.signature {
            Signature::BodyHmac { secret } => {
                headers.push(("x-event-id".into(), pending.event.clone()));
                headers.push(("x-signature".into(), format!("sha256={}", hmac_hex(secret, &[&pending.body]))));
            }
            Signature::Timestamped { secret } => {
                let t = now.div_euclid(1000).to_string();
                let v1 = hmac_hex(secret, &[t.as_bytes(), b".", &pending.body]);
                headers.push(("stripe-signature".into(), format!("t={t},v1={v1}")));
            }
        }
        headers
    }
}

/// Lower-case hex of HMAC-SHA256 over the parts.
pub fn hmac_hex(secret: &str, parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Faults;

    #[test]
    fn the_timestamped_signature_matches_the_vendors_test_vector() {
        // Inputs from the signature test of the vendor's python SDK.
        let body = "{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\",\n  \"data\": { \"object\": { \"id\": \"rdr_123\", \"object\": \"terminal.reader\" } }\n}";
        assert_eq!(
            hmac_hex("whsec_test_secret", &[b"1700000000", b".", body.as_bytes()]),
            "3bfab77baf5f7b6991a46c9b53b6547d7afc56148b10468fcad9f35c1992ffbd"
        );
    }

    #[test]
    fn a_refused_notification_comes_back_later_with_growing_pauses() {
        let mut faults = Injector::new(1, "erp");
        let mut outbox = Outbox::new("erp", Signature::BodyHmac { secret: "s".into() });
        outbox.push(10, "evt_1".into(), "{}".into(), &mut faults);
        let mut now = 10;
        for pause in [200, 500, 1_000] {
            let mut due = Vec::new();
            outbox.due(now, &mut due);
            outbox.retry(due.pop().unwrap(), now);
            assert_eq!(outbox.next_due(), Some(now + pause));
            now += pause;
        }
    }

    #[test]
    fn faults_copy_lose_and_silence_notifications() {
        let mut faults = Injector::new(1, "erp");
        let mut outbox = Outbox::new("erp", Signature::BodyHmac { secret: "s".into() });
        let mut set = |change: fn(&mut Faults)| {
            let mut set = Faults::default();
            change(&mut set);
            faults.set(set, "erp", 0);
            outbox.push(0, "evt".into(), "{}".into(), &mut faults);
            let mut due = Vec::new();
            outbox.due(1_000_000, &mut due);
            due.len()
        };
        assert_eq!(set(|f| f.duplicate_notifications = 1.0), 2);
        assert_eq!(set(|f| f.drop_notifications = 1.0), 0);
        assert_eq!(set(|f| f.silent_until = Some(i64::MAX)), 0);
    }
}
