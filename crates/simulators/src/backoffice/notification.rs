//! Messages to the shopper: taken, kept, never delivered anywhere.

use super::Role;
use super::desk::{self, Answer, Desk, Refusal, call_key, row};
use crate::http::{Call, Response};
use crate::json::{Json, object};
use crate::simulator::{Context, Operation};
use crate::time;

#[derive(Default)]
pub struct Notification;

impl Role for Notification {
    fn operation(&self, method: &str, path: &[&str]) -> Option<Operation> {
        Some(match (method, path) {
            ("POST", ["messages"]) => Operation::write("message.send"),
            ("GET", ["messages"] | ["messages", _]) => Operation::read("message.get"),
            _ => return None,
        })
    }

    fn apply(&mut self, call: &Call, path: &[&str], body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        match (call.method, path) {
            ("POST", _) => {
                let scope = desk::scope(body)?;
                let reference = desk::required(body, "external_reference")?;
                desk.unused("messages", reference)?;
                let template = desk::required(body, "template")?;
                desk::required(body, "recipient")?;
                let id = desk.id("MS");
                context.ledger.add(context.now, row("message.send", call_key(call, reference), &scope, &id, template, "sent"));
                // The recipient is personal: the record answers without it.
                let record = object! {
                    "id": id, "external_reference": reference, "channel": &scope.channel, "site": &scope.site,
                    "order": &scope.order, "state": "sent", "template": template, "created_at": time::rfc3339(context.now),
                };
                Ok(desk.keep("messages", "", record, 201))
            }
            (_, ["messages", id]) => {
                let record = desk.nested(id).ok_or_else(|| Refusal::not_found("message of that id"))?;
                Ok(Response::json(200, record))
            }
            _ => desk.lookup("messages", "", call),
        }
    }
}
