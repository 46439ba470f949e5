//! Programs that need no interpreter: paths, literals, objects, lists over one array, comparisons.
//!
//! Nearly every expression of a landscape is of this shape, and jaq spends most of its time on what these do not use (several outputs,
//! errors that can be caught). Here they are evaluated directly. It is a short cut and nothing else: whatever is out of the ordinary
//! (a field of a text, an item that is no array, a large result) ends it without a result, and jaq then says what that means.

use std::cmp::Ordering;
use std::sync::Arc;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Term};
use jaq_core::ops::Cmp;
use jaq_core::path::{Part, Path};

use crate::value::compare;
use crate::{Map, Value, decimal};

/// Steps of one run. A longer one is for jaq, which counts exactly.
pub(super) const STEPS_MAX: u32 = 20_000;

/// Fuel with which no run of so few steps could end for want of it: jaq spends a few on each.
pub(super) const FUEL_AMPLE: u64 = 50 * STEPS_MAX as u64;

/// Terms within each other, far from what could matter to the stack or to a value's depth.
const DEPTH_MAX: usize = 32;

/// A term with exactly one output.
#[derive(Debug)]
pub(super) enum Straight {
    Input,
    Variable(usize),
    Literal(Value),
    Field(Box<Straight>, Arc<str>),
    Object(Vec<(Arc<str>, Straight)>),
    /// `[of[] | stages]`
    List(Box<Straight>, Vec<Stage>),
    /// `left | right`
    Then(Box<Straight>, Box<Straight>),
    /// `left // right`
    Else(Box<Straight>, Box<Straight>),
    And(Box<Straight>, Box<Straight>),
    Or(Box<Straight>, Box<Straight>),
    Compare(Box<Straight>, Cmp, Box<Straight>),
    If(Box<Straight>, Box<Straight>, Box<Straight>),
}

/// What becomes of each item of a list.
#[derive(Debug)]
pub(super) enum Stage {
    Select(Straight),
    Map(Straight),
}

impl Straight {
    /// `None` for a term that is left to jaq. `names` are those of the variables, with their `$`.
    pub(super) fn of(term: &Term<&str>, names: &[String]) -> Option<Self> {
        Reader { names }.single(term, DEPTH_MAX)
    }

    /// `None` when jaq must say what comes of it.
    pub(super) fn run(&self, input: &Value, vars: &[Value]) -> Option<Value> {
        Run { vars, left: STEPS_MAX }.eval(self, input)
    }
}

struct Reader<'n> {
    names: &'n [String],
}

impl Reader<'_> {
    fn single(&self, term: &Term<&str>, depth: usize) -> Option<Straight> {
        let depth = depth.checked_sub(1)?;
        let boxed = |term: &Term<&str>| self.single(term, depth).map(Box::new);
        Some(match term {
            Term::Id => Straight::Input,
            Term::Var(name) => Straight::Variable(self.names.iter().position(|known| known == name)?),
            Term::Num(text) => Straight::Literal(Value::from(decimal::read(text)?)),
            Term::Str(None, _) => Straight::Literal(Value::from(literal(term)?)),
            Term::Call("null", args) if args.is_empty() => Straight::Literal(Value::Null),
            Term::Call("true", args) if args.is_empty() => Straight::Literal(Value::from(true)),
            Term::Call("false", args) if args.is_empty() => Straight::Literal(Value::from(false)),
            Term::Call("map", args) => match &args[..] {
                [each] => Straight::List(Box::new(Straight::Input), vec![self.stage(each, depth)?]),
                _ => return None,
            },
            Term::Path(of, Path(parts)) => {
                let mut of = self.single(of, depth)?;
                for (part, _) in parts {
                    of = Straight::Field(Box::new(of), field(part)?);
                }
                of
            }
            Term::Obj(entries) => {
                let entry = |(key, value): &(Term<&str>, Option<Term<&str>>)| {
                    let key = literal(key)?;
                    let value = match value {
                        Some(value) => self.single(value, depth)?,
                        None => Straight::Field(Box::new(Straight::Input), Arc::clone(&key)),
                    };
                    Some((key, value))
                };
                Straight::Object(entries.iter().map(entry).collect::<Option<_>>()?)
            }
            Term::Arr(Some(items)) => self.list(items, depth)?,
            Term::IfThenElse(branches, Some(otherwise)) => {
                let mut rest = self.single(otherwise, depth)?;
                for (test, then) in branches.iter().rev() {
                    rest = Straight::If(boxed(test)?, boxed(then)?, Box::new(rest));
                }
                rest
            }
            Term::BinOp(left, op, right) => match op {
                BinaryOp::Pipe(None) => Straight::Then(boxed(left)?, boxed(right)?),
                BinaryOp::Alt => Straight::Else(boxed(left)?, boxed(right)?),
                BinaryOp::And => Straight::And(boxed(left)?, boxed(right)?),
                BinaryOp::Or => Straight::Or(boxed(left)?, boxed(right)?),
                BinaryOp::Cmp(cmp) => Straight::Compare(boxed(left)?, *cmp, boxed(right)?),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// The inside of `[...]`: `of[].rest | stage | stage`.
    fn list(&self, items: &Term<&str>, depth: usize) -> Option<Straight> {
        let mut piped = Vec::new();
        pipeline(items, &mut piped);
        let (first, stages) = piped.split_first()?;
        let Term::Path(of, Path(parts)) = first else { return None };
        let each = parts.iter().position(|(part, _)| matches!(part, Part::Range(None, None)))?;
        let mut of = self.single(of, depth)?;
        for (part, _) in &parts[..each] {
            of = Straight::Field(Box::new(of), field(part)?);
        }
        let mut all = Vec::new();
        if each + 1 < parts.len() {
            let mut item = Straight::Input;
            for (part, _) in &parts[each + 1..] {
                item = Straight::Field(Box::new(item), field(part)?);
            }
            all.push(Stage::Map(item));
        }
        for stage in stages {
            all.push(self.stage(stage, depth)?);
        }
        Some(Straight::List(Box::new(of), all))
    }

    fn stage(&self, term: &Term<&str>, depth: usize) -> Option<Stage> {
        match term {
            Term::Call("select", args) => match &args[..] {
                [test] => self.single(test, depth).map(Stage::Select),
                _ => None,
            },
            _ => self.single(term, depth).map(Stage::Map),
        }
    }
}

fn pipeline<'t, 's>(term: &'t Term<&'s str>, out: &mut Vec<&'t Term<&'s str>>) {
    match term {
        Term::BinOp(left, BinaryOp::Pipe(None), right) => {
            pipeline(left, out);
            pipeline(right, out);
        }
        _ => out.push(term),
    }
}

fn field(part: &Part<Term<&str>>) -> Option<Arc<str>> {
    match part {
        Part::Index(key) => literal(key),
        Part::Range(..) => None,
    }
}

/// A text without parts that are computed.
fn literal(term: &Term<&str>) -> Option<Arc<str>> {
    let Term::Str(None, parts) = term else { return None };
    let mut text = String::new();
    for part in parts {
        match part {
            StrPart::Str(part) => text.push_str(part),
            StrPart::Char(char) => text.push(*char),
            StrPart::Term(_) => return None,
        }
    }
    Some(text.into())
}

struct Run<'v> {
    vars: &'v [Value],
    left: u32,
}

impl Run<'_> {
    fn eval(&mut self, term: &Straight, input: &Value) -> Option<Value> {
        self.left = self.left.checked_sub(1)?;
        Some(match term {
            Straight::Input => input.clone(),
            Straight::Variable(at) => self.vars.get(*at)?.clone(),
            Straight::Literal(value) => value.clone(),
            Straight::Field(of, key) => self.field(of, key, input)?,
            Straight::Object(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    map.insert(Arc::clone(key), self.eval(value, input)?);
                }
                Value::from(map)
            }
            Straight::List(of, stages) => {
                let Value::Arr(items) = self.eval(of, input)? else { return None };
                let mut list = Vec::with_capacity(items.len());
                for item in items.iter() {
                    self.left = self.left.checked_sub(1)?;
                    list.extend(self.through(stages, item)?);
                }
                Value::from(list)
            }
            Straight::Then(left, right) => {
                let middle = self.eval(left, input)?;
                self.eval(right, &middle)?
            }
            Straight::Else(left, right) => match self.eval(left, input)? {
                Value::Null | Value::Bool(false) => self.eval(right, input)?,
                value => value,
            },
            Straight::And(left, right) => Value::from(self.holds(left, input)? && self.holds(right, input)?),
            Straight::Or(left, right) => Value::from(self.holds(left, input)? || self.holds(right, input)?),
            Straight::Compare(left, cmp, right) => {
                let (left, right) = (self.eval(left, input)?, self.eval(right, input)?);
                let mut steps = 0_u32;
                let order = compare(&left, &right, &mut || steps = steps.saturating_add(1));
                self.left = self.left.checked_sub(steps)?;
                Value::from(match cmp {
                    Cmp::Lt => order == Ordering::Less,
                    Cmp::Le => order != Ordering::Greater,
                    Cmp::Gt => order == Ordering::Greater,
                    Cmp::Ge => order != Ordering::Less,
                    Cmp::Eq => order == Ordering::Equal,
                    Cmp::Ne => order != Ordering::Equal,
                })
            }
            Straight::If(test, then, otherwise) => {
                let branch = if self.holds(test, input)? { then } else { otherwise };
                self.eval(branch, input)?
            }
        })
    }

    /// Without cloning the values on the way.
    fn field(&mut self, of: &Straight, key: &str, input: &Value) -> Option<Value> {
        let part = |value: &Value| match value {
            Value::Obj(map) => Some(map.get(key).cloned().unwrap_or_default()),
            Value::Null => Some(Value::Null),
            _ => None,
        };
        match of {
            Straight::Input => part(input),
            Straight::Field(outer, outer_key) => {
                self.left = self.left.checked_sub(1)?;
                match (&**outer, input) {
                    (Straight::Input, Value::Obj(map)) => map.get(outer_key).map_or(Some(Value::Null), part),
                    _ => part(&self.field(outer, outer_key, input)?),
                }
            }
            other => part(&self.eval(other, input)?),
        }
    }

    /// An item after all stages; `Some(None)` if one of them left it out.
    fn through(&mut self, stages: &[Stage], item: &Value) -> Option<Option<Value>> {
        let Some((first, rest)) = stages.split_first() else { return Some(Some(item.clone())) };
        match first {
            Stage::Select(test) if self.holds(test, item)? => self.through(rest, item),
            Stage::Select(_) => Some(None),
            Stage::Map(each) => {
                let mapped = self.eval(each, item)?;
                self.through(rest, &mapped)
            }
        }
    }

    fn holds(&mut self, test: &Straight, input: &Value) -> Option<bool> {
        Some(!matches!(self.eval(test, input)?, Value::Null | Value::Bool(false)))
    }
}
