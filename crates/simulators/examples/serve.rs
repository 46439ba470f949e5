//! Serves all simulators on free ports and prints one line a system, until its input ends. For trying a peer by hand.
//!
//! `cargo run -p crossdock-simulators --example serve -- [HUB_URL]`
#![expect(clippy::disallowed_methods, reason = "this program owns the clock it hands to the simulators")]

use std::io::Read;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crossdock_simulators::serve::{self, Options};
use crossdock_simulators::{Config, World};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
    let options = Options { hub: std::env::args().nth(1), ..Options::new(Arc::new(clock)) };
    let running = serve::start(World::new(1, Config::default()), options).await?;
    for system in running.addresses().keys() {
        println!("{{\"system\":\"{system}\",\"url\":\"{}\"}}", running.url(system).unwrap_or_default());
    }
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
