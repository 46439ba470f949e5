//! The expressions of a configuration, compiled once: jq programs, path templates with jq in braces, bodies field by field.

use crossdock_connect::config::{ConfigFault, fault, join};
use crossdock_connect::http::percent;
use crossdock_value::{Budget, Map, Program, RunError, Value};

/// One jq program.
#[derive(Clone, Debug)]
pub(super) struct Expression(Program);

impl Expression {
    pub fn compile(source: &str, path: &str, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        Self::at(source, 0, path, faults)
    }

    /// Compiles a part of the text at `path` that begins at `offset` in it.
    fn at(source: &str, offset: usize, path: &str, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        match Program::compile(source, &[]) {
            Ok(program) => Some(Self(program)),
            Err(error) => {
                let span = Some(error.span.start + offset..error.span.end + offset);
                faults.push(ConfigFault { path: path.to_owned(), span, message: error.to_string() });
                None
            }
        }
    }

    /// The one output, `Null` for none.
    pub fn run(&self, input: &Value) -> Result<Value, String> {
        match self.0.run(input, &[], &Budget::default()) {
            Ok(value) => Ok(value),
            Err(RunError::NoOutput) => Ok(Value::Null),
            Err(error) => Err(format!("`{}`: {error}", self.0.source())),
        }
    }

    /// A condition that cannot be told is a fault, not a no.
    pub fn test(&self, input: &Value) -> Result<bool, String> {
        self.0.test(input, &[], &Budget::default()).map_err(|error| format!("`{}`: {error}", self.0.source()))
    }

    /// Text, or a number as it is written.
    pub fn text(&self, input: &Value) -> Result<String, String> {
        match self.run(input)? {
            Value::Str(text) => Ok(text.to_string()),
            Value::Num(number) => Ok(number.to_string()),
            other => Err(format!("`{}` gives {}, where text is needed", self.0.source(), other.kind())),
        }
    }
}

/// `/orders/{.order.number}/lines?site={.order.site}`: what is in braces is percent-encoded.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    Expression(Expression),
}

impl Template {
    pub fn compile(source: &str, path: &str, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        let known = faults.len();
        if !source.starts_with('/') {
            faults.push(fault(path, "a path starts with `/`; the system's address is in `url`"));
        }
        if source.bytes().any(|byte| byte <= b' ' || byte == 0x7f) && !source.contains('{') {
            faults.push(fault(path, "a path has no blanks; write them as %20"));
        }
        let mut parts = Vec::new();
        let mut rest = 0;
        while let Some(open) = source[rest..].find('{').map(|at| rest + at) {
            let Some(close) = closing_brace(source, open) else {
                let span = Some(open..source.len());
                faults.push(ConfigFault { path: path.to_owned(), span, message: "this `{` has no `}`".into() });
                break;
            };
            parts.push(Part::Literal(source[rest..open].to_owned()));
            parts.extend(Expression::at(&source[open + 1..close], open + 1, path, faults).map(Part::Expression));
            rest = close + 1;
        }
        parts.push(Part::Literal(source[rest..].to_owned()));
        (faults.len() == known).then_some(Self(parts))
    }

    pub fn run(&self, input: &Value) -> Result<String, String> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Expression(expression) => out.push_str(&percent(&expression.text(input)?)),
            }
        }
        Ok(out)
    }
}

/// The brace that closes the one at `open`, past nested ones and texts.
fn closing_brace(source: &str, open: usize) -> Option<usize> {
    let bytes = source.as_bytes();
    let (mut depth, mut quoted, mut at) = (0_usize, false, open);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// A body: one program, or one for each field.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Whole(Expression),
    Fields(Vec<(String, Expression)>),
}

impl Body {
    pub fn compile(value: &Value, path: &str, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Str(source) => Expression::compile(source, path, faults).map(Body::Whole),
            Value::Obj(map) => {
                let mut fields = Vec::new();
                for (target, source) in map.iter() {
                    let at = join(path, target);
                    match source {
                        Value::Str(source) => {
                            fields.extend(Expression::compile(source, &at, faults).map(|e| (target.to_string(), e)))
                        }
                        other => faults.push(fault(at, format!("expected a jq expression, found {}", other.kind()))),
                    }
                }
                Some(Body::Fields(fields))
            }
            other => {
                faults.push(fault(path, format!("expected a jq expression or fields, found {}", other.kind())));
                None
            }
        }
    }

    /// `Err` names the field and the reason.
    pub fn run(&self, input: &Value) -> Result<Value, (String, String)> {
        match self {
            Body::Whole(expression) => expression.run(input).map_err(|reason| ("body".to_owned(), reason)),
            Body::Fields(fields) => {
                let mut body = Value::from(Map::new());
                apply(fields, input, &mut body)?;
                Ok(body)
            }
        }
    }

    /// Sets the fields on a body that was already made; a whole body replaces it.
    pub fn extend(&self, input: &Value, body: &mut Value) -> Result<(), (String, String)> {
        match self {
            Body::Whole(_) => *body = self.run(input)?,
            Body::Fields(fields) => apply(fields, input, body)?,
        }
        Ok(())
    }
}

/// A field whose program gives null is left as it was, or out: systems differ on null, absence is understood by all.
fn apply(fields: &[(String, Expression)], input: &Value, body: &mut Value) -> Result<(), (String, String)> {
    for (target, expression) in fields {
        let value = expression.run(input).map_err(|reason| (target.clone(), reason))?;
        if !value.is_null() {
            body.set(target, value);
        }
    }
    Ok(())
}
