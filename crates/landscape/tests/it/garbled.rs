//! A landscape is typed by people: whatever they do to it, the loader answers with a landscape or with faults, and never panics.

use crate::root;
use crossdock_landscape::{Folder, Known, Landscape};
use proptest::prelude::*;

/// One slip of the hand. The numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Slip {
    DeleteLine(usize),
    DoubleLine(usize),
    SwapLines(usize, usize),
    Indent(usize, usize),
    /// Puts a text into a line at a character.
    Insert(usize, usize, &'static str),
    DeleteChar(usize, usize),
    CutFile(usize),
}

const SCRAPS: &[&str] = &[
    ":",
    "- ",
    "#",
    "'",
    "\"",
    "|",
    ">",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "%",
    "@",
    "`",
    "\t",
    "\u{0}",
    "\u{feff}",
    "ü",
    "日本",
    "🦀",
    "${env:",
    "null",
    "~",
    "1e999",
    ".inf",
    "0x1F",
    "99999999999999999999999999999999999",
    "? ",
    "---\n",
    "...\n",
    "\r\n",
    "(",
    ")",
    "..",
    "$x",
    "|=",
    "def f: f; f",
    "if",
    "reduce",
    "\\(",
    "\\u00",
    "éé.",
    "a: b: c",
    "- - - -",
    "\u{2028}",
    "sk_live_x",
    "0 0 31 2 *",
    "L",
    "1/0",
];

fn slip() -> impl Strategy<Value = Slip> {
    let n = 0..10_000_usize;
    prop_oneof![
        n.clone().prop_map(Slip::DeleteLine),
        n.clone().prop_map(Slip::DoubleLine),
        (n.clone(), n.clone()).prop_map(|(a, b)| Slip::SwapLines(a, b)),
        (n.clone(), 0..9_usize).prop_map(|(line, by)| Slip::Indent(line, by)),
        (n.clone(), n.clone(), prop::sample::select(SCRAPS)).prop_map(|(line, at, text)| Slip::Insert(line, at, text)),
        (n.clone(), n.clone()).prop_map(|(line, at)| Slip::DeleteChar(line, at)),
        n.prop_map(Slip::CutFile),
    ]
}

fn apply(text: &str, slip: &Slip) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let count = lines.len().max(1);
    if lines.is_empty() {
        lines.push(String::new());
    }
    let nth = |line: &str, at: usize| line.char_indices().map(|(n, _)| n).nth(at % line.chars().count().max(1)).unwrap_or(0);
    match slip {
        Slip::DeleteLine(n) => drop(lines.remove(n % count)),
        Slip::DoubleLine(n) => lines.insert(n % count, lines[n % count].clone()),
        Slip::SwapLines(a, b) => lines.swap(a % count, b % count),
        Slip::Indent(n, by) => lines[n % count].insert_str(0, &" ".repeat(*by)),
        Slip::Insert(n, at, text) => {
            let line = &mut lines[n % count];
            let at = nth(line, *at);
            line.insert_str(at, text);
        }
        Slip::DeleteChar(n, at) => {
            let line = &mut lines[n % count];
            if !line.is_empty() {
                let at = nth(line, *at);
                line.remove(at);
            }
        }
        Slip::CutFile(at) => {
            let text = lines.join("\n");
            let at = nth(&text, *at);
            return text[..at].to_owned();
        }
    }
    lines.join("\n") + "\n"
}

fn demo() -> Vec<(String, String)> {
    let folder = Folder::read(&root("landscapes/demo")).expect("it is there");
    folder.files().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_garbled_landscape_gives_faults_and_no_panic(slips in prop::collection::vec((0..1000_usize, slip()), 1..6)) {
        let mut files = demo();
        let count = files.len();
        for (file, slip) in &slips {
            let text = &mut files[file % count].1;
            *text = apply(text, slip);
        }
        let texts: std::collections::BTreeMap<String, String> = files.iter().cloned().collect();
        if let Err(report) = Landscape::from_folder(&Folder::from_files(files), &Known::ANYTHING) {
            prop_assert!(!report.is_clean());
            for fault in report.faults() {
                let lines = texts.get(&fault.file).map_or(1, |text| text.split('\n').count());
                prop_assert!((1..=lines).contains(&fault.line), "{fault}");
            }
            prop_assert!(report.render(false).contains("error["));
            prop_assert!(report.to_json().starts_with('['));
        }
    }
}
