//! What can be wrong with a program, before and while it runs.

use std::ops::Range;

/// Why a program does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", .hint.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
pub struct CompileError {
    /// What is wrong, and what to do if it is not obvious.
    pub message: String,
    /// The bytes of the source it concerns; empty at the end of the source if something is missing.
    pub span: Range<usize>,
    /// The nearest filter or variable that exists.
    pub hint: Option<String>,
}

/// Why a run gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The program called `error`, or an operation does not fit its operands.
    #[error("{message}")]
    Failed { message: String },
    /// The budget's fuel is used up.
    #[error("the program needs more than {fuel} steps; make it simpler or raise its budget")]
    OutOfFuel { fuel: u64 },
    /// The program made too long a text.
    #[error("the program makes a text of more than {max} bytes")]
    TextTooLong { max: usize },
    /// The program made too deep a value, or recursed too deep over one.
    #[error("the program goes more than {max} levels deep")]
    TooDeep { max: usize },
    /// The output has too many values.
    #[error("the output has more than {max} values")]
    OutputTooLarge { max: u64 },
    /// Decoded bytes are no text.
    #[error("the decoded bytes are not UTF-8 text")]
    NotText,
    /// `run` wants exactly one output.
    #[error("the program gives no output for this input")]
    NoOutput,
    /// `run` wants exactly one output.
    #[error("the program gives more than one output; wrap it in [...] or take first(...)")]
    ManyOutputs,
    /// The caller gave too many or too few variables.
    #[error("the program was compiled for {expected} variables and got {got}")]
    Variables { expected: usize, got: usize },
    /// A fault of ours or of jaq, not of the program.
    #[error("the program interpreter failed; this is a defect, please report the program")]
    Defect,
}

impl RunError {
    /// A code that does not change between releases.
    pub fn code(&self) -> &'static str {
        match self {
            RunError::Failed { .. } => "jq.failed",
            RunError::OutOfFuel { .. } => "jq.out_of_fuel",
            RunError::TextTooLong { .. } => "jq.text_too_long",
            RunError::TooDeep { .. } => "jq.too_deep",
            RunError::OutputTooLarge { .. } => "jq.output_too_large",
            RunError::NotText => "jq.not_text",
            RunError::NoOutput => "jq.no_output",
            RunError::ManyOutputs => "jq.many_outputs",
            RunError::Variables { .. } => "jq.variables",
            RunError::Defect => "jq.defect",
        }
    }
}
