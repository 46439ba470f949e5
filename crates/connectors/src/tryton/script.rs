//! A conversation of many calls, written as straight code.
//!
//! The engine asks again and again what comes next, with all answers so far. A script is run from its start each time: a call that was
//! answered returns its answer, the first one that was not ends the run with the request to send. So scripts read top to bottom, keep
//! no state, and see the same answers in the same order.

use super::Settings;
use super::wire::{self, Answer};
use crossdock_canonical::{Outcome, OutcomeClass};
use crossdock_connect::Exchange;
use crossdock_connect::classify::{self, Nature};
use crossdock_connect::http::Request;
use crossdock_value::{Value, value};

/// Why a run ended.
pub(super) enum Stop {
    Send(Box<Request>),
    End(Box<Outcome>),
}

pub(super) type Run<T> = Result<T, Stop>;

pub(super) fn end<T>(outcome: Outcome) -> Run<T> {
    Err(Stop::End(Box::new(outcome)))
}

/// Changes the defaults of a wizard's form.
pub(super) type Answers = fn(&mut Value);

pub(super) struct Script<'e> {
    pub settings: &'e Settings,
    exchanges: std::slice::Iter<'e, Exchange>,
    /// A call of this attempt has changed something: an unclear end is not harmless any more.
    changed: bool,
}

impl<'e> Script<'e> {
    pub fn new(settings: &'e Settings, exchanges: &'e [Exchange]) -> Self {
        Self { settings, exchanges: exchanges.iter(), changed: false }
    }

    /// Calls a method that changes nothing.
    pub fn read(&mut self, method: &str, params: Vec<Value>) -> Run<Value> {
        self.settled(method, params, Nature::Read, value!({}))
    }

    /// Calls a method that changes something; a rule that refuses it ends the script.
    pub fn change(&mut self, method: &str, params: Vec<Value>) -> Run<Value> {
        self.settled(method, params, Nature::Change, value!({}))
    }

    pub fn change_within(&mut self, method: &str, params: Vec<Value>, context: Value) -> Run<Value> {
        self.settled(method, params, Nature::Change, context)
    }

    fn settled(&mut self, method: &str, params: Vec<Value>, nature: Nature, context: Value) -> Run<Value> {
        match self.attempt(method, params, nature, context)? {
            Ok(result) => Ok(result),
            Err(message) => end(Outcome::refused("user_error", message)),
        }
    }

    /// Calls a method that a rule may refuse without ending the script.
    pub fn try_change(&mut self, method: &str, params: Vec<Value>) -> Run<Result<Value, String>> {
        self.attempt(method, params, Nature::Change, value!({}))
    }

    fn attempt(&mut self, method: &str, params: Vec<Value>, nature: Nature, context: Value) -> Run<Result<Value, String>> {
        loop {
            match self.exchange(method, params.clone(), nature, &context)? {
                Answer::Result(result) => {
                    self.changed |= nature == Nature::Change;
                    return Ok(Ok(result));
                }
                Answer::UserError(message) => return Ok(Err(message)),
                Answer::UserWarning(name, message) => {
                    if !self.settings.skips(&name) {
                        return end(Outcome::refused("user_warning", message));
                    }
                    let skip = vec![Value::from(name), Value::Bool(false)];
                    match self.exchange("model.res.user.warning.skip", skip, Nature::Read, &value!({}))? {
                        Answer::Result(_) => {}
                        Answer::UserError(message) | Answer::UserWarning(_, message) => {
                            return end(Outcome::refused("user_error", message));
                        }
                        Answer::Ended(outcome) => return end(self.unclear(outcome)),
                    }
                }
                Answer::Ended(outcome) => return end(self.unclear(outcome)),
            }
        }
    }

    fn exchange(&mut self, method: &str, params: Vec<Value>, nature: Nature, more: &Value) -> Run<Answer> {
        let mut context = value!({"company": (self.settings.company), "language": (self.settings.language.as_str())});
        for (key, value) in more.as_obj().into_iter().flat_map(|map| map.iter()) {
            context.insert(key.clone(), value.clone());
        }
        let Some(exchange) = self.exchanges.next() else {
            return Err(Stop::Send(Box::new(wire::call(&self.settings.database, method, params, context))));
        };
        match &exchange.answer {
            Ok(response) => Ok(wire::read(response, nature)),
            Err(error) => Ok(Answer::Ended(classify::broken(error, nature))),
        }
    }

    /// Once something was changed, a read that ends unclear leaves the whole unclear. A system that turned us away before it did
    /// anything still only asks for patience: scripts look for what an earlier attempt left and go on from there.
    fn unclear(&self, mut outcome: Outcome) -> Outcome {
        let turned_away =
            outcome.code.starts_with("http_4") || outcome.code == "http_503" || outcome.code == classify::TOKEN_EXPIRED;
        let harmless = turned_away || matches!(outcome.code.as_str(), "not_connected" | "not_authorized" | "modified_meanwhile");
        if self.changed && outcome.class == OutcomeClass::Retry && !harmless {
            outcome.class = OutcomeClass::Unknown;
        }
        outcome
    }

    // -- models --

    pub fn search(&mut self, model: &str, domain: Value, fields: &[&str]) -> Run<Vec<Value>> {
        let fields: Value = fields.iter().map(|field| Value::from(*field)).collect();
        let order = value!([["id", "ASC"]]);
        let found = self.read(&format!("model.{model}.search_read"), vec![domain, 0.into(), 100.into(), order, fields])?;
        Ok(found.as_arr().map(<[Value]>::to_vec).unwrap_or_default())
    }

    pub fn records(&mut self, model: &str, ids: &Value, fields: &[&str]) -> Run<Vec<Value>> {
        if ids.as_arr().is_none_or(<[Value]>::is_empty) {
            return Ok(Vec::new());
        }
        let fields: Value = fields.iter().map(|field| Value::from(*field)).collect();
        let found = self.read(&format!("model.{model}.read"), vec![ids.clone(), fields])?;
        Ok(found.as_arr().map(<[Value]>::to_vec).unwrap_or_default())
    }

    pub fn record(&mut self, model: &str, id: i64, fields: &[&str]) -> Run<Value> {
        let found = self.records(model, &value!([id]), fields)?;
        match found.into_iter().next() {
            Some(record) => Ok(record),
            None => end(Outcome::refused("record_gone", format!("{model} {id} is not there any more"))),
        }
    }

    pub fn button(&mut self, model: &str, id: i64, button: &str) -> Run<Value> {
        self.change(&format!("model.{model}.{button}"), vec![value!([id])])
    }

    /// A button that is refused when another has pressed it meanwhile: what counts is the state read afterwards.
    pub fn press(&mut self, model: &str, id: i64, button: &str) -> Run<Option<String>> {
        Ok(self.try_change(&format!("model.{model}.{button}"), vec![value!([id])])?.err())
    }

    /// Runs a wizard to `state`. `form` is the state that asks first, and what of its defaults is answered otherwise.
    pub fn wizard(&mut self, name: &str, state: &str, model: &str, id: i64, form: Option<(&str, Answers)>) -> Run<Value> {
        match self.try_wizard(name, state, model, &[id], form)? {
            Ok(result) => Ok(result),
            Err(message) => end(Outcome::refused("user_error", message)),
        }
    }

    /// The same on several records, where a rule may refuse it without ending the script.
    pub fn try_wizard(
        &mut self,
        name: &str,
        state: &str,
        model: &str,
        ids: &[i64],
        form: Option<(&str, Answers)>,
    ) -> Run<Result<Value, String>> {
        let all: Value = ids.iter().map(|id| Value::from(*id)).collect();
        let context = value!({"active_model": model, "active_id": (ids.first().copied()), "active_ids": all});
        let made = self.change_within(&format!("wizard.{name}.create"), Vec::new(), context.clone())?;
        let session = made.as_arr().and_then(|parts| parts.first()).cloned().unwrap_or_default();
        let execute = format!("wizard.{name}.execute");
        let mut data = value!({});
        if let Some((start, answers)) = form {
            let shown = self.change_within(&execute, vec![session.clone(), value!({}), start.into()], context.clone())?;
            let mut fields = value!({});
            // Companions of references end in a dot and are refused when they come back.
            for (key, value) in shown.at("view.defaults").as_obj().into_iter().flat_map(|map| map.iter()) {
                if !key.ends_with('.') {
                    fields.insert(key.clone(), value.clone());
                }
            }
            answers(&mut fields);
            data.insert(start, fields);
        }
        let result = self.attempt(&execute, vec![session.clone(), data, state.into()], Nature::Change, context)?;
        // The server keeps a wizard until it is told to forget it.
        self.change(&format!("wizard.{name}.delete"), vec![session])?;
        Ok(result)
    }
}
