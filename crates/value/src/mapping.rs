//! A mapping: target fields, each with its own program.
//!
//! One program a field rather than one for the whole object, because jq reports no position when a
//! program fails. This way the error names the field, and what a mapping writes is known without
//! running it: lineage and ownership follow from its targets.

use std::collections::BTreeMap;

use crate::jq::{Budget, CompileError, Program, RunError};
use crate::{Map, Value};

/// An ordered list of target fields and the programs that fill them.
#[derive(Clone, Debug)]
pub struct Mapping {
    entries: Vec<(String, Program)>,
}

/// Why a mapping gave no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{target}: {error}")]
pub struct MappingError {
    /// The target field whose program failed.
    pub target: String,
    /// What happened.
    pub error: RunError,
}

impl Mapping {
    /// Compiles every entry `(target, source)`; reports all faults, each with the entry's number.
    ///
    /// A target is a dotted path such as `ship_to.postal_code`. It may be given once, and it may
    /// not lie inside another target, whose program would then write the same field.
    pub fn compile(entries: &[(String, String)], names: &[&str]) -> Result<Self, Vec<(usize, CompileError)>> {
        let mut faults = Vec::new();
        let mut compiled = Vec::with_capacity(entries.len());
        let mut targets = Targets::default();
        for (at, (target, source)) in entries.iter().enumerate() {
            if let Err(message) = targets.claim(target) {
                faults.push((at, CompileError { message, span: 0..0, hint: None }));
            }
            match Program::compile(source, names) {
                Ok(program) => compiled.push((target.clone(), program)),
                Err(error) => faults.push((at, error)),
            }
        }
        if faults.is_empty() { Ok(Self { entries: compiled }) } else { Err(faults) }
    }

    /// The targets and their programs, in order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, &Program)> {
        self.entries.iter().map(|(target, program)| (target.as_str(), program))
    }

    /// Runs every program on `input` and gathers the outputs in one object.
    ///
    /// A program without output leaves its field out, so `empty` and `select` make a field
    /// optional; `null` writes a null. The budget's fuel is for each program, its output for all.
    pub fn run(&self, input: &Value, vars: &[Value], budget: &Budget) -> Result<Value, MappingError> {
        let mut object = Value::from(Map::with_capacity(self.entries.len()));
        for (target, program) in &self.entries {
            match program.run(input, vars, budget) {
                Ok(output) => object.set(target, output),
                Err(RunError::NoOutput) => {}
                Err(error) => {
                    return Err(MappingError { target: target.clone(), error });
                }
            }
        }
        Ok(object)
    }
}

/// The targets given so far; each with the number of its steps being written or only passed.
#[derive(Default)]
struct Targets<'a> {
    taken: BTreeMap<&'a str, Use>,
}

#[derive(Clone, Copy, PartialEq)]
enum Use {
    Written,
    Passed,
}

impl<'a> Targets<'a> {
    fn claim(&mut self, target: &'a str) -> Result<(), String> {
        let name = |step: &str| !step.is_empty() && !step.contains(['[', ']', ' ', '"', '\'']);
        if !target.split('.').all(name) {
            return Err(format!("the target \"{target}\" is no dotted path of plain names"));
        }
        for (at, _) in target.match_indices('.') {
            let outer = &target[..at];
            if self.taken.get(outer) == Some(&Use::Written) {
                return Err(format!("the target \"{target}\" lies inside \"{outer}\", which is given too"));
            }
            self.taken.insert(outer, Use::Passed);
        }
        match self.taken.insert(target, Use::Written) {
            None => Ok(()),
            Some(Use::Written) => Err(format!("the target \"{target}\" is given twice")),
            Some(Use::Passed) => Err(format!("fields inside the target \"{target}\" are given too")),
        }
    }
}
