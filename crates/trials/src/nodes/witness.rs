//! What ledgers cannot witness: what somebody of one site is shown while nodes come and go (I13), and what the nodes take of the machine
//! and the queue (I11, told and not judged: nothing here comes near a cap).

use super::site::Site;
use crossdock_canonical::Duration;
use crossdock_connect::http::{Method, Request};
use crossdock_engine::shell::client::Client;
use serde::{Deserialize, Serialize};
use std::{fmt, fs};

/// As the key is bound to it.
pub(super) const CHANNEL: &str = "sfcc";
pub(super) const ONE_SITE: &str = "RefArch-DE";
const PATIENCE: Duration = Duration::seconds(2);
const TOLD_MAX: usize = 10;

/// All looks together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Pages of processes shown to a key of one site, and the rows on them.
    pub pages: u64,
    pub rows: u64,
    /// Rows of other sites.
    pub foreign: Vec<String>,
    /// The most that one node held at once: resident memory and open files.
    pub memory_kb_most: u64,
    pub files_most: u64,
    /// The most messages that waited to be folded.
    pub inbox_most: u64,
}

pub(super) struct Witness {
    key: String,
    client: Client,
    pub seen: Seen,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    channel: String,
    site: String,
}

impl Witness {
    /// With a key that is bound to the one site.
    pub fn new(key: String) -> Self {
        Self { key, client: Client::new(4 << 20), seen: Seen::default() }
    }

    /// Looks at every node that is well.
    pub async fn look(&mut self, site: &Site) -> Result<(), String> {
        self.seen.inbox_most = self.seen.inbox_most.max(site.number("SELECT count(*) FROM crossdock.pending").await?);
        for node in site.nodes.iter().filter(|node| node.well) {
            let pid = node.pid()?;
            self.seen.memory_kb_most = self.seen.memory_kb_most.max(resident_kb(pid));
            let files = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count) as u64;
            self.seen.files_most = self.seen.files_most.max(files);
            let request = Request::new(Method::Get, "/process/v1/processes?limit=200")
                .header("authorization", format!("Bearer {}", self.key));
            let answer = self.client.raw(&format!("http://{}", node.address), request, PATIENCE).await;
            // A node that has just come back may have no database yet; then it shows nothing.
            let Some(page) = answer.ok().filter(|answer| answer.is_success()) else { continue };
            let page: Page = serde_json::from_slice(&page.body).map_err(|e| format!("{} shows no processes: {e}", node.name))?;
            self.note(&page.items);
        }
        Ok(())
    }

    fn note(&mut self, rows: &[Row]) {
        self.seen.pages += 1;
        self.seen.rows += rows.len() as u64;
        let foreign = rows.iter().filter(|row| row.channel != CHANNEL || row.site != ONE_SITE);
        let room = TOLD_MAX.saturating_sub(self.seen.foreign.len());
        self.seen.foreign.extend(foreign.take(room).map(|row| format!("I13: {} is shown to a key of {ONE_SITE}", row.id)));
    }
}

impl Seen {
    /// The verdict on I13.
    pub(super) fn word(&self) -> &'static str {
        match (self.rows, self.foreign.is_empty()) {
            (0, _) => "not checked",
            (_, true) => "ok",
            (_, false) => "violated",
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.pages += other.pages;
        self.rows += other.rows;
        self.foreign.extend(other.foreign);
        self.memory_kb_most = self.memory_kb_most.max(other.memory_kb_most);
        self.files_most = self.files_most.max(other.files_most);
        self.inbox_most = self.inbox_most.max(other.inbox_most);
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pages, rows, memory_kb_most, files_most, inbox_most, .. } = self;
        writeln!(f, "I13: {rows} rows on {pages} pages shown to a key of one site, {} of other sites", self.foreign.len())?;
        let megabytes = memory_kb_most / 1_024;
        writeln!(f, "I11, not judged: {megabytes} MB and {files_most} files a node, {inbox_most} messages waiting, at most")
    }
}

fn resident_kb(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}
