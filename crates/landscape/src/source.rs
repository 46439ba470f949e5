//! The files of a landscape as text, and places in them.
//!
//! Everything is read once into memory; what comes after is a pure function of it. Only `Folder::read` touches the disk.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// A landscape is written by hand: a file beyond this is not one.
const FILE_BYTES_MAX: u64 = 1 << 20;
const FILES_MAX: usize = 2_000;

/// The files of a landscape by their path from its root, with `/` between the parts.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    pub(crate) files: BTreeMap<String, String>,
    /// Files that could not be taken, and why.
    pub(crate) refused: BTreeMap<String, String>,
}

/// A file of the landscape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(pub u32);

/// A stretch of a file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spot {
    pub file: FileId,
    pub start: usize,
    pub end: usize,
}

impl Folder {
    /// Reads the folder, one level of subfolders deep. Hidden files and Markdown pages are no part of a landscape.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut folder = Self::default();
        folder.read_level(root, "", true)?;
        Ok(folder)
    }

    /// A landscape that is not on disk: `(path from its root, text)`.
    pub fn from_files<P: Into<String>, T: Into<String>>(files: impl IntoIterator<Item = (P, T)>) -> Self {
        let files = files.into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        Self { files, refused: BTreeMap::new() }
    }

    /// The files by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    fn read_level(&mut self, level: &Path, prefix: &str, descend: bool) -> io::Result<()> {
        let mut entries: Vec<PathBuf> = fs::read_dir(level)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<_>>()?;
        entries.sort();
        for path in entries {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let place = format!("{prefix}{name}");
            if name.starts_with('.') || name.ends_with(".md") {
                continue;
            }
            if self.files.len() + self.refused.len() >= FILES_MAX {
                self.refused.insert(place, format!("a landscape has at most {FILES_MAX} files"));
                return Ok(());
            }
            let about = fs::metadata(&path)?;
            if about.is_dir() && descend {
                self.read_level(&path, &format!("{place}/"), false)?;
            } else if about.is_dir() {
                self.refused.insert(place, "folders within the folders of a landscape are not read".into());
            } else if about.len() > FILE_BYTES_MAX {
                self.refused.insert(place, format!("the file is larger than {FILE_BYTES_MAX} bytes"));
            } else {
                match String::from_utf8(fs::read(&path)?) {
                    Ok(text) => drop(self.files.insert(place, text)),
                    Err(_) => drop(self.refused.insert(place, "the file is not UTF-8 text".into())),
                }
            }
        }
        Ok(())
    }
}

/// Line and column of a byte, both from 1; columns count characters.
pub(crate) fn line_column(text: &str, byte: usize) -> (usize, usize) {
    let mut end = byte.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
