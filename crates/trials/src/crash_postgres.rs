//! `crash --store postgres`: power cuts under a real PostgreSQL. A shim in the server records every write and sync of its data folder
//! while the hub's store takes and moves on orders; then folders are built as a disk may hold them after the power failed at some
//! instant: all that was synced, and of the rest nothing, a beginning, or any part, the last write of it possibly torn. The server
//! recovers each by itself, and what the store had acknowledged must be there.
//!
//! The two controls run the same orders with `fsync = off` and with `synchronous_commit = off`, which the store refuses unless told
//! otherwise. They must lose something, or this proves nothing.
//!
//! Not shown: names of files (a new file, a rename and a removal count as durable at once), and disks that lie about a sync.

use crate::{
    cluster::{as_owner, give, programs, run},
    crash::{Count, Scratch},
    shim,
};
use crossdock_canonical::{SystemName, Timestamp};
use crossdock_engine::shell::clock::Stopwatch;
use crossdock_simulators::rng::Rng;
use crossdock_store::{
    Accepted, Addressee, Intake, KeySource, PostgresOptions, PostgresStore, Priority, ProcessKey, ProcessRow, Store, SummaryRow,
    Transition, TransitionId, conformance::wait,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

/// Orders of one recording, and lanes that write them at once.
const ORDERS: u64 = 120;
const LANES: u64 = 4;
/// Transitions of each order.
const STEPS: u64 = 3;
/// After so many orders of a lane the server writes a checkpoint, as it would now and then.
const CHECKPOINT_EVERY: u64 = 10;
const CONTROL_IMAGES: u64 = 40;
const SETTINGS: &str = "max_wal_size = 4MB\nmin_wal_size = 2MB\nshared_buffers = 8MB\nautovacuum = off\nlisten_addresses = ''\n";

#[derive(Serialize)]
pub struct Report {
    pub seed: u64,
    pub images: u64,
    pub seconds: f64,
    /// What the recording holds.
    pub writes: usize,
    pub syncs: usize,
    pub answers: usize,
    pub full: Count,
    pub no_fsync: Count,
    pub no_synchronous_commit: Count,
    pub verdict: &'static str,
}

/// A change of a file, by its path below the data folder; or an answer of the store.
enum Event {
    Write {
        name: String,
        offset: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        name: String,
        length: usize,
    },
    Sync {
        name: String,
    },
    Unlink {
        name: String,
    },
    Rename {
        from: String,
        to: String,
    },
    /// An order was accepted (version 0) or moved on to a version.
    Answer {
        order: u64,
        version: u64,
    },
}

/// A recording: the folder as it was before, and what came then.
struct Recording {
    _scratch: Scratch,
    base: PathBuf,
    events: Vec<Event>,
    bin: PathBuf,
}

/// Checks so many images and both controls.
pub fn examine(seed: u64, images: u64, threads: usize) -> Result<Report, String> {
    let watch = Stopwatch::start();
    let good = Recording::new("full", "")?;
    let full = good.check(seed, images, threads)?;
    let control = |name: &str, settings: &str| Recording::new(name, settings)?.check(seed, CONTROL_IMAGES, threads);
    let no_fsync = control("no-fsync", "fsync = off\n")?;
    let no_synchronous_commit = control("no-commit", "synchronous_commit = off\n")?;
    let count = |is: fn(&Event) -> bool| good.events.iter().filter(|event| is(event)).count();
    let mut report = Report {
        seed,
        images,
        seconds: watch.elapsed().0 as f64 / 1_000.0,
        writes: count(|event| matches!(event, Event::Write { .. })),
        syncs: count(|event| matches!(event, Event::Sync { .. })),
        answers: count(|event| matches!(event, Event::Answer { .. })),
        full,
        no_fsync,
        no_synchronous_commit,
        verdict: "good",
    };
    if !report.full.is_clean() {
        report.verdict = "what was answered is lost, or a folder cannot be recovered";
    } else if report.no_fsync.is_clean() || report.no_synchronous_commit.is_clean() {
        report.verdict = "a control lost nothing, so this proves nothing";
    }
    Ok(report)
}

impl Recording {
    fn new(name: &str, settings: &str) -> Result<Self, String> {
        let bin = programs()?;
        let scratch = Scratch::new()?;
        let folder = fs::canonicalize(scratch.path()).map_err(|e| e.to_string())?;
        let (data, base, log) = (folder.join("data"), folder.join("base"), folder.join("writes"));
        let shim = shim::build("record", &folder)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        give(&folder)?;
        let owned = |words: &[&str]| {
            let all = as_owner(words);
            run(Command::new(&all[0]).args(&all[1..]).current_dir(&folder))
        };
        let program = |name: &str| text(&bin.join(name));
        owned(&[
            &program("initdb"),
            "-D",
            &text(&data),
            "-U",
            "crossdock",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale",
            "C.UTF-8",
            "--no-sync",
            "--wal-segsize=1",
        ])?;
        let conf = data.join("postgresql.conf");
        let all = fs::read_to_string(&conf).unwrap_or_default() + SETTINGS + settings;
        fs::write(&conf, format!("{all}unix_socket_directories = '{}'\n", folder.display())).map_err(|e| e.to_string())?;
        let pg_ctl = |words: &[&str]| {
            let (pg_ctl, data, log) = (program("pg_ctl"), text(&data), text(&folder.join("server.log")));
            owned(&[&[&*pg_ctl, "-D", &*data, "-w", "-l", &*log], words].concat())
        };
        let url = format!("postgresql://crossdock@{}/postgres", text(&folder).replace('/', "%2F"));
        pg_ctl(&["start"])?;
        let schema =
            open(&url).map(|store| wait(store.lease("crash", Timestamp(0))).map(|leases| leases.first().map_or(1, |l| l.epoch)));
        let epoch = schema?.map_err(|e| e.to_string());
        pg_ctl(&["-m", "fast", "stop"])?;
        let epoch = epoch?;
        run(Command::new("cp").arg("-a").arg(&data).arg(&base))?;

        let (preload, writes, recorded) = (
            format!("LD_PRELOAD={}", shim.display()),
            format!("CROSSDOCK_WRITES={}", log.display()),
            format!("CROSSDOCK_DATA={}", data.display()),
        );
        let words = [
            "env",
            &preload,
            &writes,
            &recorded,
            &program("pg_ctl"),
            "-D",
            &text(&data),
            "-w",
            "-l",
            &text(&folder.join("server.log")),
            "start",
        ];
        fs::write(&log, []).map_err(|e| e.to_string())?;
        run(Command::new("chmod").arg("0666").arg(&log))?;
        owned(&words)?;
        let worked = work(&url, &log, epoch, &text(&bin.join("psql")));
        // Not in order: what matters is recorded by now, and each image has an end of its own.
        let stopped = pg_ctl(&["-m", "immediate", "stop"]);
        worked.map_err(|e| format!("{name}: {e}"))?;
        stopped?;
        let events = read(&fs::read(&log).map_err(|e| e.to_string())?, &text(&data))?;
        Ok(Self { _scratch: scratch, base, events, bin })
    }

    fn check(&self, seed: u64, images: u64, threads: usize) -> Result<Count, String> {
        let first = self.events.iter().position(|event| matches!(event, Event::Answer { .. })).ok_or("nothing was answered")?;
        let mut rng = Rng::named(seed, "power");
        let mut cuts: Vec<usize> = (0..images).map(|_| rng.between(first as u64..=self.events.len() as u64) as usize).collect();
        cuts.sort_unstable();
        let share = cuts.len().div_ceil(threads.max(1)).max(1);
        let total = Mutex::new(Ok(Count::default()));
        std::thread::scope(|scope| {
            for (thread, cuts) in cuts.chunks(share).enumerate() {
                let total = &total;
                scope.spawn(move || {
                    let counted = self.images(seed, thread * share, cuts);
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    match (&mut *total, counted) {
                        (Ok(total), Ok(count)) => total.join(count),
                        (total @ Ok(_), Err(reason)) => *total = Err(reason),
                        (Err(_), _) => {}
                    }
                });
            }
        });
        total.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plays the recording forward and builds an image at each of these instants.
    fn images(&self, seed: u64, from: usize, cuts: &[usize]) -> Result<Count, String> {
        let scratch = Scratch::new()?;
        let mut disk = Disk { base: &self.base, files: BTreeMap::new(), gone: BTreeSet::new() };
        let (mut count, mut at, mut answered) = (Count::default(), 0, HashMap::new());
        for (place, cut) in cuts.iter().enumerate() {
            for event in &self.events[at..*cut] {
                match event {
                    Event::Answer { order, version } => {
                        answered.insert(*order, *version);
                    }
                    event => disk.take(event)?,
                }
            }
            at = *cut;
            let image = scratch.path().join("image");
            let mut rng = Rng::named(seed, &format!("image-{}", from + place));
            disk.write(&image, &mut rng)?;
            count.images += 1;
            match self.recover(&image)? {
                None => count.corrupt += 1,
                Some(found) => {
                    count.halves += u64::from(found.wrong > 0);
                    let lost =
                        answered.iter().filter(|(order, version)| found.versions.get(order).is_none_or(|v| v < version)).count();
                    count.losing += u64::from(lost > 0);
                    count.worst = count.worst.max(lost as u64);
                }
            }
        }
        Ok(count)
    }

    /// Has the server recover an image, and asks what is in it; `None` when it cannot.
    fn recover(&self, image: &Path) -> Result<Option<Found>, String> {
        give(image)?;
        run(Command::new("chmod").arg("0700").arg(image))?;
        let (program, image) = (self.bin.join("postgres").to_string_lossy().into_owned(), image.to_string_lossy().into_owned());
        // The image is thrown away: nothing of its recovery has to last.
        let words = as_owner(&[&program, "--single", "-D", &image, "-c", "fsync=off", "-c", "shared_buffers=8MB", "postgres"]);
        let mut server = Command::new(&words[0])
            .args(&words[1..])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("the server does not start: {e}"))?;
        if let Some(mut input) = server.stdin.take() {
            // A server that could not recover has gone, and reads nothing.
            let _ = input.write_all(QUESTIONS.as_bytes());
        }
        let said = server.wait_with_output().map_err(|e| format!("the server does not end: {e}"))?;
        Ok(Found::read(&String::from_utf8_lossy(&said.stdout)))
    }
}

/// One a line, as a server without clients reads them. The last answer says that all were answered.
const QUESTIONS: &str = "\
SELECT 'order' AS what, k.key AS key, coalesce(s.version, 0) AS version FROM crossdock.process_key k LEFT JOIN crossdock.process_state s ON s.no = k.no;
SELECT 'wrong' AS what, count(*) AS count FROM crossdock.process_state s LEFT JOIN crossdock.journal j ON j.seq = s.journal WHERE j.seq IS NULL OR j.version <> s.version;
SELECT 'wrong' AS what, count(*) AS count FROM crossdock.pending w LEFT JOIN crossdock.inbox i ON i.id = w.id WHERE i.id IS NULL;
SELECT 'wrong' AS what, count(*) AS count FROM crossdock.lease l JOIN (SELECT partition, max(seq) AS seq FROM crossdock.journal GROUP BY partition) e ON e.partition = l.partition JOIN crossdock.journal j ON j.seq = e.seq WHERE j.hash <> l.head;
SELECT 'end' AS what;
";

#[derive(Default)]
struct Found {
    versions: HashMap<u64, u64>,
    wrong: u64,
}

impl Found {
    fn read(said: &str) -> Option<Self> {
        let value = |line: &str| line.split('"').nth(1).map(str::to_owned);
        let values: Vec<String> = said.lines().filter(|line| line.contains(" = \"")).filter_map(value).collect();
        let mut values = values.iter();
        let mut found = Self::default();
        while let Some(what) = values.next() {
            match what.as_str() {
                "order" => {
                    let order = values.next()?.rsplit('/').next()?.parse().ok()?;
                    found.versions.insert(order, values.next()?.parse().ok()?);
                }
                "wrong" => found.wrong += values.next()?.parse::<u64>().ok()?,
                "end" => return Some(found),
                _ => return None,
            }
        }
        None
    }
}

/// What a disk holds for sure, and what it may hold beside that.
struct Disk<'r> {
    base: &'r Path,
    files: BTreeMap<String, Kept<'r>>,
    gone: BTreeSet<String>,
}

#[derive(Default)]
struct Kept<'r> {
    synced: Vec<u8>,
    since: Vec<&'r Event>,
}

impl<'r> Disk<'r> {
    fn take(&mut self, event: &'r Event) -> Result<(), String> {
        match event {
            Event::Write { name, .. } | Event::Truncate { name, .. } => self.file(name).since.push(event),
            Event::Sync { name } => {
                if !self.base.join(name).is_dir() {
                    let kept = self.file(name);
                    for event in std::mem::take(&mut kept.since) {
                        apply(&mut kept.synced, event, None);
                    }
                }
            }
            Event::Unlink { name } => {
                self.files.remove(name);
                self.gone.insert(name.clone());
            }
            Event::Rename { from, to } => {
                self.file(from);
                if let Some(kept) = self.files.remove(from) {
                    self.files.insert(to.clone(), kept);
                }
                self.gone.insert(from.clone());
                self.gone.remove(to);
            }
            Event::Answer { .. } => {}
        }
        Ok(())
    }

    fn file(&mut self, name: &str) -> &mut Kept<'r> {
        let fresh = self.gone.remove(name);
        let base = self.base;
        self.files.entry(name.to_owned()).or_insert_with(|| {
            let synced = if fresh { Vec::new() } else { fs::read(base.join(name)).unwrap_or_default() };
            Kept { synced, since: Vec::new() }
        })
    }

    fn write(&self, image: &Path, rng: &mut Rng) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("the image cannot be written: {e}");
        if image.exists() {
            fs::remove_dir_all(image).map_err(failed)?;
        }
        run(Command::new("cp").arg("-a").arg(self.base).arg(image))?;
        for name in &self.gone {
            let _ = fs::remove_file(image.join(name));
        }
        let mode = rng.between(0..=2);
        for (name, kept) in &self.files {
            let mut bytes = kept.synced.clone();
            let upto = if mode == 1 { rng.between(0..=kept.since.len() as u64) as usize } else { kept.since.len() };
            for event in kept.since.iter().take(if mode == 0 { 0 } else { upto }) {
                if mode == 2 && rng.between(0..=1) == 0 {
                    continue;
                }
                // A write is torn between sectors.
                let torn = (rng.between(1..=10) == 1).then(|| rng.between(0..=16) as usize * 512);
                apply(&mut bytes, event, torn);
            }
            let path = image.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(failed)?;
            }
            fs::write(&path, bytes).map_err(failed)?;
        }
        Ok(())
    }
}

/// `torn`: only so many bytes of a write.
fn apply(file: &mut Vec<u8>, event: &Event, torn: Option<usize>) {
    match event {
        Event::Write { offset, bytes, .. } => {
            let bytes = &bytes[..torn.unwrap_or(bytes.len()).min(bytes.len())];
            if file.len() < offset + bytes.len() {
                file.resize(offset + bytes.len(), 0);
            }
            file[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        Event::Truncate { length, .. } => file.resize(*length, 0),
        _ => {}
    }
}

fn open(url: &str) -> Result<PostgresStore, String> {
    // The controls have settings that a hub refuses.
    let options = PostgresOptions {
        readers: 1,
        unchecked: true,
        answer_within: std::time::Duration::from_secs(30),
        commit_within: std::time::Duration::from_secs(30),
        ..PostgresOptions::new(url, KeySource::Given([5; 32]))
    };
    PostgresStore::open(&options).map_err(|e| e.to_string())
}

/// Orders by several lanes at once; each answer is appended to the log when it has come.
fn work(url: &str, log: &Path, epoch: u64, psql: &str) -> Result<(), String> {
    let store = open(url)?;
    let answers = fs::OpenOptions::new().append(true).open(log).map_err(|e| e.to_string())?;
    let lane = |lane: u64| -> Result<(), String> {
        for order in (1..=ORDERS).filter(|order| order % LANES == lane) {
            let accepted = wait(store.accept(vec![placed(order)], None)).map_err(|e| e.to_string())?;
            note(&answers, order, 0)?;
            for version in 0..STEPS {
                let settles = match accepted.first() {
                    Some(Accepted::Stored(row)) if version == 0 => Some(*row),
                    _ => None,
                };
                let step = Transition { settles, ..step(order, version, epoch) };
                wait(store.commit(step)).map_err(|e| e.to_string())?;
                note(&answers, order, version + 1)?;
            }
            if lane == 0 && (order / LANES).is_multiple_of(CHECKPOINT_EVERY) {
                run(Command::new(psql).args(["-X", "-q", "-c", "CHECKPOINT", url]))?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|n| scope.spawn(move || lane(n))).collect();
        lanes.into_iter().try_for_each(|lane| lane.join().unwrap_or_else(|_| Err("a lane panicked".into())))
    })
}

/// As the shim writes: a letter, lengths and numbers, and nothing behind them.
fn note(mut log: &fs::File, order: u64, version: u64) -> Result<(), String> {
    let mut record = vec![b'A'];
    record.extend(0_u32.to_le_bytes());
    record.extend((order << 8 | version).to_le_bytes());
    record.extend(0_u64.to_le_bytes());
    log.write_all(&record).map_err(|e| e.to_string())
}

fn read(log: &[u8], data: &str) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    let mut rest = log;
    while !rest.is_empty() {
        let record = (|| {
            let (what, after) = rest.split_first()?;
            let (name, after) = after.split_first_chunk::<4>()?;
            let (offset, after) = after.split_first_chunk::<8>()?;
            let (length, after) = after.split_first_chunk::<8>()?;
            let (name, after) = after.split_at_checked(u32::from_le_bytes(*name) as usize)?;
            let number = u64::from_le_bytes(*offset);
            let has_bytes = matches!(what, b'W' | b'R');
            let (bytes, after) = after.split_at_checked(if has_bytes { u64::from_le_bytes(*length) as usize } else { 0 })?;
            rest = after;
            Some((*what, String::from_utf8_lossy(name).into_owned(), number, bytes))
        })();
        let Some((what, name, number, bytes)) = record else { return Err("the recording ends in the middle of a record".into()) };
        let below = |name: &str| name.strip_prefix(data).unwrap_or(name).trim_start_matches('/').to_owned();
        let name = below(&name);
        events.push(match what {
            b'W' => Event::Write { name, offset: number as usize, bytes: bytes.to_vec() },
            b'T' => Event::Truncate { name, length: number as usize },
            b'F' => Event::Sync { name },
            b'U' => Event::Unlink { name },
            b'R' => Event::Rename { from: name, to: below(&String::from_utf8_lossy(bytes)) },
            b'A' => Event::Answer { order: number >> 8, version: number & 0xFF },
            other => return Err(format!("the recording has a record {:?}", char::from(other))),
        });
    }
    Ok(events)
}

fn key(order: u64) -> ProcessKey {
    ProcessKey::new("order", &format!("sfcc/RefArch-DE/{order}"))
}

fn placed(order: u64) -> Intake {
    Intake {
        to: Addressee::Process(key(order)),
        source: SystemName::new("storefront"),
        message_id: Some(format!("evt-{order}").into()),
        kind: "order.placed".into(),
        actor: "system:storefront".into(),
        body: vec![b'x'; 2_000].into(),
        subject: format!("guest:{order}").into(),
        at: Timestamp(1_000),
        starts: true,
    }
}

fn step(order: u64, version: u64, epoch: u64) -> Transition {
    let summary = SummaryRow { status: "open".into(), number: order.to_string().into(), ..SummaryRow::default() };
    Transition {
        id: TransitionId(order << 8 | version),
        process: key(order),
        version,
        epoch,
        at: Timestamp(2_000),
        actor: "system:storefront".into(),
        action: "fold order.placed".into(),
        settles: None,
        record: Some(b"{\"events\":[]}".to_vec()),
        row: ProcessRow {
            state: vec![b'{', b'}'].into(),
            schema: 1,
            logic: 1,
            policy: "policy-1".into(),
            document: None,
            subject: format!("guest:{order}").into(),
            priority: Priority::Standard,
            opened_at: Timestamp(1_000),
            summary,
        },
        effects: Vec::new(),
        timers: vec![("hold".into(), Some(Timestamp(5_000)))],
        exceptions: Vec::new(),
        messages: Vec::new(),
        identities: Vec::new(),
        payloads: Vec::new(),
    }
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.verdict == "good"
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, images, seconds, writes, syncs, answers, .. } = self;
        writeln!(
            f,
            "{images} images of seed {seed} in {seconds:.0} s; recorded {writes} writes, {syncs} syncs, {answers} answers"
        )?;
        writeln!(f, "{:<32}{:>9}{:>9}{:>9}{:>9}{:>9}", "", "images", "corrupt", "halves", "losing", "worst")?;
        let rows = [
            ("full", self.full),
            ("control fsync = off", self.no_fsync),
            ("control synchronous_commit = off", self.no_synchronous_commit),
        ];
        for (name, Count { images, corrupt, halves, losing, worst }) in rows {
            writeln!(f, "{name:<32}{images:>9}{corrupt:>9}{halves:>9}{losing:>9}{worst:>9}")?;
        }
        writeln!(f, "{}", self.verdict)
    }
}
