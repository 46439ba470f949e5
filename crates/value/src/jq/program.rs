//! Compiling and running one program.

use std::fmt;
use std::sync::Arc;

use jaq_core::compile::Undefined;
use jaq_core::data::JustLut;
use jaq_core::load::{self, Arena, File, Lexer, Loader, Parser};
use jaq_core::{Compiler, Ctx, Vars};

use super::check;
use super::error::{CompileError, RunError};
use super::library::{self, Signature};
use super::meter::{self, Budget, Ended, Stop};
use super::reads::{self, Read};
use super::straight::{self, Straight};
use super::val::{Jq, check_output};
use crate::Value;

pub(super) type Data = JustLut<Jq>;

/// A compiled jq program. It can be shared between threads and run any number of times.
#[derive(Clone)]
pub struct Program {
    inner: Arc<Inner>,
}

struct Inner {
    source: String,
    filter: jaq_core::Filter<Data>,
    /// What it does, if that can be told without the interpreter.
    straight: Option<Straight>,
    variables: usize,
    reads: Vec<Read>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("Program").field(&self.inner.source).finish()
    }
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Program>();
};

impl Program {
    /// Compiles `source`, in which the variables `names` (with or without their `$`) are known.
    pub fn compile(source: &str, names: &[&str]) -> Result<Self, CompileError> {
        let names: Vec<String> = names.iter().map(|name| format!("${}", name.trim_start_matches('$'))).collect();
        let at = |(message, part): (String, &str)| CompileError { message, span: load::span(source, part), hint: None };

        check::source(source).map_err(at)?;
        let tokens = Lexer::new(source).lex().map_err(|errors| at(lex_finding(source, &errors)))?;
        check::tokens(&tokens).map_err(at)?;
        let term = Parser::new(&tokens).parse(|parser| parser.term());
        let term = term.map_err(|errors| at(parse_finding(source, &errors)))?;
        check::term(&term, source).map_err(at)?;

        let arena = Arena::default();
        let modules = Loader::new(library::reached(&term)).load(&arena, File { code: source, path: () });
        // The same text has just been parsed as a single term.
        let modules = modules.map_err(|_| at(("the program is not one expression".to_owned(), source)))?;
        let compiler = Compiler::default().with_funs(library::natives()).with_global_vars(names.iter().map(String::as_str));
        let filter = compiler.compile(modules).map_err(|errors| {
            let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
            first.map_or_else(
                || at(("the program does not compile".to_owned(), source)),
                |(name, kind)| undefined(source, name, &kind, &names),
            )
        })?;
        let reads = reads::of(&term, source);
        let straight = Straight::of(&term, &names);
        let inner = Inner { source: source.to_owned(), filter, straight, variables: names.len(), reads };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// The fields that the program reads from its input and its variables, as far as its text
    /// tells; each with the place that reads it.
    pub fn reads(&self) -> &[Read] {
        &self.inner.reads
    }

    /// Runs the program and returns its only output.
    pub fn run(&self, input: &Value, vars: &[Value], budget: &Budget) -> Result<Value, RunError> {
        let mut outputs = self.outputs(input, vars, budget, 2)?;
        match (outputs.pop(), outputs.is_empty()) {
            (Some(output), true) => Ok(output),
            (None, _) => Err(RunError::NoOutput),
            (Some(_), false) => Err(RunError::ManyOutputs),
        }
    }

    /// Runs the program and returns all its outputs.
    pub fn run_all(&self, input: &Value, vars: &[Value], budget: &Budget) -> Result<Vec<Value>, RunError> {
        self.outputs(input, vars, budget, usize::MAX)
    }

    /// Runs the program as a condition: its only output must be true or false.
    pub fn test(&self, input: &Value, vars: &[Value], budget: &Budget) -> Result<bool, RunError> {
        let output = self.run(input, vars, budget)?;
        output.as_bool().ok_or_else(|| RunError::Failed {
            message: format!("a condition must be true or false, this one is {}", output.kind()),
        })
    }

    fn outputs(&self, input: &Value, vars: &[Value], budget: &Budget, max: usize) -> Result<Vec<Value>, RunError> {
        let expected = self.inner.variables;
        if vars.len() != expected {
            return Err(RunError::Variables { expected, got: vars.len() });
        }
        match self.run_straight(input, vars, budget) {
            Some(output) => Ok(vec![output]),
            None => self.interpret(input, vars, budget, max),
        }
    }

    /// The short way, for a budget that could not matter to it; `None` when the interpreter is needed.
    pub(super) fn run_straight(&self, input: &Value, vars: &[Value], budget: &Budget) -> Option<Value> {
        let ample = budget.fuel >= straight::FUEL_AMPLE && budget.text_max >= check::SOURCE_MAX;
        let output = self.inner.straight.as_ref().filter(|_| ample)?.run(input, vars)?;
        fits(&output, &mut { budget.output_max }).then_some(output)
    }

    /// The long way: jaq, metered.
    pub(super) fn interpret(&self, input: &Value, vars: &[Value], budget: &Budget, max: usize) -> Result<Vec<Value>, RunError> {
        let ended = meter::within(budget, || {
            let vars = Vars::new(vars.iter().cloned().map(Jq::from_outside));
            let context = Ctx::<Data>::new(&self.inner.filter.lut, vars);
            let run = self.inner.filter.id.run((context, Jq::from_outside(input.clone())));
            let mut left = budget.output_max;
            let outputs = run.take(max).map(|output| match output {
                Ok(output) => {
                    check_output(output.value(), &mut left);
                    Ok(output.into_value())
                }
                Err(exception) => Err(match exception.get_err() {
                    Ok(error) => RunError::Failed { message: message(error.into_val().value()) },
                    // Neither `halt` nor an open `break` gets past the compiler.
                    Err(_) => RunError::Defect,
                }),
            });
            outputs.collect::<Result<Vec<_>, _>>()
        });
        ended.unwrap_or_else(|ended| Err(stopped(&ended, budget)))
    }
}

/// Whether an output has no more values than are left.
fn fits(value: &Value, left: &mut u64) -> bool {
    let Some(rest) = left.checked_sub(1) else { return false };
    *left = rest;
    match value {
        Value::Arr(items) => items.iter().all(|item| fits(item, left)),
        Value::Obj(map) => map.values().all(|item| fits(item, left)),
        Value::Null | Value::Bool(_) | Value::Num(_) | Value::Str(_) => true,
    }
}

fn stopped(ended: &Ended, budget: &Budget) -> RunError {
    match ended {
        Ended::Stopped(Stop::Fuel) => RunError::OutOfFuel { fuel: budget.fuel },
        Ended::Stopped(Stop::Text) => RunError::TextTooLong { max: budget.text_max },
        Ended::Stopped(Stop::Depth) => RunError::TooDeep { max: usize::from(meter::DEPTH_MAX) },
        Ended::Stopped(Stop::Output) => RunError::OutputTooLarge { max: budget.output_max },
        Ended::Stopped(Stop::Utf8) => RunError::NotText,
        Ended::Stopped(Stop::Float) | Ended::Panicked => RunError::Defect,
    }
}

/// The text of an error: what the program said, or its JSON; at most 500 characters.
fn message(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| super::val::json(value), str::to_owned);
    match text.char_indices().nth(500) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

fn lex_finding<'s>(source: &'s str, errors: &[load::lex::Error<&'s str>]) -> (String, &'s str) {
    match errors.first() {
        Some((expected, rest)) => {
            let got = rest.chars().next().map_or(0, char::len_utf8);
            (format!("expected {}", expected.as_str()), &rest[..got])
        }
        None => ("the program cannot be read".to_owned(), source),
    }
}

fn parse_finding<'s>(source: &'s str, errors: &[load::parse::TError<'_, &'s str>]) -> (String, &'s str) {
    let Some((expected, found)) = errors.first() else {
        return ("the program cannot be read".to_owned(), source);
    };
    let part = load::lex::Token::opt_as_str(*found, source);
    let got = if part.is_empty() { "the end of the program" } else { part };
    let got: String = got.chars().take(40).collect();
    let expected = match expected {
        load::parse::Expect::Nothing => "an operator or the end of the program",
        load::parse::Expect::Term => "an expression",
        other => other.as_str(),
    };
    let first = source.split_ascii_whitespace().next().unwrap_or_default();
    match library::reason((first, 0)) {
        Some(reason) if matches!(first, "import" | "include" | "module") => {
            (format!("{first} is not available: {reason}"), &source[source.find(first).unwrap_or(0)..][..first.len()])
        }
        _ => (format!("expected {expected}, got `{got}`"), part),
    }
}

fn undefined(source: &str, name: &str, kind: &Undefined, variables: &[String]) -> CompileError {
    // A definition of the library that lacks another would be named by a text outside the source.
    let inside = source.as_bytes().as_ptr_range().contains(&name.as_ptr());
    let span = if inside { load::span(source, name) } else { 0..source.len() };
    let (what, reason, hint) = match kind {
        Undefined::Filter(arity) => {
            let reason = library::reason((name, *arity));
            (format!("{name}/{arity}"), reason, nearest_filter((name, *arity)))
        }
        Undefined::Var => {
            let hint = nearest(name, variables.iter().map(String::as_str)).map(str::to_owned);
            (name.to_owned(), library::reason((name, 0)), hint)
        }
        other => (format!("{} {name}", other.as_str()), None, None),
    };
    let message = match reason {
        Some(reason) => format!("{what} is not available: {reason}"),
        None => format!("undefined {} {what}", kind.as_str()),
    };
    CompileError { message, span, hint: if reason.is_some() { None } else { hint } }
}

/// The filter that was probably meant: the same name with other arguments, else the nearest name.
fn nearest_filter((name, _): Signature) -> Option<String> {
    let same: Vec<String> = library::NAMES.iter().filter(|known| known.0 == name).map(spell).collect();
    if !same.is_empty() {
        return Some(same.join(" or "));
    }
    let near = nearest(name, library::NAMES.iter().map(|known| known.0))?;
    library::NAMES.iter().find(|known| known.0 == near).map(spell)
}

fn spell((name, arity): &Signature) -> String {
    match arity {
        0 => (*name).to_owned(),
        _ => format!("{name}({})", vec!["_"; *arity].join("; ")),
    }
}

/// The candidate at the smallest edit distance, if that is small for the length of the name.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = name.len() / 3 + 1;
    candidates.map(|known| (edits(name, known), known)).filter(|(edits, _)| *edits <= far).min().map(|best| best.1)
}

/// The number of characters to insert, remove or replace.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}
