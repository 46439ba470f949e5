//! jq expressions in a landscape: compiled, their fields checked, and every fault at its place in the YAML.

use crate::{
    compare,
    fault::Faults,
    read::{text, valid},
    shape::Shape,
    source::Spot,
    yaml::{Node, within},
};
use crossdock_value::{Budget, Program, RunError, Value, jq};
use std::{fmt, ops::Range, sync::Arc};

/// A condition over the canonical order.
#[derive(Clone)]
pub(crate) struct Condition {
    program: Program,
    /// `markets/de.yaml:12`, for whoever has to mend it.
    pub place: Arc<str>,
}

impl Condition {
    pub fn holds(&self, order: &Value) -> Result<bool, RunError> {
        self.program.test(order, &[], &Budget::default())
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.program.source(), self.place)
    }
}

/// Reads a condition over documents of `shape`.
pub(crate) fn condition<'s>(object: &'s str, shape: &'s Shape) -> impl Fn(&Node, &mut Faults) -> Option<Condition> + 's {
    move |node, faults| {
        let program = program(node, object, shape, faults)?;
        if let Some(found) = never_a_condition(&program, object, shape) {
            faults.add(node.spot, "jq_value", format!("a condition must be true or false; {found}"));
        }
        let place = faults.place(node.spot).into();
        Some(Condition { program, place })
    }
}

/// Compiles an expression whose input is a document of `shape`.
pub(crate) fn program(node: &Node, object: &str, shape: &Shape, faults: &mut Faults) -> Option<Program> {
    let source = text(node, faults)?;
    let program = match Program::compile(&source, &[]) {
        Ok(program) => program,
        Err(error) => {
            let spot = part(node, &source, error.span, faults);
            let hint = error.hint.map(|name| format!("did you mean `{name}`?"));
            faults.add(spot, "jq", error.message).suggest(hint);
            return None;
        }
    };
    for read in program.reads() {
        if read.root != jq::Root::Input {
            continue;
        }
        if let Err(unknown) = shape.at(object, &read.path) {
            let spot = part(node, &source, named(&source, read.span.clone(), unknown.name), faults);
            let found = faults.add(spot, "jq_field", format!("`{}` has no field `{}`", unknown.parent, unknown.name));
            found.suggest(valid(unknown.name, unknown.valid));
        }
    }
    for vain in compare::vain(&source, program.reads(), object, shape) {
        let spot = part(node, &source, vain.span, faults);
        faults.add(spot, "jq_value", vain.message).suggest(vain.suggestion);
    }
    Some(program)
}

/// A condition that is nothing but a field of another kind fails for every order.
fn never_a_condition(program: &Program, object: &str, shape: &Shape) -> Option<String> {
    let source = program.source().trim();
    let whole = |read: &&jq::Read| read.root == jq::Root::Input && program.source().get(read.span.clone()) == Some(source);
    let read = program.reads().iter().find(whole)?;
    match shape.at(object, &read.path).ok()? {
        Shape::Truth | Shape::Any => None,
        Shape::Text | Shape::OneOf(_) => Some(format!("`{source}` is text")),
        Shape::Number => Some(format!("`{source}` is a number")),
        Shape::List(_) => Some(format!("`{source}` is a list")),
        Shape::Object(_) => Some(format!("`{source}` is an object")),
    }
}

/// The name within the path that reads it; the whole path when it is spelled in another way.
fn named(source: &str, path: Range<usize>, name: &str) -> Range<usize> {
    match source.get(path.clone()).and_then(|text| text.find(name)) {
        Some(at) => path.start + at..path.start + at + name.len(),
        None => path,
    }
}

/// The place of a part of an expression in its file.
pub(crate) fn part(node: &Node, source: &str, span: Range<usize>, faults: &Faults) -> Spot {
    let file = faults.text(node.spot.file);
    let start = within(&file, node.spot, source, span.start);
    // A part of nothing is the gap where something is missing.
    let end = if span.is_empty() { start } else { within(&file, node.spot, source, span.end).max(start) };
    Spot { file: node.spot.file, start, end }
}
