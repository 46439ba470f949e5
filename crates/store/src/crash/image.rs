//! Builds what a disk may hold after the power failed, and judges what a store makes of it.

use super::{
    record::{Event, Log},
    rng::Rng,
    workload::{FILE, KEY, key},
};
use crate::{AuditVerdict, Durability, Options, ReadStore, SqliteStore, StoreError, conformance::wait, effects};
use rusqlite::Connection;
use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    ops::Range,
    path::Path,
    sync::Arc,
};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What a campaign found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub images: u64,
    /// Images that do not open, or whose integrity or audit chain is broken.
    pub corrupt: u64,
    /// Images that hold half a transaction.
    pub halves: u64,
    /// Images that lost something that was answered.
    pub losing: u64,
    /// Most answers that one image lost.
    pub worst: u64,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        self.images > 0 && self.corrupt == 0 && self.halves == 0 && self.losing == 0
    }
}

/// Builds and checks the images of these numbers, in a scratch folder (one in memory is fastest). The same seed and number give the
/// same image, so a campaign can stop and go on.
pub fn campaign(log: &Log, seed: u64, images: Range<u64>, scratch: &Path) -> io::Result<Verdict> {
    fs::create_dir_all(scratch)?;
    // In the order of their instants, so that the log is played once.
    let mut cuts: Vec<(usize, u64)> = images.map(|image| (Rng::new(seed, image).below(log.len()) + 1, image)).collect();
    cuts.sort_unstable();
    let mut disk = Disk::default();
    let mut played = 0;
    let mut verdict = Verdict::default();
    for (cut, image) in cuts {
        for event in &log.events[played..cut] {
            disk.play(event);
        }
        played = cut;
        for entry in fs::read_dir(scratch)? {
            fs::remove_file(entry?.path())?;
        }
        disk.write_image(&mut Rng::new(seed, !image), scratch)?;
        verdict.images += 1;
        match judge(scratch, &disk.answered) {
            Ok(judged) => {
                verdict.halves += u64::from(judged.half);
                verdict.losing += u64::from(judged.lost > 0);
                verdict.worst = verdict.worst.max(judged.lost);
            }
            Err(_) => verdict.corrupt += 1,
        }
    }
    fs::remove_dir_all(scratch)?;
    Ok(verdict)
}

/// The disk at one instant.
#[derive(Default)]
struct Disk {
    files: BTreeMap<Arc<str>, File>,
    /// The version each order was answered to have.
    answered: HashMap<u32, u64>,
}

#[derive(Default)]
struct File {
    /// What is certain.
    synced: Vec<u8>,
    /// What may or may not have reached the disk since.
    pending: Vec<Event>,
}

impl Disk {
    fn play(&mut self, event: &Event) {
        match event {
            Event::Write { file, .. } | Event::Truncate { file, .. } => {
                self.files.entry(Arc::clone(file)).or_default().pending.push(event.clone());
            }
            Event::Sync { file } => {
                let file = self.files.entry(Arc::clone(file)).or_default();
                for event in std::mem::take(&mut file.pending) {
                    apply(&mut file.synced, &event, usize::MAX);
                }
            }
            Event::Delete { file } => {
                self.files.remove(file);
            }
            Event::Answered { order, version } => {
                self.answered.insert(*order, *version);
            }
        }
    }

    fn write_image(&self, rng: &mut Rng, folder: &Path) -> io::Result<()> {
        for (name, file) in &self.files {
            let mut bytes = file.synced.clone();
            let count = file.pending.len();
            // Nothing of it, all up to some point, or any of it in any order: each a third of the time.
            let way = rng.below(3);
            let upto = rng.below(count + 1);
            for (at, event) in file.pending.iter().enumerate() {
                let kept = match way {
                    0 => false,
                    1 => at < upto,
                    _ => rng.one_in(2),
                };
                if kept {
                    let torn = if rng.one_in(10) { rng.below(8) * SECTOR } else { usize::MAX };
                    apply(&mut bytes, event, torn);
                }
            }
            fs::write(folder.join(&**name), bytes)?;
        }
        Ok(())
    }
}

/// Makes a change, of a write only its first `bytes_max`.
fn apply(bytes: &mut Vec<u8>, event: &Event, bytes_max: usize) {
    match event {
        Event::Write { offset, bytes: new, .. } => {
            let start = usize::try_from(*offset).unwrap_or(usize::MAX);
            let new = &new[..new.len().min(bytes_max)];
            if bytes.len() < start + new.len() {
                bytes.resize(start + new.len(), 0);
            }
            bytes[start..start + new.len()].copy_from_slice(new);
        }
        Event::Truncate { size, .. } => bytes.resize(usize::try_from(*size).unwrap_or(usize::MAX), 0),
        Event::Sync { .. } | Event::Delete { .. } | Event::Answered { .. } => {}
    }
}

struct Judged {
    half: bool,
    lost: u64,
}

/// Opens an image as a hub would, and looks. An error means that it is corrupt.
fn judge(folder: &Path, answered: &HashMap<u32, u64>) -> Result<Judged, StoreError> {
    let path = folder.join(FILE);
    let options = Options { durability: Durability::Off, key: KEY, readers: 1, cache_mib: 2, ..Options::new(&path) };
    let store = SqliteStore::open(&Options { on_fatal: Arc::new(|_| ()), ..options })?;
    if !matches!(wait(store.verify_audit())?, AuditVerdict::Intact { .. }) {
        return Err(StoreError::Damaged("audit".into()));
    }
    let conn = Connection::open(&path)?;
    let integrity: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if integrity != "ok" {
        return Err(StoreError::Damaged(integrity));
    }
    // Everything that a transition writes once must be there as often as its process has had transitions.
    let mut halves: i64 = conn.query_row(
        "SELECT count(*) FROM process_state s WHERE version <> (SELECT count(*) FROM open_effect WHERE process_no = s.no)
            OR version <> (SELECT count(*) FROM timer WHERE process_no = s.no)
            OR version <> (SELECT count(*) FROM payload WHERE process_no = s.no)
            OR version <> (SELECT count(*) FROM journal WHERE process_no = s.no)
            OR s.no IN (SELECT id FROM pending)",
        [],
        |row| row.get(0),
    )?;
    let mut packed = conn.prepare("SELECT version, effects FROM process_state")?;
    let mut packed = packed.query([])?;
    while let Some(row) = packed.next()? {
        let effects = effects::unpack(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
        let effects = effects.map_err(|fault| StoreError::Damaged(fault.to_string()))?;
        halves += i64::from(effects.len() as i64 != row.get::<_, i64>(0)?);
    }
    // An accepted order waits, or has begun.
    let mut held = conn.prepare(
        "SELECT k.key, s.version FROM process_key k LEFT JOIN process_state s ON s.no = k.no
         WHERE s.no IS NOT NULL OR k.no IN (SELECT w.id FROM pending w JOIN inbox i ON i.id = w.id)",
    )?;
    let held: HashMap<String, u64> = held
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.map_or(0, i64::cast_unsigned))))?
        .collect::<Result<_, _>>()?;
    let lost = answered
        .iter()
        .map(|(order, version)| match held.get(&*key(*order).key) {
            Some(there) => version.saturating_sub(*there),
            None => version + 1,
        })
        .sum();
    Ok(Judged { half: halves > 0, lost })
}
