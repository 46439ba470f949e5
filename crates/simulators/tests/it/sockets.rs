//! The shell: real listeners, cut connections, notifications to a hub that refuses at first.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use crossdock_simulators::serve::{self, Options};
use crossdock_simulators::{Config, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

async fn call(address: &str, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\nx-api-key: crossdock-sim\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

/// A hub that answers 503 to the first notification and 202 to the rest, and passes on what it got.
async fn hub(seen: mpsc::UnboundedSender<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let refused = Arc::new(Mutex::new(false));
        while let Ok((mut stream, _)) = listener.accept().await {
            let (seen, refused) = (seen.clone(), refused.clone());
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(read) = stream.read(&mut buffer).await {
                    if read == 0 {
                        return;
                    }
                    let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    let first = !std::mem::replace(&mut *refused.lock().unwrap(), true);
                    let status = if first { "503 Service Unavailable" } else { "202 Accepted" };
                    let _ = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
                    let _ = seen.send(format!("{status}\n{text}"));
                }
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_review_is_notified_until_the_hub_takes_it_and_faults_cut_connections() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    // Time stands still but for this clock; every look at it is a second later, so whatever was put off becomes due.
    let ticks = Arc::new(AtomicI64::new(0));
    let clock = Arc::new(move || ticks.fetch_add(1_000, Ordering::Relaxed));
    let options = Options { hub: Some(hub(sender).await), ..Options::new(clock) };
    let running = serve::start(World::new(1, Config::default()), options).await.unwrap();
    let fraud = running.addresses()["fraud"].to_string();
    let body = r#"{"external_reference":"S1","channel":"sfcc","site":"RefArch-DE","order":"1","amount":"9.90","currency":"EUR","email":"a+review@example.com"}"#;
    let answer = call(&fraud, "POST /screenings", body).await;
    assert!(answer.starts_with("HTTP/1.1 201") && answer.contains("\"decision\":\"review\""), "{answer}");

    running.wake();
    let refused = seen.recv().await.unwrap();
    assert!(refused.starts_with("503") && refused.contains("POST /inbound/v1/fraud "), "{refused}");
    running.wake();
    let taken = seen.recv().await.unwrap();
    assert!(taken.starts_with("202") && taken.contains("screening.decided") && taken.contains("x-signature: sha256="), "{taken}");

    let ledger = call(&fraud, "GET /_sim/ledger", "").await;
    assert!(ledger.contains("\"operation\":\"screening.decide\"") && ledger.contains("\"amount\":\"9.90\""), "{ledger}");

    let set = call(&fraud, "PUT /_sim/faults", r#"{"apply_then_drop_rate":1}"#).await;
    assert!(set.starts_with("HTTP/1.1 204"), "{set}");
    assert_eq!(call(&fraud, "POST /screenings", &body.replace("S1", "S2")).await, "", "the connection is cut without a byte");
    let counts = call(&fraud, "GET /_sim/faults", "").await;
    assert!(counts.contains("\"applied_then_dropped\":1"), "{counts}");
    let found = call(&fraud, "GET /screenings?external_reference=S2", "").await;
    assert!(found.contains("\"id\":\"FS-2\""), "it was applied all the same: {found}");
    let bad = call(&fraud, "PUT /_sim/faults", r#"{"error_rate":7}"#).await;
    assert!(bad.starts_with("HTTP/1.1 400"), "{bad}");

    let storefront = running.addresses()["storefront"].to_string();
    let placed = call(&storefront, "POST /_sim/orders?count=3", "").await;
    assert_eq!(placed.matches("expected_end").count(), 3, "{placed}");
}
