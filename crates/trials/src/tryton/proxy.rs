//! The way from the hub to Tryton, which can be cut: before a request arrives, after it went through, or while it is answered.

use crossdock_simulators::rng::Rng;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How often a piece of traffic is cut off, by where. An order takes dozens of calls, so most orders are hit.
const REQUEST_LOST: f64 = 0.004;
const WENT_THROUGH: f64 = 0.004;
const ANSWER_LOST: f64 = 0.006;
const PIECE_BYTES: usize = 64 << 10;

pub(super) struct Proxy {
    pub address: SocketAddr,
    line: Arc<Line>,
}

struct Line {
    upstream: String,
    state: Mutex<State>,
}

struct State {
    faulty: bool,
    rng: Rng,
    counts: BTreeMap<&'static str, u64>,
}

/// What becomes of a piece.
#[derive(PartialEq)]
enum Fate {
    Passes,
    Lost,
    /// It passes, and nothing after it.
    Last,
}

impl Proxy {
    /// Listens and passes everything on; `faulty` cuts at random, drawn from the seed.
    pub async fn start(upstream: &str, seed: u64, faulty: bool) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = State { faulty, rng: Rng::named(seed, "cuts"), counts: BTreeMap::new() };
        let line = Arc::new(Line { upstream: upstream.to_owned(), state: Mutex::new(state) });
        let passing = line.clone();
        tokio::spawn(async move {
            while let Ok((hub, _)) = listener.accept().await {
                let line = passing.clone();
                tokio::spawn(async move { line.pass(hub).await });
            }
        });
        Ok(Self { address, line })
    }

    /// The last cut: from now on everything passes.
    pub fn mend(&self) {
        self.line.state().faulty = false;
    }

    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.line.state().counts.clone()
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, what: &'static str) {
        *self.state().counts.entry(what).or_default() += 1;
    }

    fn draws(&self, what: &'static str, rate: f64) -> bool {
        let mut state = self.state();
        let cut = state.faulty && state.rng.chance(rate);
        if cut {
            *state.counts.entry(what).or_default() += 1;
        }
        cut
    }

    fn fate_of_request(&self) -> Fate {
        if self.draws("cut_request_lost", REQUEST_LOST) {
            Fate::Lost
        } else if self.draws("cut_after_it_went_through", WENT_THROUGH) {
            Fate::Last
        } else {
            Fate::Passes
        }
    }

    fn fate_of_answer(&self) -> Fate {
        if self.draws("cut_answer_lost", ANSWER_LOST) { Fate::Lost } else { Fate::Passes }
    }

    /// One connection until either side, or a fault, ends it. Both halves are dropped together.
    async fn pass(&self, mut hub: TcpStream) {
        let Ok(mut tryton) = TcpStream::connect(&self.upstream).await else {
            self.count("not_connected");
            return;
        };
        let (mut hub_in, mut hub_out) = hub.split();
        let (mut tryton_in, mut tryton_out) = tryton.split();
        let (mut up, mut down) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
        loop {
            let (fate, written) = tokio::select! {
                read = hub_in.read(&mut up) => {
                    let Ok(length @ 1..) = read else { return };
                    self.count("requests");
                    let fate = self.fate_of_request();
                    if fate == Fate::Lost {
                        return;
                    }
                    (fate, tryton_out.write_all(&up[..length]).await)
                }
                read = tryton_in.read(&mut down) => {
                    let Ok(length @ 1..) = read else { return };
                    let fate = self.fate_of_answer();
                    if fate == Fate::Lost {
                        return;
                    }
                    (fate, hub_out.write_all(&down[..length]).await)
                }
            };
            if written.is_err() || fate == Fate::Last {
                // Closing is orderly: what was written still arrives.
                let _ = tryton_out.shutdown().await;
                return;
            }
        }
    }
}
