//! Faults: what is wrong with a landscape, where, and what was probably meant.

use crate::source::{FileId, Spot, line_column};
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// One fault. `code` is stable; docs/landscape.md lists them all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Path from the landscape's root.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub code: &'static str,
    pub message: String,
    /// What would be valid, most often the nearest name.
    pub suggestion: Option<String>,
    #[serde(skip)]
    span: (usize, usize),
}

/// Everything that is wrong with a landscape, with the sources to show it in.
#[derive(Clone, Debug, Default)]
pub struct Report {
    faults: Vec<Fault>,
    /// Only the files with faults, literal secrets blotted out.
    sources: BTreeMap<String, String>,
}

/// Faults while they are collected, and the files they are in.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    list: Vec<Found>,
    files: Vec<(String, Arc<str>)>,
    /// Stretches that must not be shown.
    masks: Vec<Spot>,
}

/// One fault before its place is known in lines and columns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    spot: Spot,
    code: &'static str,
    message: String,
    suggestion: Option<String>,
}

impl Found {
    pub fn suggest(&mut self, suggestion: Option<impl Into<String>>) {
        self.suggestion = suggestion.map(Into::into);
    }
}

impl Faults {
    /// Takes a file up; its faults are added by the id.
    pub fn file(&mut self, path: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        let id = u32::try_from(self.files.len()).expect("a folder holds a bounded number of files");
        self.files.push((path.into(), text.into()));
        FileId(id)
    }

    /// The start of a file, for faults of the whole of it.
    pub fn head(file: FileId) -> Spot {
        Spot { file, start: 0, end: 0 }
    }

    pub fn text(&self, file: FileId) -> Arc<str> {
        self.files.get(file.0 as usize).map(|(_, text)| text.clone()).unwrap_or_default()
    }

    /// `path:line`, for messages that name another place.
    pub fn place(&self, spot: Spot) -> String {
        let path = self.files.get(spot.file.0 as usize).map_or("", |(path, _)| path);
        format!("{path}:{}", line_column(&self.text(spot.file), spot.start).0)
    }

    pub fn add(&mut self, spot: Spot, code: &'static str, message: impl Into<String>) -> &mut Found {
        self.list.push(Found { spot, code, message: message.into(), suggestion: None });
        self.list.last_mut().expect("it was just pushed")
    }

    pub fn mask(&mut self, spot: Spot) {
        self.masks.push(spot);
    }

    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Whether a fault begins at this place.
    pub fn has(&self, spot: Spot) -> bool {
        self.list.iter().any(|found| found.spot.file == spot.file && found.spot.start == spot.start)
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sorts by place and drops repeats: a shared policy is read once for each market that names it.
    pub fn into_report(mut self) -> Report {
        self.list.sort();
        self.list.dedup();
        let mut sources: BTreeMap<String, String> = BTreeMap::new();
        let mut faults = Vec::with_capacity(self.list.len());
        for found in self.list {
            let Some((file, text)) = self.files.get(found.spot.file.0 as usize).cloned() else { continue };
            let (line, column) = line_column(&text, found.spot.start);
            sources.entry(file.clone()).or_insert_with(|| text.to_string());
            let span = (found.spot.start, found.spot.end);
            faults.push(Fault {
                file,
                line,
                column,
                code: found.code,
                message: found.message,
                suggestion: found.suggestion,
                span,
            });
        }
        for spot in self.masks {
            let source = self.files.get(spot.file.0 as usize).and_then(|(file, _)| sources.get_mut(file));
            if let Some(text) = source {
                blot(text, spot.start, spot.end);
            }
        }
        Report { faults, sources }
    }
}

/// Replaces every character that is no white space, byte for byte, so that places stay what they are.
fn blot(text: &mut String, start: usize, end: usize) {
    let blotted: String = match text.get(start..end) {
        Some(secret) => {
            secret.chars().map(|c| if c.is_whitespace() { c.to_string() } else { "*".repeat(c.len_utf8()) }).collect()
        }
        None => return,
    };
    text.replace_range(start..end, &blotted);
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The faults drawn in their sources, as a compiler would.
    pub fn render(&self, colors: bool) -> String {
        let renderer = if colors { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for fault in &self.faults {
            let text = self.sources.get(&fault.file).map_or("", String::as_str);
            out.push_str(&draw(&renderer, fault, text));
            out.push_str("\n\n");
        }
        out
    }

    /// `[{file, line, column, code, message, suggestion}]`.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.faults).expect("a fault holds text and numbers only")
    }
}

fn draw(renderer: &Renderer, fault: &Fault, text: &str) -> String {
    let title = Level::ERROR.primary_title(fault.message.as_str()).id(fault.code);
    let (start, end) = bounds(text, fault.span);
    let group = if text.is_empty() {
        title.element(annotate_snippets::Origin::path(fault.file.as_str()))
    } else {
        let snippet = Snippet::source(text).path(fault.file.as_str()).fold(true);
        title.element(snippet.annotation(AnnotationKind::Primary.span(start..end)))
    };
    match &fault.suggestion {
        Some(suggestion) => renderer.render(&[group.element(Level::HELP.message(suggestion.as_str()))]),
        None => renderer.render(&[group]),
    }
}

/// The stretch cut to its first line and to whole characters: a fault of a whole section is shown at the section's head.
fn bounds(text: &str, (start, end): (usize, usize)) -> (usize, usize) {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(start);
    let line_end = text[start..].find('\n').map_or(text.len(), |n| start + n);
    let end = floor(end).clamp(start, line_end);
    (start, if end > start { end } else { floor(start + 1).max(start) })
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{} {} {}", self.file, self.line, self.column, self.code, self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, " ({suggestion})"),
            None => Ok(()),
        }
    }
}

/// One line for each fault.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
