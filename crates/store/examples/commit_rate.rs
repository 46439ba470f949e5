//! What a transition costs: CPU time and bytes written, for orders of eight small transitions, many in flight at once.
//!
//!     cargo run --release -p crossdock-store --example commit_rate -- [ORDERS] [IN_FLIGHT] [URL]
//!
//! With the address of an empty PostgreSQL database (`postgresql://...`) it measures that store: the CPU time is the client's then, and
//! the server's is to be looked at there.
//!
//! It measures the store and the sealing, nothing else: no HTTP, no flow. Compare runs of one sitting only.

use crossdock_canonical::{Operation, SystemName, Timestamp};
use crossdock_store::{
    Accepted, Addressee, EffectRow, EffectState, InboxId, Intake, KeySource, Options, Payload, PayloadHash, PostgresOptions,
    PostgresStore, Priority, ProcessKey, ProcessRow, Reply, SqliteStore, Store, StoreError, SummaryRow, Transition, TransitionId,
    conformance::wait,
};
use std::{collections::VecDeque, fs, sync::Arc};

const EFFECTS: u32 = 6;

fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise| arguments.next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(otherwise);
    let (orders, in_flight) = (number(20_000), number(64));
    let url = arguments.next();
    let folder = std::env::current_dir().unwrap_or_default().join(format!("commit-rate-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder to write in");
    let store: Box<dyn Store> = match url {
        None => Box::new(SqliteStore::open(&Options::new(folder.join("hub.db")))?),
        Some(url) => Box::new(PostgresStore::open(&PostgresOptions::new(url, KeySource::Given([1; 32])))?),
    };
    wait(store.lease("bench", Timestamp(0)))?;

    let (before, start) = (Usage::now(), stopwatch());
    let transitions = run(&*store, orders, in_flight)?;
    let (used, took) = (Usage::now() - before, start.elapsed().as_secs_f64());
    drop(store);
    let size: u64 =
        fs::read_dir(&folder).expect("the folder").flatten().filter_map(|file| file.metadata().ok()).map(|of| of.len()).sum();
    let _ = fs::remove_dir_all(&folder);

    println!("{orders} orders, {transitions} transitions, {in_flight} in flight");
    println!("{:.0} orders/s, {:.0} transitions/s", orders as f64 / took, transitions as f64 / took);
    println!("CPU: {:.1} us a transition, {:.1} us an order", used.cpu_us / transitions as f64, used.cpu_us / orders as f64);
    println!(
        "written: {:.0} bytes an order to files, {:.0} to the disk",
        used.written / orders as f64,
        used.to_disk / orders as f64
    );
    println!("size: {:.0} bytes an order", size as f64 / orders as f64);
    Ok(())
}

/// Where an order stands: what it does next is decided by its version.
struct Life {
    number: u64,
    version: u64,
    placed: Option<InboxId>,
}

enum Waiting<'a> {
    Accept(Reply<'a, Vec<Accepted>>),
    Commit(Reply<'a, crossdock_store::Committed>),
}

#[expect(clippy::disallowed_methods, reason = "it measures how long the store takes")]
fn stopwatch() -> std::time::Instant {
    std::time::Instant::now()
}

fn run(store: &dyn Store, orders: u64, in_flight: u64) -> Result<u64, StoreError> {
    let mut next = 0;
    let mut transitions = 0;
    let mut running: VecDeque<(Life, Waiting<'_>)> = VecDeque::new();
    loop {
        while (running.len() as u64) < in_flight && next < orders {
            next += 1;
            running.push_back((
                Life { number: next, version: 0, placed: None },
                Waiting::Accept(store.accept(vec![placed(next)], None)),
            ));
        }
        let Some((mut life, waiting)) = running.pop_front() else { return Ok(transitions) };
        match waiting {
            Waiting::Accept(reply) => {
                if let [Accepted::Stored(id)] = wait(reply)?[..] {
                    life.placed = Some(id);
                }
            }
            Waiting::Commit(reply) => {
                life.version = wait(reply)?.version;
                transitions += 1;
            }
        }
        if life.version < u64::from(EFFECTS) + 2 {
            let reply = Waiting::Commit(store.commit(transition(&life)));
            running.push_back((life, reply));
        }
    }
}

fn key(number: u64) -> ProcessKey {
    ProcessKey::new("order", &format!("shop/RefArch/{number:08}"))
}

fn placed(number: u64) -> Intake {
    Intake {
        to: Addressee::Process(key(number)),
        source: SystemName::new("storefront"),
        message_id: None,
        kind: Arc::from("order.placed"),
        actor: Arc::from("key:shop"),
        body: Arc::from(format!("{{\"orderNo\":\"{number:08}\",\"total\":\"100.00\"}}").into_bytes()),
        subject: Arc::from("system:bench"),
        at: Timestamp(1),
        starts: true,
    }
}

/// The first folds the order and intends the first effect; each next one settles an effect and intends the one after; the last closes.
fn transition(life: &Life) -> Transition {
    let now = Timestamp(1_790_000_000_000 + life.number.cast_signed());
    let version = u32::try_from(life.version).unwrap_or(u32::MAX);
    let mut effects = Vec::new();
    let mut payloads = Vec::new();
    if (1..=EFFECTS).contains(&version) {
        effects.push(EffectRow {
            state: EffectState::Done,
            due: None,
            attempts: 1,
            last: Arc::from("done"),
            ..effect(life.number, version, now)
        });
    }
    if version < EFFECTS {
        let mut made = effect(life.number, version + 1, now);
        let bytes = format!("{{\"order\":\"{:08}\",\"step\":{version}}}", life.number).into_bytes();
        let hash = PayloadHash::of(&bytes);
        made.request = Some(hash);
        payloads.push(Payload { hash, bytes: Arc::from(bytes), message: None });
        effects.push(made);
    }
    Transition {
        id: TransitionId(life.number << 8 | life.version),
        process: key(life.number),
        version: life.version,
        epoch: 1,
        at: now,
        actor: Arc::from("system:storefront"),
        action: Arc::from("outcome erp.create_order done"),
        settles: life.placed.filter(|_| version == 0),
        record: Some(
            format!("{{\"events\":[{{\"event\":\"order.step\",\"step\":\"step-{version}\"}}],\"outcome\":\"done\"}}")
                .into_bytes(),
        ),
        row: ProcessRow {
            state: Arc::from(
                format!("{{\"steps\":[{}],\"stage\":\"running\"}}", "\"done\",".repeat(version as usize)).into_bytes(),
            ),
            schema: 1,
            logic: 1,
            policy: Arc::from("ab".repeat(32)),
            document: None,
            subject: Arc::from("system:bench"),
            priority: Priority::Standard,
            opened_at: now,
            summary: SummaryRow {
                channel: Arc::from("shop"),
                site: Arc::from("RefArch"),
                number: Arc::from(format!("{:08}", life.number)),
                market: Arc::from("de"),
                stage: Arc::from("running"),
                status: Arc::from(if version > EFFECTS { "closed" } else { "open" }),
                waiting_for: Arc::from(""),
                total: Arc::from("100.00"),
                currency: Arc::from("EUR"),
            },
        },
        effects,
        timers: Vec::new(),
        exceptions: Vec::new(),
        messages: Vec::new(),
        identities: Vec::new(),
        payloads,
    }
}

fn effect(order: u64, no: u32, now: Timestamp) -> EffectRow {
    EffectRow {
        no,
        step: Arc::from("create-order"),
        intent: Arc::from(""),
        system: SystemName::new("erp"),
        operation: Operation::ALL[usize::try_from(no).unwrap_or(0)],
        generation: 1,
        key: Arc::from(format!("{:016x}{no:016x}", order.wrapping_mul(0x9E37_79B9_7F4A_7C15))),
        state: EffectState::Pending,
        class: 4,
        due: Some(now),
        attempts: 0,
        deadline: Timestamp(now.0 + 60_000),
        made_at: now,
        request: None,
        last: Arc::from(""),
    }
}

/// What the process has used so far, as the kernel counts it.
struct Usage {
    cpu_us: f64,
    written: f64,
    to_disk: f64,
}

impl Usage {
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let ticks: f64 =
            stat.rsplit(')').next().unwrap_or("").split(' ').skip(12).take(2).filter_map(|text| text.parse::<f64>().ok()).sum();
        let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
        let count = |name: &str| {
            io.lines().find_map(|line| line.strip_prefix(name)).and_then(|text| text.trim().parse().ok()).unwrap_or(0.0)
        };
        // A tick is a hundredth of a second on every Linux that matters.
        Self { cpu_us: ticks * 10_000.0, written: count("wchar:"), to_disk: count("write_bytes:") }
    }
}

impl std::ops::Sub for Usage {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        Self {
            cpu_us: self.cpu_us - before.cpu_us,
            written: self.written - before.written,
            to_disk: self.to_disk - before.to_disk,
        }
    }
}
