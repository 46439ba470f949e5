//! The short way: programs of what mappings are mostly made of, evaluated directly.
//!
//! jaq spends most of its time on what these programs do not use: errors that can be caught, paths that can be updated, several
//! outputs anywhere. Here a term has one output, or is one of the few that have many (`.[]`, `,`, `select`, `empty`, a pipe of such).
//! It is a short cut and nothing else: whatever is out of the ordinary (a field of a text, an item that is no array, a sum that does
//! not fit, a large result) ends it without a result, and jaq then says what that means.

use std::cmp::Ordering;
use std::sync::Arc;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::ops::{Cmp, Math};
use jaq_core::path::{Opt, Part, Path};
use rust_decimal::{Decimal, RoundingStrategy};

use super::check::SOURCE_MAX;
use super::number;
use super::val::{absolute, bounds};
use crate::value::compare;
use crate::{Map, Value, decimal, to_json_string};

/// Steps of one run. A longer one is for jaq, which counts exactly.
pub(super) const STEPS_MAX: u32 = 20_000;

/// Fuel with which no run of so few steps could end for want of it: jaq spends a few on each.
pub(super) const FUEL_AMPLE: u64 = 50 * STEPS_MAX as u64;

/// Terms within each other, far from what could matter to the stack or to a value's depth.
const DEPTH_MAX: usize = 48;

/// A program that can be evaluated directly. It has exactly one output.
#[derive(Debug)]
pub(super) struct Straight(Node);

#[derive(Debug)]
enum Node {
    Input,
    Variable(usize),
    Literal(Value),
    Index(Box<Node>, Box<Node>),
    Field(Box<Node>, Arc<str>),
    Slice(Box<Node>, Option<Box<Node>>, Option<Box<Node>>),
    Object(Vec<(Arc<str>, Node)>),
    List(Box<Node>),
    /// `left // right`
    Else(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Compare(Box<Node>, Cmp, Box<Node>),
    Calculate(Box<Node>, Math, Box<Node>),
    /// `.field = value`
    Set(Arc<str>, Box<Node>),
    Call(Function, Vec<Node>),
    /// `any(items; test)` and, with `false` to look for, `all(items; test)`.
    Any(Box<Node>, Box<Node>, bool),
    /// `with_entries(select(test))`
    Entries(Box<Node>),
    /// `error(...)`: what it says is for jaq.
    GiveUp,

    // With as many outputs as their parts have.
    Then(Box<Node>, Box<Node>),
    /// `left as $x | right`; the variable is the last one while the right side runs.
    Bind(Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),

    // With any number of outputs.
    Items(Box<Node>, Opt),
    Both(Box<Node>, Box<Node>),
    Select(Box<Node>),
    Empty,
}

/// Filters of one output, from the input and arguments of one output.
#[derive(Clone, Copy, Debug)]
enum Function {
    Not,
    Length,
    ToNumber,
    ToString,
    Add,
    Fixed,
    StartsWith,
    Split,
    Join,
}

impl Function {
    fn named(name: &str, arguments: usize) -> Option<Self> {
        Some(match (name, arguments) {
            ("not", 0) => Self::Not,
            ("length", 0) => Self::Length,
            ("tonumber", 0) => Self::ToNumber,
            ("tostring", 0) => Self::ToString,
            ("add", 0) => Self::Add,
            ("fixed", 1) => Self::Fixed,
            ("startswith", 1) => Self::StartsWith,
            ("split", 1) => Self::Split,
            ("join", 1) => Self::Join,
            _ => return None,
        })
    }
}

impl Straight {
    /// `None` for a term that is left to jaq. `names` are those of the variables, with their `$`.
    pub(super) fn of(term: &Term<&str>, names: &[String]) -> Option<Self> {
        let mut reader = Reader { names: names.iter().map(String::as_str).collect() };
        reader.single(term, DEPTH_MAX).map(Self)
    }

    /// `None` when jaq must say what comes of it.
    pub(super) fn run(&self, input: &Value, vars: &[Value]) -> Option<Value> {
        Run { vars: vars.to_vec(), left: STEPS_MAX }.one(&self.0, input)
    }
}

impl Node {
    fn is_single(&self) -> bool {
        match self {
            Self::Items(..) | Self::Both(..) | Self::Select(_) | Self::Empty => false,
            Self::Then(left, right) | Self::Bind(left, right) => left.is_single() && right.is_single(),
            Self::If(_, then, otherwise) => then.is_single() && otherwise.is_single(),
            _ => true,
        }
    }
}

struct Reader<'n> {
    names: Vec<&'n str>,
}

impl<'n> Reader<'n> {
    fn single(&mut self, term: &Term<&'n str>, depth: usize) -> Option<Node> {
        self.read(term, depth).filter(Node::is_single)
    }

    fn boxed(&mut self, term: &Term<&'n str>, depth: usize) -> Option<Box<Node>> {
        self.single(term, depth).map(Box::new)
    }

    fn read(&mut self, term: &Term<&'n str>, depth: usize) -> Option<Node> {
        let depth = depth.checked_sub(1)?;
        Some(match term {
            Term::Id => Node::Input,
            Term::Var(name) => Node::Variable(self.names.iter().rposition(|known| known == name)?),
            Term::Num(text) => Node::Literal(Value::from(decimal::read(text)?)),
            Term::Neg(of) => match &**of {
                Term::Num(text) => Node::Literal(Value::from(-decimal::read(text).filter(|number| !number.is_zero())?)),
                _ => return None,
            },
            Term::Str(None, _) => Node::Literal(Value::from(literal(term)?)),
            Term::Call(name, arguments) => self.call(name, arguments, depth)?,
            Term::Path(of, Path(parts)) => {
                let mut of = self.read(of, depth)?;
                for (part, opt) in parts {
                    of = self.part(of, part, *opt, depth)?;
                }
                of
            }
            Term::Obj(entries) => {
                let mut object = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let key = literal(key)?;
                    let value = match value {
                        Some(value) => self.single(value, depth)?,
                        None => Node::Field(Box::new(Node::Input), Arc::clone(&key)),
                    };
                    object.push((key, value));
                }
                Node::Object(object)
            }
            Term::Arr(None) => Node::Literal(Value::from(Vec::new())),
            Term::Arr(Some(items)) => Node::List(Box::new(self.read(items, depth)?)),
            Term::IfThenElse(branches, otherwise) => {
                let mut rest = otherwise.as_ref().map_or(Some(Node::Input), |otherwise| self.read(otherwise, depth))?;
                for (test, then) in branches.iter().rev() {
                    rest = Node::If(self.boxed(test, depth)?, Box::new(self.read(then, depth)?), Box::new(rest));
                }
                rest
            }
            Term::BinOp(left, op, right) => match op {
                BinaryOp::Pipe(None) => Node::Then(Box::new(self.read(left, depth)?), Box::new(self.read(right, depth)?)),
                BinaryOp::Pipe(Some(Pattern::Var(name))) => {
                    let left = self.read(left, depth)?;
                    self.names.push(name);
                    let right = self.read(right, depth);
                    self.names.pop();
                    Node::Bind(Box::new(left), Box::new(right?))
                }
                BinaryOp::Comma => Node::Both(Box::new(self.read(left, depth)?), Box::new(self.read(right, depth)?)),
                BinaryOp::Alt => Node::Else(self.boxed(left, depth)?, self.boxed(right, depth)?),
                BinaryOp::And => Node::And(self.boxed(left, depth)?, self.boxed(right, depth)?),
                BinaryOp::Or => Node::Or(self.boxed(left, depth)?, self.boxed(right, depth)?),
                BinaryOp::Cmp(cmp) => Node::Compare(self.boxed(left, depth)?, *cmp, self.boxed(right, depth)?),
                BinaryOp::Math(math) => Node::Calculate(self.boxed(left, depth)?, *math, self.boxed(right, depth)?),
                BinaryOp::Assign => Node::Set(own_field(left)?, self.boxed(right, depth)?),
                _ => return None,
            },
            _ => return None,
        })
    }

    fn call(&mut self, name: &str, arguments: &[Term<&'n str>], depth: usize) -> Option<Node> {
        Some(match (name, arguments) {
            ("null", []) => Node::Literal(Value::Null),
            ("true", []) => Node::Literal(Value::from(true)),
            ("false", []) => Node::Literal(Value::from(false)),
            ("empty", []) => Node::Empty,
            ("error", [_]) => Node::GiveUp,
            ("select", [test]) => Node::Select(self.boxed(test, depth)?),
            ("map", [each]) => {
                let items = Node::Items(Box::new(Node::Input), Opt::Essential);
                Node::List(Box::new(Node::Then(Box::new(items), Box::new(self.read(each, depth)?))))
            }
            ("any" | "all", [items, test]) => {
                Node::Any(Box::new(self.read(items, depth)?), self.boxed(test, depth)?, name == "any")
            }
            ("with_entries", [Term::Call("select", test)]) => match &test[..] {
                [test] => Node::Entries(self.boxed(test, depth)?),
                _ => return None,
            },
            _ => {
                let function = Function::named(name, arguments.len())?;
                Node::Call(function, arguments.iter().map(|argument| self.single(argument, depth)).collect::<Option<_>>()?)
            }
        })
    }

    fn part(&mut self, of: Node, part: &Part<Term<&'n str>>, opt: Opt, depth: usize) -> Option<Node> {
        if !of.is_single() {
            // What follows `.[]` is done to each.
            let each = match part {
                Part::Range(None, None) => Node::Items(Box::new(Node::Input), opt),
                Part::Index(key) => Node::Field(Box::new(Node::Input), literal(key)?),
                Part::Range(..) => return None,
            };
            return Some(Node::Then(Box::new(of), Box::new(each)));
        }
        let of = Box::new(of);
        Some(match part {
            Part::Range(None, None) => Node::Items(of, opt),
            Part::Index(key) => match literal(key) {
                Some(key) => Node::Field(of, key),
                None => Node::Index(of, self.boxed(key, depth)?),
            },
            Part::Range(start, end) => {
                let mut side = |side: &Option<Term<&'n str>>| match side {
                    Some(side) => self.boxed(side, depth).map(Some),
                    None => Some(None),
                };
                Node::Slice(of, side(start)?, side(end)?)
            }
        })
    }
}

/// The field that `.field` names.
fn own_field(term: &Term<&str>) -> Option<Arc<str>> {
    let Term::Path(of, Path(parts)) = term else { return None };
    match (&**of, &parts[..]) {
        (Term::Id, [(Part::Index(key), _)]) => literal(key),
        _ => None,
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

struct Run {
    vars: Vec<Value>,
    left: u32,
}

/// Takes an output; `None` gives up.
type Take<'t> = &'t mut dyn FnMut(&mut Run, Value) -> Option<()>;

impl Run {
    fn spend(&mut self, steps: usize) -> Option<()> {
        self.left = self.left.checked_sub(u32::try_from(steps).ok()?)?;
        Some(())
    }

    /// The output of a node that has one.
    fn one(&mut self, node: &Node, input: &Value) -> Option<Value> {
        self.spend(1)?;
        Some(match node {
            Node::Input => input.clone(),
            Node::Variable(at) => self.vars.get(*at)?.clone(),
            Node::Literal(value) => value.clone(),
            Node::Field(of, key) => self.field(of, key, input)?,
            Node::Index(of, key) => {
                let (of, key) = (self.one(of, input)?, self.one(key, input)?);
                let part = match (&of, &key) {
                    (Value::Obj(map), Value::Str(key)) => map.get(key),
                    (Value::Arr(items), Value::Num(at)) => absolute(at, items.len()).and_then(|at| items.get(at)),
                    (Value::Null, Value::Str(_) | Value::Num(_)) => None,
                    _ => return None,
                };
                part.cloned().unwrap_or_default()
            }
            Node::Slice(of, start, end) => {
                let Value::Arr(items) = self.one(of, input)? else { return None };
                let start = self.perhaps(start.as_deref(), input)?;
                let end = self.perhaps(end.as_deref(), input)?;
                let range = bounds(&(start.as_ref()..end.as_ref()), items.len()).ok()?;
                self.spend(range.len())?;
                Value::from(items.get(range)?.to_vec())
            }
            Node::Object(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    map.insert(Arc::clone(key), self.one(value, input)?);
                }
                Value::from(map)
            }
            Node::List(items) => {
                let mut list = Vec::new();
                self.each(items, input, &mut |_, item| {
                    list.push(item);
                    Some(())
                })?;
                Value::from(list)
            }
            Node::Then(left, right) => {
                let middle = self.one(left, input)?;
                self.one(right, &middle)?
            }
            Node::Bind(left, right) => {
                let value = self.one(left, input)?;
                self.vars.push(value);
                let output = self.one(right, input)?;
                self.vars.pop();
                output
            }
            Node::If(test, then, otherwise) => {
                let branch = if self.holds(test, input)? { then } else { otherwise };
                self.one(branch, input)?
            }
            Node::Else(left, right) => match self.one(left, input)? {
                Value::Null | Value::Bool(false) => self.one(right, input)?,
                value => value,
            },
            Node::And(left, right) => Value::from(self.holds(left, input)? && self.holds(right, input)?),
            Node::Or(left, right) => Value::from(self.holds(left, input)? || self.holds(right, input)?),
            Node::Compare(left, cmp, right) => {
                let (left, right) = (self.one(left, input)?, self.one(right, input)?);
                let mut steps = 0_usize;
                let order = compare(&left, &right, &mut || steps = steps.saturating_add(1));
                self.spend(steps)?;
                Value::from(match cmp {
                    Cmp::Lt => order == Ordering::Less,
                    Cmp::Le => order != Ordering::Greater,
                    Cmp::Gt => order == Ordering::Greater,
                    Cmp::Ge => order != Ordering::Less,
                    Cmp::Eq => order == Ordering::Equal,
                    Cmp::Ne => order != Ordering::Equal,
                })
            }
            Node::Calculate(left, math, right) => {
                // jaq's order of evaluation, right before left, could only be told apart by errors.
                let (left, right) = (self.one(left, input)?, self.one(right, input)?);
                self.calculate(left, *math, right)?
            }
            Node::Set(key, value) => {
                let (value, Value::Obj(map)) = (self.one(value, input)?, input) else { return None };
                self.spend(map.len())?;
                let mut map = Map::clone(map);
                map.insert(Arc::clone(key), value);
                Value::from(map)
            }
            Node::Call(function, arguments) => match &arguments[..] {
                [] => self.apply(*function, input, None)?,
                [argument] => {
                    let argument = self.one(argument, input)?;
                    self.apply(*function, input, Some(&argument))?
                }
                _ => return None,
            },
            Node::Any(items, test, wanted) => {
                let mut found = false;
                self.each(items, input, &mut |run, item| {
                    found = found || run.holds(test, &item)? == *wanted;
                    Some(())
                })?;
                Value::from(found == *wanted)
            }
            Node::Entries(test) => {
                let Value::Obj(map) = input else { return None };
                let mut kept = Map::with_capacity(map.len());
                for (key, value) in map.iter() {
                    let mut entry = Map::with_capacity(2);
                    entry.insert("key", Value::from(Arc::clone(key)));
                    entry.insert("value", value.clone());
                    if self.holds(test, &Value::from(entry))? {
                        kept.insert(Arc::clone(key), value.clone());
                    }
                }
                Value::from(kept)
            }
            Node::GiveUp | Node::Items(..) | Node::Both(..) | Node::Select(_) | Node::Empty => return None,
        })
    }

    /// Every output of a node, in order.
    fn each(&mut self, node: &Node, input: &Value, take: Take<'_>) -> Option<()> {
        match node {
            Node::Items(of, opt) => {
                self.spend(1)?;
                match (self.one(of, input)?, opt) {
                    (Value::Arr(items), _) => items.iter().try_for_each(|item| {
                        self.spend(1)?;
                        take(self, item.clone())
                    }),
                    (Value::Obj(map), _) => map.values().try_for_each(|item| {
                        self.spend(1)?;
                        take(self, item.clone())
                    }),
                    (_, Opt::Optional) => Some(()),
                    (_, Opt::Essential) => None,
                }
            }
            Node::Both(left, right) => {
                self.each(left, input, take)?;
                self.each(right, input, take)
            }
            Node::Select(test) => match self.holds(test, input)? {
                true => take(self, input.clone()),
                false => Some(()),
            },
            Node::Empty => Some(()),
            Node::Then(left, right) if !node.is_single() => {
                self.each(left, input, &mut |run, middle| run.each(right, &middle, take))
            }
            Node::Bind(left, right) if !node.is_single() => self.each(left, input, &mut |run, value| {
                // Whoever takes an output may bind more, so it is put away before and after.
                let depth = run.vars.len();
                run.vars.push(value);
                let mut outputs = Vec::new();
                run.each(right, input, &mut |_, output| {
                    outputs.push(output);
                    Some(())
                })?;
                run.vars.truncate(depth);
                outputs.into_iter().try_for_each(|output| take(run, output))
            }),
            Node::If(test, then, otherwise) if !node.is_single() => {
                let branch = if self.holds(test, input)? { then } else { otherwise };
                self.each(branch, input, take)
            }
            _ => {
                let output = self.one(node, input)?;
                take(self, output)
            }
        }
    }

    fn perhaps(&mut self, node: Option<&Node>, input: &Value) -> Option<Option<Value>> {
        match node {
            Some(node) => self.one(node, input).map(Some),
            None => Some(None),
        }
    }

    /// Without cloning the values on the way.
    fn field(&mut self, of: &Node, key: &str, input: &Value) -> Option<Value> {
        let part = |value: &Value| match value {
            Value::Obj(map) => Some(map.get(key).cloned().unwrap_or_default()),
            Value::Null => Some(Value::Null),
            _ => None,
        };
        match of {
            Node::Input => part(input),
            Node::Variable(at) => part(self.vars.get(*at)?),
            Node::Field(outer, outer_key) => {
                self.spend(1)?;
                let outer_value = match &**outer {
                    Node::Input => input,
                    Node::Variable(at) => self.vars.get(*at)?,
                    _ => return part(&self.field(outer, outer_key, input)?),
                };
                match outer_value {
                    Value::Obj(map) => map.get(outer_key).map_or(Some(Value::Null), part),
                    Value::Null => Some(Value::Null),
                    _ => None,
                }
            }
            other => part(&self.one(other, input)?),
        }
    }

    fn holds(&mut self, test: &Node, input: &Value) -> Option<bool> {
        Some(!matches!(self.one(test, input)?, Value::Null | Value::Bool(false)))
    }

    fn calculate(&mut self, left: Value, math: Math, right: Value) -> Option<Value> {
        Some(match (left, math, right) {
            (Value::Num(left), math, Value::Num(right)) => {
                let number = match math {
                    Math::Add => number::add(left, right),
                    Math::Sub => number::sub(left, right),
                    Math::Mul => number::mul(left, right),
                    Math::Div => number::div(left, right),
                    Math::Rem => number::rem(left, right),
                };
                Value::from(number.ok()?)
            }
            (Value::Null, Math::Add, other) | (other, Math::Add, Value::Null) => other,
            (Value::Str(left), Math::Add, Value::Str(right)) => self.text([&*left, &*right].concat())?,
            (Value::Arr(mut left), Math::Add, Value::Arr(right)) => {
                self.spend(left.len() + right.len())?;
                Arc::make_mut(&mut left).extend(right.iter().cloned());
                Value::Arr(left)
            }
            (Value::Obj(mut left), Math::Add, Value::Obj(right)) => {
                self.spend(left.len() + right.len())?;
                Arc::make_mut(&mut left).extend(right.iter().map(|(key, value)| (Arc::clone(key), value.clone())));
                Value::Obj(left)
            }
            _ => return None,
        })
    }

    fn apply(&mut self, function: Function, input: &Value, argument: Option<&Value>) -> Option<Value> {
        Some(match (function, input, argument) {
            (Function::Not, input, _) => Value::from(matches!(input, Value::Null | Value::Bool(false))),
            (Function::Length, input, _) => Value::from(match input {
                Value::Null => Decimal::ZERO,
                Value::Num(number) => number.abs(),
                Value::Str(text) => Decimal::from(text.chars().count()),
                Value::Arr(items) => Decimal::from(items.len()),
                Value::Obj(map) => Decimal::from(map.len()),
                Value::Bool(_) => return None,
            }),
            (Function::ToNumber, Value::Num(_), _) => input.clone(),
            (Function::ToNumber, Value::Str(text), _) => Value::from(decimal::read(text)?),
            (Function::ToString, Value::Str(_), _) => input.clone(),
            (Function::ToString, Value::Null | Value::Bool(_) | Value::Num(_), _) => self.text(to_json_string(input))?,
            (Function::Add, Value::Arr(items), _) => {
                let mut items = items.iter().cloned();
                let first = items.next().unwrap_or_default();
                items.try_fold(first, |sum, item| {
                    self.spend(1)?;
                    self.calculate(sum, Math::Add, item)
                })?
            }
            (Function::Fixed, Value::Num(_) | Value::Str(_), Some(Value::Str(currency))) => {
                let amount = if let Value::Str(text) = input { decimal::read(text)? } else { input.as_decimal()? };
                let fixed = number::fixed(amount, currency, RoundingStrategy::MidpointNearestEven).ok()?;
                self.text(fixed.to_string())?
            }
            (Function::StartsWith, Value::Str(text), Some(Value::Str(start))) => Value::from(text.starts_with(&**start)),
            (Function::Split, Value::Str(text), Some(Value::Str(at))) if !text.is_empty() && !at.is_empty() => {
                let parts: Vec<Value> = text.split(&**at).map(Value::from).collect();
                self.spend(parts.len() + text.len() / 64)?;
                Value::from(parts)
            }
            (Function::Join, Value::Arr(items), Some(Value::Str(between))) => {
                let parts: Vec<&str> = items.iter().map(Value::as_str).collect::<Option<_>>()?;
                self.spend(parts.len())?;
                self.text(parts.join(between))?
            }
            _ => return None,
        })
    }

    /// A text that was made; a long one is for jaq, which may not make it.
    fn text(&mut self, text: String) -> Option<Value> {
        self.spend(text.len() / 64)?;
        (text.len() <= SOURCE_MAX).then(|| Value::from(text))
    }
}
