//! Comparisons that cannot mean what they say.
//!
//! jq orders any two values, numbers before text, so `.totals.grand.amount > 250` is true of every order: amounts are text. And
//! `.taxation == "grosss"` is false of every order. Both compile, run, and decide wrongly without a word, so they are faults here.

use crate::{read::valid, shape::Shape};
use crossdock_value::jq::{Read, Root};
use jaq_core::load::{
    lex::{Lexer, StrPart},
    parse::{BinaryOp, Parser, Pattern, Term},
};
use jaq_core::path::Part;
use std::ops::Range;

/// A comparison that always gives the same.
pub(crate) struct Vain {
    pub span: Range<usize>,
    pub message: String,
    pub suggestion: Option<String>,
}

/// What a field is compared with.
enum Literal<'s> {
    Text(&'s str),
    Number,
}

/// Looks through an expression that has compiled; `reads` says which fields its paths stand for.
pub(crate) fn vain(source: &str, reads: &[Read], object: &str, shape: &Shape) -> Vec<Vain> {
    let Ok(tokens) = Lexer::new(source).lex() else { return Vec::new() };
    let Ok(term) = Parser::new(&tokens).parse(|parser| parser.term()) else { return Vec::new() };
    let mut found = Vec::new();
    walk(&term, &mut |term| {
        let Term::BinOp(left, BinaryOp::Cmp(_), right) = term else { return };
        for (field, other) in [(left, right), (right, left)] {
            let read = last_key(field).and_then(|key| read_of(key, source, reads));
            if let (Some(read), Some(literal)) = (read, literal(other)) {
                found.extend(judge(read, &literal, object, shape));
            }
        }
    });
    found
}

fn judge(read: &Read, literal: &Literal<'_>, object: &str, shape: &Shape) -> Option<Vain> {
    let shape = shape.at(object, &read.path).ok()?;
    let field = format!("{object}{read}").replace("[]", "");
    let (message, suggestion) = match (shape, literal) {
        (Shape::OneOf(words), Literal::Text(word)) if !words.iter().any(|known| known == word) => {
            (format!("`{field}` is never \"{word}\""), valid(word, words.iter().map(String::as_str)))
        }
        (Shape::Text | Shape::OneOf(_), Literal::Number) => {
            let hint = format!("write ({read} | tonumber)");
            (format!("`{field}` is text, and text is never equal to a number and always greater"), Some(hint))
        }
        (Shape::Number, Literal::Text(_)) => (format!("`{field}` is a number and compared with text"), None),
        (Shape::Truth, _) => (format!("`{field}` is true or false"), Some(format!("write {read} or ({read} | not)"))),
        _ => return None,
    };
    Some(Vain { span: read.span.clone(), message, suggestion })
}

/// The last key of a path such as `.a.b`, as a slice of the source.
fn last_key<'s>(term: &Term<&'s str>) -> Option<&'s str> {
    let Term::Path(_, path) = term else { return None };
    match path.0.last() {
        Some((Part::Index(Term::Str(None, parts)), _)) => match parts[..] {
            [StrPart::Str(key)] => Some(key),
            _ => None,
        },
        _ => None,
    }
}

/// The read that ends where the key ends.
fn read_of<'r>(key: &str, source: &str, reads: &'r [Read]) -> Option<&'r Read> {
    let end = (key.as_ptr() as usize).checked_sub(source.as_ptr() as usize)? + key.len();
    // In `."key"` the quote comes behind it.
    let mut ending = reads.iter().filter(|read| read.root == Root::Input && (read.span.end == end || read.span.end == end + 1));
    let only = ending.next()?;
    // A definition that is used at two places reads two fields with one text.
    ending.all(|read| read.path == only.path).then_some(only)
}

fn literal<'s>(term: &Term<&'s str>) -> Option<Literal<'s>> {
    match term {
        Term::Num(_) => Some(Literal::Number),
        Term::Neg(inner) => matches!(**inner, Term::Num(_)).then_some(Literal::Number),
        Term::Str(None, parts) => match parts[..] {
            [] => Some(Literal::Text("")),
            [StrPart::Str(text)] => Some(Literal::Text(text)),
            _ => None,
        },
        _ => None,
    }
}

fn walk<'t, 's>(term: &'t Term<&'s str>, f: &mut dyn FnMut(&'t Term<&'s str>)) {
    f(term);
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Var(_) | Term::Break(_) | Term::Arr(None) => {}
        Term::Str(_, parts) => {
            for part in parts {
                if let StrPart::Term(term) = part {
                    walk(term, f);
                }
            }
        }
        Term::Arr(Some(inner)) | Term::Neg(inner) | Term::Label(_, inner) => walk(inner, f),
        Term::Obj(entries) => {
            for (key, value) in entries {
                walk(key, f);
                value.iter().for_each(|value| walk(value, f));
            }
        }
        Term::BinOp(left, op, right) => {
            walk(left, f);
            if let BinaryOp::Pipe(Some(pattern)) = op {
                walk_pattern(pattern, f);
            }
            walk(right, f);
        }
        Term::Fold(_, over, pattern, args) => {
            walk(over, f);
            walk_pattern(pattern, f);
            args.iter().for_each(|arg| walk(arg, f));
        }
        Term::TryCatch(tried, caught) => {
            walk(tried, f);
            caught.iter().for_each(|caught| walk(caught, f));
        }
        Term::IfThenElse(branches, otherwise) => {
            for (test, then) in branches {
                walk(test, f);
                walk(then, f);
            }
            otherwise.iter().for_each(|otherwise| walk(otherwise, f));
        }
        Term::Def(defs, rest) => {
            defs.iter().for_each(|def| walk(&def.body, f));
            walk(rest, f);
        }
        Term::Call(_, args) => args.iter().for_each(|arg| walk(arg, f)),
        Term::Path(of, path) => {
            walk(of, f);
            for (part, _) in &path.0 {
                match part {
                    Part::Index(index) => walk(index, f),
                    Part::Range(from, to) => from.iter().chain(to).for_each(|bound| walk(bound, f)),
                }
            }
        }
    }
}

fn walk_pattern<'t, 's>(pattern: &'t Pattern<&'s str>, f: &mut dyn FnMut(&'t Term<&'s str>)) {
    match pattern {
        Pattern::Var(_) => {}
        Pattern::Arr(items) => items.iter().for_each(|item| walk_pattern(item, f)),
        Pattern::Obj(entries) => {
            for (key, pattern) in entries {
                walk(key, f);
                walk_pattern(pattern, f);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::ORDER;
    use crossdock_value::Program;

    #[test]
    fn only_comparisons_that_always_give_the_same_are_found() {
        for (source, expected) in [
            (".totals.grand.amount > 250", &["order.totals.grand.amount"][..]),
            ("250 <= .totals.grand.amount", &["order.totals.grand.amount"]),
            ("any(.lines[]; .quantity.value >= 10)", &["order.lines.quantity.value"]),
            (".lines[] | select(.gross.amount == -1) | .kind == \"digitl\"", &["order.lines.gross.amount", "order.lines.kind"]),
            (".customer.guest == \"true\"", &["order.customer.guest"]),
            (".taxation != \"grosss\"", &["order.taxation"]),
            ("(.totals.grand.amount | tonumber) > 250", &[]),
            (".totals.grand.amount | tonumber > 250", &[]),
            (".totals.grand.amount > .totals.tax.amount", &[]),
            (".totals.grand.amount == \"0.00\"", &[]),
            (".taxation == \"gross\"", &[]),
            (".custom.c_weight > 5", &[]),
            ("(.lines | length) > 5", &[]),
            (".customer.guest == true", &[]),
        ] {
            let program = Program::compile(source, &[]).expect("it compiles");
            let found = vain(source, program.reads(), "order", &ORDER);
            let fields: Vec<&str> = found.iter().filter_map(|vain| vain.message.split('`').nth(1)).collect();
            assert_eq!(fields, expected, "{source}");
        }
    }
}
