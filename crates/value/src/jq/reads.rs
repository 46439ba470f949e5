//! Which fields a program reads, found in its text.
//!
//! The program is interpreted over places instead of values: `.lines[] | .sku` is followed to the
//! place `lines[].sku` of the input. It is a best effort, meant for checking a mapping against a
//! schema: what the text does not tell (computed keys, `..`, `getpath`) is left out, and what is
//! found was really named. Nothing depends on it at run time.

mod shape;

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::load::span;
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};

use shape::Shape;

/// One place where a program reads a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Where the path begins.
    pub root: Root,
    /// The way to the field.
    pub path: Vec<Step>,
    /// The bytes of the source that read it.
    pub span: Range<usize>,
}

/// Where a path begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// The program's input, `.`.
    Input,
    /// A variable given by the caller, without its `$`.
    Variable(String),
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `.name`
    Field(String),
    /// `[]`, `[3]` or a computed key: some item of an array, or some field of an object.
    Each,
}

/// As in jq: `.lines[].sku`, `$market.currency`.
impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Root::Variable(name) = &self.root {
            write!(f, "${name}")?;
        } else if !matches!(self.path.first(), Some(Step::Field(_))) {
            f.write_str(".")?;
        }
        self.path.iter().try_for_each(|step| match step {
            Step::Field(name) => write!(f, ".{name}"),
            Step::Each => f.write_str("[]"),
        })
    }
}

/// Terms to look at before giving up; a program of nested definitions can expand without end.
const STEPS_MAX: usize = 20_000;

pub(super) fn of<'s>(term: &Term<&'s str>, source: &'s str) -> Vec<Read> {
    let mut reader = Reader { source, reads: Vec::new(), steps: 0, muted: false };
    let input = Shape::place(Root::Input);
    reader.eval(term, &input, &None);
    reader.reads
}

/// Names in scope, the latest first.
type Scope<'t, 's> = Option<Rc<Known<'t, 's>>>;

struct Known<'t, 's> {
    bound: Bound<'t, 's>,
    outer: Scope<'t, 's>,
}

enum Bound<'t, 's> {
    Variable(&'s str, Shape),
    Filter(&'t Def<&'s str>),
    /// A filter given as an argument, with the names it can see.
    Argument(&'s str, &'t Term<&'s str>, Scope<'t, 's>),
}

fn with<'t, 's>(scope: &Scope<'t, 's>, bound: Bound<'t, 's>) -> Scope<'t, 's> {
    Some(Rc::new(Known { bound, outer: scope.clone() }))
}

struct Reader<'s> {
    source: &'s str,
    reads: Vec<Read>,
    steps: usize,
    muted: bool,
}

impl<'s> Reader<'s> {
    fn eval<'t>(&mut self, term: &'t Term<&'s str>, input: &Shape, scope: &Scope<'t, 's>) -> Shape {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Shape::default();
        }
        match term {
            Term::Id => input.clone(),
            Term::Recurse | Term::Num(_) | Term::Break(_) => Shape::default(),
            Term::Str(_, parts) => {
                for part in parts {
                    if let StrPart::Term(term) = part {
                        self.eval(term, input, scope);
                    }
                }
                Shape::default()
            }
            Term::Arr(items) => {
                let items = items.as_ref().map(|items| self.eval(items, input, scope));
                Shape::array(items.unwrap_or_default())
            }
            Term::Obj(entries) => {
                let each = entries.iter().map(|(key, value)| self.entry(key, value.as_ref(), input, scope));
                each.fold(Shape::default(), Shape::or)
            }
            Term::Neg(term) | Term::Label(_, term) => self.eval(term, input, scope),
            Term::BinOp(left, op, right) => self.operation(left, op, right, input, scope),
            Term::Fold(_, over, pattern, args) => {
                let over = self.eval(over, input, scope);
                let inner = self.bind(pattern, &over, input, scope);
                let mut args = args.iter();
                let start = args.next().map(|init| self.eval(init, input, scope)).unwrap_or_default();
                args.fold(start, |state, update| {
                    let next = self.eval(update, &state, &inner);
                    state.or(next)
                })
            }
            Term::TryCatch(tried, caught) => {
                let tried = self.eval(tried, input, scope);
                caught.iter().for_each(|caught| drop(self.eval(caught, &Shape::default(), scope)));
                tried
            }
            Term::IfThenElse(branches, otherwise) => {
                let otherwise = otherwise.as_ref().map_or_else(|| input.clone(), |term| self.eval(term, input, scope));
                branches.iter().fold(otherwise, |all, (test, then)| {
                    self.eval(test, input, scope);
                    all.or(self.eval(then, input, scope))
                })
            }
            Term::Def(defs, rest) => {
                let inner = defs.iter().fold(scope.clone(), |scope, def| with(&scope, Bound::Filter(def)));
                self.eval(rest, input, &inner)
            }
            Term::Var(name) => variable(name, scope),
            Term::Call(name, args) => self.call(name, args, input, scope),
            Term::Path(of, path) => {
                let start = self.eval(of, input, scope);
                self.path(start, path, input, scope)
            }
        }
    }

    fn operation<'t>(
        &mut self,
        left: &'t Term<&'s str>,
        op: &'t BinaryOp<&'s str>,
        right: &'t Term<&'s str>,
        input: &Shape,
        scope: &Scope<'t, 's>,
    ) -> Shape {
        match op {
            BinaryOp::Pipe(None) => {
                let middle = self.eval(left, input, scope);
                self.eval(right, &middle, scope)
            }
            BinaryOp::Pipe(Some(pattern)) => {
                let bound = self.eval(left, input, scope);
                let inner = self.bind(pattern, &bound, input, scope);
                self.eval(right, input, &inner)
            }
            BinaryOp::Comma | BinaryOp::Alt | BinaryOp::Math(Math::Add | Math::Mul) => {
                let left = self.eval(left, input, scope);
                left.or(self.eval(right, input, scope))
            }
            BinaryOp::Or | BinaryOp::And | BinaryOp::Math(_) | BinaryOp::Cmp(_) => {
                self.eval(left, input, scope);
                self.eval(right, input, scope);
                Shape::default()
            }
            BinaryOp::Assign => {
                let muted = std::mem::replace(&mut self.muted, true);
                self.eval(left, input, scope);
                self.muted = muted;
                let value = self.eval(right, input, scope);
                assigned(left, value, input)
            }
            BinaryOp::Update => {
                let held = self.eval(left, input, scope);
                let value = self.eval(right, &held, scope);
                assigned(left, value, input)
            }
            BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
                let held = self.eval(left, input, scope);
                let value = self.eval(right, input, scope);
                assigned(left, held.or(value), input)
            }
        }
    }

    fn entry<'t>(
        &mut self,
        key: &'t Term<&'s str>,
        value: Option<&'t Term<&'s str>>,
        input: &Shape,
        scope: &Scope<'t, 's>,
    ) -> Shape {
        let name = literal(key);
        if name.is_none() {
            self.eval(key, input, scope);
        }
        let held = match (value, name, key) {
            (Some(value), ..) => self.eval(value, input, scope),
            (None, Some(name), _) => self.field(input, name),
            (None, None, Term::Var(name)) => {
                return Shape::object(&name[1..], variable(name, scope));
            }
            (None, None, _) => Shape::default(),
        };
        match name {
            Some(name) => Shape::object(name, held),
            None => Shape::array(held),
        }
    }

    /// A read of `name`, a piece of the source, and nothing else.
    fn field(&mut self, of: &Shape, name: &'s str) -> Shape {
        let field = of.step(&Step::Field(name.to_owned()));
        self.record(&field, span(self.source, name));
        field
    }

    fn record(&mut self, shape: &Shape, span: Range<usize>) {
        for (root, path) in &shape.places {
            let read = Read { root: root.clone(), path: path.clone(), span: span.clone() };
            if !self.muted && !path.is_empty() && !self.reads.contains(&read) {
                self.reads.push(read);
            }
        }
    }

    fn path<'t>(&mut self, start: Shape, path: &'t Path<Term<&'s str>>, input: &Shape, scope: &Scope<'t, 's>) -> Shape {
        let mut shape = start;
        let mut named: Option<Range<usize>> = None;
        let mut made = false;
        for (part, _) in &path.0 {
            let step = match part {
                Part::Index(index) => match literal(index) {
                    Some(name) => {
                        let here = span(self.source, name);
                        named = Some(named.map_or(here.start, |all| all.start)..here.end);
                        Step::Field(name.to_owned())
                    }
                    None => {
                        self.eval(index, input, scope);
                        Step::Each
                    }
                },
                Part::Range(start, end) => {
                    for bound in start.iter().chain(end) {
                        self.eval(bound, input, scope);
                    }
                    if start.is_some() || end.is_some() {
                        continue; // A slice of an array is an array of the same items.
                    }
                    Step::Each
                }
            };
            made = matches!(&step, Step::Field(name) if shape.fields.iter().any(|(held, _)| held == name));
            shape = shape.step(&step);
        }
        if made {
            return shape; // What the program made itself was recorded where it was made.
        }
        let span = named.map_or(0..self.source.len(), |span| self.whole(span));
        self.record(&shape, span);
        shape
    }

    /// The span with the dot and the quotes around it.
    fn whole(&self, mut span: Range<usize>) -> Range<usize> {
        let bytes = self.source.as_bytes();
        if bytes.get(span.end) == Some(&b'"') {
            span.end += 1;
        }
        for before in *b"\"." {
            if span.start > 0 && bytes[span.start - 1] == before {
                span.start -= 1;
            }
        }
        span
    }

    fn bind<'t>(&mut self, pattern: &'t Pattern<&'s str>, value: &Shape, input: &Shape, scope: &Scope<'t, 's>) -> Scope<'t, 's> {
        match pattern {
            Pattern::Var(name) => with(scope, Bound::Variable(name, value.clone())),
            Pattern::Arr(items) => {
                let each = value.each();
                items.iter().fold(scope.clone(), |scope, item| self.bind(item, &each, input, &scope))
            }
            Pattern::Obj(entries) => entries.iter().fold(scope.clone(), |scope, (key, pattern)| {
                let held = match literal(key) {
                    Some(name) => self.field(value, name),
                    None => {
                        self.eval(key, input, &scope);
                        value.each()
                    }
                };
                self.bind(pattern, &held, input, &scope)
            }),
        }
    }

    fn call<'t>(&mut self, name: &'s str, args: &'t [Term<&'s str>], input: &Shape, scope: &Scope<'t, 's>) -> Shape {
        let mut next = scope;
        while let Some(known) = next {
            match &known.bound {
                Bound::Argument(held, term, seen) if *held == name && args.is_empty() => {
                    return self.eval(term, input, seen);
                }
                Bound::Filter(def) if def.name == name && def.args.len() == args.len() => {
                    // A definition sees what was known where it stands, and its arguments.
                    let mut inner = known.outer.clone();
                    for (parameter, arg) in def.args.iter().zip(args) {
                        inner = if parameter.starts_with('$') {
                            with(&inner, Bound::Variable(parameter, self.eval(arg, input, scope)))
                        } else {
                            with(&inner, Bound::Argument(parameter, arg, scope.clone()))
                        };
                    }
                    return self.eval(&def.body, input, &inner);
                }
                _ => next = &known.outer,
            }
        }
        self.library(name, args, input, scope)
    }

    /// What a filter of the library does with places; an unknown one reads its arguments only.
    fn library<'t>(&mut self, name: &'s str, args: &'t [Term<&'s str>], input: &Shape, scope: &Scope<'t, 's>) -> Shape {
        match (name, args) {
            ("map" | "map_values", [f]) => Shape::array(self.eval(f, &input.each(), scope)),
            ("sort_by" | "unique_by", [f]) => {
                self.eval(f, &input.each(), scope);
                input.clone()
            }
            ("group_by", [f]) => {
                self.eval(f, &input.each(), scope);
                Shape::array(input.clone())
            }
            ("min_by" | "max_by", [f]) => {
                self.eval(f, &input.each(), scope);
                input.each()
            }
            ("any" | "all", [f]) => {
                self.eval(f, &input.each(), scope);
                Shape::default()
            }
            ("any" | "all", [g, f]) => {
                let each = self.eval(g, input, scope);
                self.eval(f, &each, scope);
                Shape::default()
            }
            ("with_entries", [f]) => {
                let entry = Shape::object("value", input.each()).or(Shape::object("key", Shape::default()));
                self.eval(f, &entry, scope);
                Shape::default()
            }
            ("to_entries", []) => {
                let entry = Shape::object("value", input.each()).or(Shape::object("key", Shape::default()));
                Shape::array(entry)
            }
            ("select" | "del", [f]) => {
                self.eval(f, input, scope);
                input.clone()
            }
            ("first" | "last" | "add", [f]) => self.eval(f, input, scope),
            ("limit" | "skip" | "nth", [n, f]) => {
                self.eval(n, input, scope);
                self.eval(f, input, scope)
            }
            ("first" | "last" | "min" | "max" | "add", []) => input.each(),
            (
                "sort" | "reverse" | "unique" | "values" | "nulls" | "strings" | "numbers" | "booleans" | "arrays" | "objects"
                | "iterables" | "scalars",
                [],
            ) => input.clone(),
            ("toarray", []) => input.clone().or(Shape::array(input.clone())),
            ("flatten", _) => input.clone().or(Shape::array(input.each().each())),
            ("has", [key]) => {
                match literal(key) {
                    Some(name) => drop(self.field(input, name)),
                    None => drop(self.eval(key, input, scope)),
                }
                Shape::default()
            }
            _ => {
                args.iter().for_each(|arg| drop(self.eval(arg, input, scope)));
                Shape::default()
            }
        }
    }
}

/// The text of a key that is written out.
fn literal<'s>(key: &Term<&'s str>) -> Option<&'s str> {
    match key {
        Term::Str(None, parts) => match parts.as_slice() {
            [StrPart::Str(name)] => Some(name),
            _ => None,
        },
        _ => None,
    }
}

fn variable(name: &str, scope: &Scope) -> Shape {
    let mut next = scope;
    while let Some(known) = next {
        match &known.bound {
            Bound::Variable(held, shape) if *held == name => return shape.clone(),
            _ => next = &known.outer,
        }
    }
    Shape::place(Root::Variable(name.trim_start_matches('$').to_owned()))
}

/// The input after an assignment: what was assigned is no longer read from the input.
fn assigned(to: &Term<&str>, value: Shape, input: &Shape) -> Shape {
    let mut after = input.clone();
    if let Term::Path(of, path) = to
        && matches!(**of, Term::Id)
        && let Some((Part::Index(key), _)) = path.0.first()
        && let Some(name) = literal(key)
    {
        let value = if path.0.len() == 1 { value } else { Shape::default() };
        after.fields.retain(|(held, _)| held != name);
        after.fields.push((name.to_owned(), value));
    }
    after
}
