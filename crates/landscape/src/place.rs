//! Addresses and secrets: what a landscape in git may hold of them, which is only where to find them.

use crate::{
    fault::Faults,
    read::text,
    yaml::{Data, Node},
};
use crossdock_connect::secret::SecretRef;
use crossdock_value::{Map, Value};
use std::{fs, io::Read, sync::Arc};

/// Looks up a variable of the environment. The hub passes the real one; `demo` and tests pass a table.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A variable that an address or a setting refers to is not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment has no variable {0}; set it, or change the reference")]
pub struct MissingVariable(pub String);

const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Fetches a secret for `crossdock_connect::secret::Secrets`: the one place where the hub reads secrets.
pub fn read_secret(reference: &SecretRef, environment: &Environment<'_>) -> Result<String, String> {
    match reference {
        SecretRef::Env(name) => environment(name).ok_or_else(|| "it is not set".into()),
        SecretRef::Sim(value) => Ok(value.clone()),
        SecretRef::File(path) => {
            let mut secret = String::new();
            let file = fs::File::open(path).map_err(|e| e.to_string())?;
            let size = file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut secret).map_err(|e| e.to_string())?;
            if size as u64 > SECRET_BYTES_MAX {
                return Err(format!("it is larger than {SECRET_BYTES_MAX} bytes"));
            }
            Ok(secret)
        }
    }
}

/// The text with every `${env:NAME}` replaced by the variable's value.
pub(crate) fn resolve(text: &str, environment: &Environment<'_>) -> Result<String, MissingVariable> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, after)) = variable(rest) {
        out.push_str(before);
        out.push_str(&environment(name).ok_or_else(|| MissingVariable(name.to_owned()))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The same in every text of a value.
pub(crate) fn resolve_all(value: &Value, environment: &Environment<'_>) -> Result<Value, MissingVariable> {
    Ok(match value {
        Value::Str(text) if text.contains("${env:") => Value::from(resolve(text, environment)?),
        Value::Arr(items) => Value::from(items.iter().map(|item| resolve_all(item, environment)).collect::<Result<Vec<_>, _>>()?),
        Value::Obj(map) => {
            let entries = map.iter().map(|(key, value)| Ok((key.clone(), resolve_all(value, environment)?)));
            Value::from(entries.collect::<Result<Map, MissingVariable>>()?)
        }
        other => other.clone(),
    })
}

/// The first variable of a text: before it, its name, behind it.
fn variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${env:")?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

fn is_variable(name: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes().all(letters) && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// Reports every `${` that is no variable, in all texts of a node.
pub(crate) fn variables(node: &Node, faults: &mut Faults) {
    match &node.data {
        Data::Text(text) => {
            let mut rest = &**text;
            while let Some((_, tail)) = rest.split_once("${env:") {
                match tail.split_once('}').filter(|(name, _)| is_variable(name)) {
                    Some((_, after)) => rest = after,
                    None => {
                        let found = faults.add(node.spot, "bad_reference", "`${env:` is not followed by a name and `}`");
                        found.suggest(Some("write ${env:NAME}, with letters, digits and _ in the name"));
                        return;
                    }
                }
            }
        }
        Data::List(items) => items.iter().for_each(|item| variables(item, faults)),
        Data::Map(entries) => entries.iter().for_each(|(_, node)| variables(node, faults)),
        Data::Null | Data::Bool(_) | Data::Number(_) => {}
    }
}

/// An address: `http://` or `https://`, or a variable that holds one.
pub(crate) fn url(node: &Node, faults: &mut Faults) -> Option<Arc<str>> {
    let given = text(node, faults)?;
    let before = faults.count();
    variables(node, faults);
    if faults.count() > before {
        return None;
    }
    let scheme = ["http://", "https://", "${env:"].iter().find(|scheme| given.starts_with(**scheme));
    let host = scheme.map(|scheme| &given[scheme.len()..]);
    if !host.is_some_and(|host| !host.is_empty() && !host.starts_with('/')) || given.chars().any(char::is_whitespace) {
        let found = faults.add(node.spot, "bad_url", format!("`{given}` is not an address"));
        found.suggest(Some("write http://host, https://host or ${env:NAME}"));
        return None;
    }
    Some(given)
}

/// Keys that hold a secret, whatever the connector.
const SECRET_KEYS: &[&str] = &[
    "password",
    "secret",
    "secret_key",
    "client_secret",
    "signing_secret",
    "webhook_secret",
    "token",
    "api_key",
    "apikey",
    "private_key",
    "access_token",
];

/// Reports every secret that stands where only a reference to it may, and keeps it from being shown.
pub(crate) fn literal_secrets(node: &Node, faults: &mut Faults) {
    match &node.data {
        Data::Map(entries) => {
            // `{kind: header, name: x-api-key, value: ...}`.
            let is_pair = node.entry("kind").and_then(Node::text).is_some_and(|kind| &**kind == "header");
            for (key, value) in entries {
                let is_secret = SECRET_KEYS.contains(&key.text.as_str()) || (is_pair && key.text == "value");
                match &value.data {
                    Data::Text(_) | Data::Number(_) if is_secret => secret(value, faults),
                    _ => literal_secrets(value, faults),
                }
            }
        }
        Data::List(items) => items.iter().for_each(|item| literal_secrets(item, faults)),
        // Secrets that tell themselves by how they begin.
        Data::Text(text)
            if ["sk_live_", "sk_test_", "rk_live_", "whsec_", "-----BEGIN "].iter().any(|mark| text.starts_with(mark)) =>
        {
            secret(node, faults);
        }
        _ => {}
    }
}

/// The text of a reference to a secret.
pub(crate) fn secret_text(node: &Node, faults: &mut Faults) -> Option<Arc<str>> {
    let before = faults.count();
    secret(node, faults);
    node.text().filter(|_| faults.count() == before).map(Arc::clone)
}

fn secret(node: &Node, faults: &mut Faults) {
    let begins = |mark: &str| node.text().is_some_and(|text| text.starts_with(mark));
    if begins("env:") || begins("file:") {
        if !node.text().is_some_and(|text| is_reference(text)) {
            let found = faults.add(node.spot, "bad_reference", "this refers to nothing");
            found.suggest(Some("write env:NAME, with letters, digits and _ in the name, or file:PATH"));
        }
    } else if !node.text().is_some_and(|text| is_reference(text)) {
        faults.mask(node.spot);
        let found = faults.add(node.spot, "secret_literal", "a secret must not stand in a landscape");
        found.suggest(Some("refer to it with env:NAME or file:PATH; if it was ever committed, have it replaced"));
    }
}

pub(crate) fn is_reference(text: &str) -> bool {
    match SecretRef::parse(text) {
        Ok(SecretRef::Env(name)) => is_variable(&name),
        Ok(SecretRef::File(_) | SecretRef::Sim(_)) => true,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_their_place_and_a_missing_one_is_named() {
        let table = |name: &str| (name == "HOST").then(|| "erp.example".to_owned());
        assert_eq!(resolve("https://${env:HOST}/api/${env:HOST}", &table), Ok("https://erp.example/api/erp.example".into()));
        assert_eq!(resolve("https://fixed", &table), Ok("https://fixed".into()));
        assert_eq!(resolve("${env:PORT}", &table), Err(MissingVariable("PORT".into())));
        let nested = crossdock_value::value!({"a": [{"b": "x${env:HOST}"}, 1]});
        assert_eq!(resolve_all(&nested, &table), Ok(crossdock_value::value!({"a": [{"b": "xerp.example"}, 1]})));
    }

    #[test]
    fn only_references_are_taken_for_secrets() {
        for (text, taken) in [
            ("env:TOKEN", true),
            ("file:/run/secrets/token", true),
            ("sim:x", true),
            ("env:", false),
            ("env:A B", false),
            ("hunter2", false),
        ] {
            assert_eq!(is_reference(text), taken, "{text}");
        }
    }
}
