//! What is refused before a program is compiled: recursion, and shapes that would overflow the
//! stack of the parser or of the interpreter.

use jaq_core::load::lex::{StrPart, Tok, Token};
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::path::Part;

use super::library::is_internal;
use crate::decimal;

/// Bytes of source. The longest sensible program is a tenth of this.
pub(super) const SOURCE_MAX: usize = 32 << 10;

/// Brackets within each other.
const BRACKETS_MAX: usize = 64;

/// Tokens on which the parser or the interpreter recurses, in the whole program.
const TOKENS_MAX: usize = 2_000;

/// Those of them that stand before a term; the parser needs most stack for these.
const PREFIXES_MAX: usize = 500;

/// Terms within each other. An object or a text with parts counts one for each of its parts,
/// since jaq adds them up one inside the other.
const DEPTH_MAX: usize = 200;

/// A fault: what is wrong, and the part of the source it concerns.
pub(super) type Finding<'s> = (String, &'s str);

/// Refuses a source on which the lexer itself would recurse too deep.
pub(super) fn source(source: &str) -> Result<(), Finding<'_>> {
    if source.len() > SOURCE_MAX {
        return Err((format!("the program is longer than {SOURCE_MAX} bytes; divide it"), &source[SOURCE_MAX..][..0]));
    }
    let mut open = 0_usize;
    for (at, byte) in source.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > BRACKETS_MAX {
            let message = format!("more than {BRACKETS_MAX} brackets within each other; divide the program");
            return Err((message, &source[at..=at]));
        }
    }
    Ok(())
}

/// Refuses tokens on which the parser would recurse too deep.
pub(super) fn tokens<'s>(tokens: &[Token<&'s str>]) -> Result<(), Finding<'s>> {
    #[derive(Default)]
    struct Seen {
        all: usize,
        prefixes: usize,
    }
    fn count<'s>(tokens: &[Token<&'s str>], seen: &mut Seen) -> Result<(), Finding<'s>> {
        for Token(text, kind) in tokens {
            let recursing = !matches!(*text, "," | ":" | "." | ";") && !text.starts_with('.');
            seen.all += usize::from(recursing && matches!(kind, Tok::Word | Tok::Sym));
            seen.prefixes += usize::from(matches!(*text, "-" | "try" | "if" | "reduce" | "foreach" | "def" | "label"));
            if seen.all > TOKENS_MAX || seen.prefixes > PREFIXES_MAX {
                return Err(("the program has too many operators and calls; divide it".to_owned(), text));
            }
            match kind {
                Tok::Block(inner) => count(inner, seen)?,
                Tok::Str(parts) => {
                    for part in parts {
                        if let StrPart::Term(token) = part {
                            count(std::slice::from_ref(token), seen)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
    count(tokens, &mut Seen::default())
}

/// Refuses recursion, numbers that do not fit, and terms too deep to interpret.
pub(super) fn term<'s>(term: &Term<&'s str>, source: &'s str) -> Result<(), Finding<'s>> {
    if depth(term) > DEPTH_MAX {
        let message = format!("the program nests more than {DEPTH_MAX} steps; divide it, or bind parts with `as`");
        return Err((message, source));
    }
    let mut misfit = None;
    walk(term, &mut |term| match term {
        Term::Num(text) if misfit.is_none() && decimal::read(text).is_none() => misfit = Some(*text),
        _ => {}
    });
    if let Some(text) = misfit {
        return Err((format!("the number {text} does not fit in 28 digits"), text));
    }
    Recursion { scope: Vec::new() }.term(term)
}

fn depth(term: &Term<&str>) -> usize {
    let wide = match term {
        Term::Obj(entries) => entries.len(),
        Term::Str(_, parts) => parts.len(),
        Term::IfThenElse(branches, _) => branches.len(),
        Term::Def(defs, _) => defs.len(),
        // Measured: a binding takes twice the stack of a pipe.
        Term::BinOp(_, BinaryOp::Pipe(Some(_)), _) => 2,
        _ => 1,
    };
    let mut deepest = 0;
    children(term, &mut |child| deepest = deepest.max(depth(child)));
    deepest + wide.max(1)
}

/// Calls `f` on a term and on all below it.
pub(super) fn walk<'t, 's>(term: &'t Term<&'s str>, f: &mut dyn FnMut(&'t Term<&'s str>)) {
    f(term);
    children(term, &mut |child| walk(child, f));
}

/// Calls `f` on the terms right below a term, in the order of the source.
pub(super) fn children<'t, 's>(term: &'t Term<&'s str>, f: &mut dyn FnMut(&'t Term<&'s str>)) {
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Var(_) | Term::Break(_) | Term::Arr(None) => {}
        Term::Str(_, parts) => parts.iter().for_each(|part| {
            if let StrPart::Term(term) = part {
                f(term);
            }
        }),
        Term::Arr(Some(term)) | Term::Neg(term) | Term::Label(_, term) => f(term),
        Term::Obj(entries) => entries.iter().for_each(|(key, value)| {
            f(key);
            value.iter().for_each(&mut *f);
        }),
        Term::BinOp(left, op, right) => {
            f(left);
            if let BinaryOp::Pipe(Some(pattern)) = op {
                pattern_terms(pattern, f);
            }
            f(right);
        }
        Term::Fold(_, over, pattern, args) => {
            f(over);
            pattern_terms(pattern, f);
            args.iter().for_each(f);
        }
        Term::TryCatch(tried, caught) => {
            f(tried);
            caught.iter().for_each(|term| f(term));
        }
        Term::IfThenElse(branches, otherwise) => {
            branches.iter().for_each(|(test, then)| {
                f(test);
                f(then);
            });
            otherwise.iter().for_each(|term| f(term));
        }
        Term::Def(defs, rest) => {
            defs.iter().for_each(|def| f(&def.body));
            f(rest);
        }
        Term::Call(_, args) => args.iter().for_each(f),
        Term::Path(of, path) => {
            f(of);
            path.0.iter().for_each(|(part, _)| match part {
                Part::Index(index) => f(index),
                Part::Range(start, end) => start.iter().chain(end).for_each(&mut *f),
            });
        }
    }
}

fn pattern_terms<'t, 's>(pattern: &'t Pattern<&'s str>, f: &mut dyn FnMut(&'t Term<&'s str>)) {
    match pattern {
        Pattern::Var(_) => {}
        Pattern::Arr(items) => items.iter().for_each(|item| pattern_terms(item, f)),
        Pattern::Obj(entries) => entries.iter().for_each(|(key, pattern)| {
            f(key);
            pattern_terms(pattern, f);
        }),
    }
}

/// Looks for calls of a definition from within itself, which is all the recursion jq has (a
/// definition sees only itself, what encloses it, and what came before), and for calls of filters
/// that are no program's business.
struct Recursion<'s> {
    scope: Vec<Known<'s>>,
}

struct Known<'s> {
    name: &'s str,
    arity: usize,
    /// Whether we are inside its body.
    open: bool,
}

impl<'s> Recursion<'s> {
    fn term(&mut self, term: &Term<&'s str>) -> Result<(), Finding<'s>> {
        match term {
            Term::Call(name, args) => {
                let known = self.scope.iter().rev().find(|known| known.name == *name && known.arity == args.len());
                if known.is_some_and(|known| known.open) {
                    let message = format!("{name} calls itself; a program must end, use `..`, map, reduce or foreach");
                    return Err((message, name));
                }
                if known.is_none() && is_internal(name) {
                    return Err((format!("undefined filter {name}/{}", args.len()), name));
                }
                args.iter().try_for_each(|arg| self.term(arg))
            }
            Term::Def(defs, rest) => {
                let outer = self.scope.len();
                for def in defs {
                    let inner = self.scope.len();
                    let filters = def.args.iter().filter(|arg| !arg.starts_with('$'));
                    self.scope.extend(filters.map(|name| Known { name, arity: 0, open: false }));
                    self.scope.push(Known { name: def.name, arity: def.args.len(), open: true });
                    self.term(&def.body)?;
                    self.scope.truncate(inner);
                    self.scope.push(Known { name: def.name, arity: def.args.len(), open: false });
                }
                self.term(rest)?;
                self.scope.truncate(outer);
                Ok(())
            }
            Term::Str(Some(format), _) if self.open_format(format) => {
                Err((format!("{format} calls itself; a program must end"), format))
            }
            _ => {
                let mut result = Ok(());
                let mut below = Vec::new();
                children(term, &mut |child| below.push(child));
                for child in below {
                    result = result.and_then(|()| self.term(child));
                }
                result
            }
        }
    }

    /// `def @f: ... @f "text" ...;` is a call too.
    fn open_format(&self, name: &str) -> bool {
        let known = self.scope.iter().rev().find(|known| known.name == name && known.arity == 0);
        known.is_some_and(|known| known.open)
    }
}
