//! The filters a program may use: what is kept of jaq's library, what is added, what is refused.
//!
//! Definitions are handed to the compiler only if the program reaches them. jaq compiles all it is
//! given into each program, and a landscape holds hundreds of programs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jaq_core::load::parse::{Def, Term};
use jaq_core::native::Fun;

use super::check::walk;
use super::program::Data;

/// A filter's name and number of arguments.
pub(super) type Signature<'a> = (&'a str, usize);

/// Definitions in jq, in order; a later one may call earlier ones.
pub(super) static DEFINITIONS: LazyLock<Vec<Def<&'static str>>> = LazyLock::new(|| {
    let own = jaq_core::load::parse(OWN, |parser| parser.defs()).expect("the library is valid jq");
    let natives: BTreeSet<_> = super::builtins::all().map(|(name, args, _)| (name, args.len())).collect();
    let own_names: BTreeSet<_> = own.iter().map(signature).collect();
    let kept = jaq_core::defs().chain(jaq_std::defs()).filter(|def| {
        let signature = signature(def);
        !natives.contains(&signature) && !own_names.contains(&signature) && reason(signature).is_none()
    });
    kept.chain(own).collect()
});

/// What jaq leaves to the author of the value type.
const OWN: &str = r#"
def recurse: ..;
def in(xs): . as $x | xs | has($x);
def inside(xs): . as $x | xs | contains($x);
def index($i): indices($i) | first;
def rindex($i): indices($i) | last;
def transpose: . as $rows | [range(0; [$rows[] | length] | max // 0) as $i | [$rows[] | .[$i]]];
def toarray: if type == "array" then . else [.] end;
def walk(f): .. |= f;
def del(f): delpaths([path(f)]);
def @json: tojson;
def cell_(text): if . == null then "" elif type == "string" then text elif . >= [] then error("a row holds plain values only") else tostring end;
def @csv: [.[] | cell_("\"" + (split("\"") | join("\"\"")) + "\"")] | join(",");
def @tsv: [.[] | cell_(split("\\") | join("\\\\") | split("\t") | join("\\t") | split("\n") | join("\\n") | split("\r") | join("\\r"))] | join("\t");
"#;

/// Filters of jaq in Rust that are kept. Whatever is not listed does not exist; a new release of
/// jaq cannot widen the world a program sees.
const KEPT: &[&str] = &[
    "error_empty",
    "path",
    "path_value",
    "range",
    "keys_unsorted",
    "key_values",
    "first",
    "last",
    "limit",
    "skip",
    "utf8bytelength",
    "explode",
    "implode",
    "ascii_downcase",
    "ascii_upcase",
    "reverse",
    "sort",
    "sort_by",
    "group_by",
    "min_by_or_empty",
    "max_by_or_empty",
    "startswith",
    "endswith",
    "ltrimstr",
    "rtrimstr",
    "trim",
    "ltrim",
    "rtrim",
    "escape_sh",
    "escape_html",
    "unescape_html",
    "encode_uri",
    "decode_uri",
    "encode_base64",
    "decode_base64",
    "matches",
    "split_matches",
    "split_",
];

/// Filters written in Rust.
pub(super) fn natives() -> impl Iterator<Item = Fun<Data>> {
    let kept = jaq_core::funs().chain(jaq_std::funs()).filter(|(name, ..)| KEPT.contains(name));
    super::builtins::all().chain(kept)
}

pub(super) fn signature<'a>(def: &Def<&'a str>) -> Signature<'a> {
    (def.name, def.args.len())
}

/// Every filter that can be called, for hints.
pub(super) static NAMES: LazyLock<BTreeSet<Signature<'static>>> = LazyLock::new(|| {
    let natives = natives().map(|(name, args, _)| (name, args.len()));
    natives.chain(DEFINITIONS.iter().map(signature)).filter(|(name, _)| !is_internal(name)).collect()
});

/// Filters that exist for the definitions only.
const INTERNAL: &[&str] = &[
    "error_empty",
    "path_value",
    "key_values",
    "min_by_or_empty",
    "max_by_or_empty",
    "matches",
    "split_matches",
    "split_",
    "capture_of_match",
    "cell_",
    "scan_",
    "escape_sh",
    "escape_html",
    "unescape_html",
    "encode_uri",
    "decode_uri",
    "encode_base64",
    "decode_base64",
];

/// Whether a filter is there for the definitions only, not for programs.
pub(super) fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

/// The definitions that a program reaches, in their order.
pub(super) fn reached(program: &Term<&str>) -> Vec<Def<&'static str>> {
    let mut wanted: BTreeSet<(String, usize)> = called(program);
    let mut open: Vec<_> = wanted.iter().cloned().collect();
    while let Some((name, arity)) = open.pop() {
        for next in CALLS.get(&(name.as_str(), arity)).into_iter().flatten() {
            if wanted.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    let is_wanted = |def: &&Def<&'static str>| wanted.contains(&(def.name.to_owned(), def.args.len()));
    DEFINITIONS.iter().filter(is_wanted).cloned().collect()
}

/// What each definition calls.
static CALLS: LazyLock<BTreeMap<Signature<'static>, BTreeSet<(String, usize)>>> =
    LazyLock::new(|| DEFINITIONS.iter().map(|def| (signature(def), called(&def.body))).collect());

fn called(term: &Term<&str>) -> BTreeSet<(String, usize)> {
    let mut names = BTreeSet::new();
    walk(term, &mut |term| match term {
        Term::Call(name, args) => {
            names.insert(((*name).to_owned(), args.len()));
        }
        Term::Str(Some(format), _) => {
            names.insert(((*format).to_owned(), 0));
        }
        _ => {}
    });
    names
}

/// Why a filter that jq knows is not to be had here.
pub(super) fn reason((name, arity): Signature) -> Option<&'static str> {
    Some(match (name, arity) {
        ("env" | "$ENV", _) => "a program sees only its input and its variables, not the environment",
        ("input" | "inputs" | "input_filename" | "input_line_number" | "$__loc__", _) => "a program has one input, which is `.`",
        ("halt" | "halt_error", _) => "a program cannot end the hub; use error(...)",
        ("debug" | "stderr" | "debug_empty" | "stderr_empty" | "log", _) => "a program writes nothing but its output",
        ("now" | "localtime" | "strflocaltime" | "gmtime" | "mktime" | "strptime" | "strftime", _) => {
            "a program has no clock and no time zone; instants are UTC text and can be sliced and compared"
        }
        ("todateiso8601" | "fromdateiso8601" | "fromdate" | "dateadd" | "datesub" | "date" | "todate", _) => {
            "instants are UTC text and can be sliced and compared"
        }
        ("recurse", 1 | 2) | ("repeat" | "while" | "until" | "combinations", _) => {
            "it may never end; use `..`, map, reduce, foreach or limit(n; range(...))"
        }
        ("nan" | "infinite" | "isnan" | "isinfinite" | "isfinite" | "isnormal" | "normals" | "finites", 0) => {
            "numbers are exact decimals; there is no infinity and no not-a-number"
        }
        (
            "sqrt" | "pow" | "pow10" | "exp" | "exp2" | "exp10" | "log2" | "log10" | "logb" | "significand" | "drem"
            | "nexttoward" | "scalb" | "scalbln" | "gamma" | "sin" | "cos" | "tan" | "atan" | "cbrt" | "fabs" | "rint"
            | "nearbyint",
            _,
        ) => "it needs floating point; numbers are exact decimals",
        ("import" | "include" | "module", _) => "a program is one expression; it loads no files",
        _ => return None,
    })
}
