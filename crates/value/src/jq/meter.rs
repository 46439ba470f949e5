//! The budget of a run, counted in the value's own operations.
//!
//! jaq has no fuel, but whatever a program does, it does through values: indexing, iterating,
//! adding, comparing, cloning. Each of these spends here. Some of them (`Clone`, `From`, `Ord`)
//! have no way to return an error, and an error could be caught by the program's own `try`, so
//! running out unwinds to [`within`] instead. The unwind is silent: no panic hook is called.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

#[cfg(not(panic = "unwind"))]
compile_error!("jq programs are stopped by unwinding; build with panic = \"unwind\"");

/// What one run may cost.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Operations on values. Mapping an order takes some hundred a line, each well under a
    /// microsecond.
    pub fuel: u64,
    /// Bytes of any one text that the program makes.
    pub text_max: usize,
    /// Values in the output, counted as it would be written.
    pub output_max: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { fuel: 1_000_000, text_max: 4 << 20, output_max: 500_000 }
    }
}

/// Arrays and objects within each other that a program may build. Documents are read to 64; beyond
/// a few thousand, dropping a value would overflow the stack.
pub(super) const DEPTH_MAX: u16 = 256;

/// Bytes of stack that a run may use; threads of the runtime have two megabytes. jaq recurses not
/// only on a value but, for `reduce` on the left of `|=`, on the length of a list.
const STACK_MAX: usize = 1 << 20;

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Fuel,
    Text,
    Depth,
    Output,
    Utf8,
    Float,
}

thread_local! {
    /// Full outside of a run, where values may be cloned and compared freely.
    static FUEL: Cell<u64> = const { Cell::new(u64::MAX) };
    static TEXT_MAX: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Address near the top of the stack when the run began; 0 outside of a run.
    static STACK_TOP: Cell<usize> = const { Cell::new(0) };
}

/// Takes `amount` of the fuel, or ends the run; also when the interpreter has recursed too deep.
#[inline]
pub(super) fn spend(amount: u64) {
    match FUEL.get().checked_sub(amount) {
        Some(left) => FUEL.set(left),
        None => stop(Stop::Fuel),
    }
    if STACK_TOP.get().saturating_sub(stack_address()) > STACK_MAX {
        stop(Stop::Depth);
    }
}

/// Where the stack is now, near enough.
#[inline(always)]
fn stack_address() -> usize {
    let here = 0_u8;
    std::hint::black_box(&raw const here).addr()
}

/// Takes one of the fuel for each of `count` things, without overflow.
pub(super) fn spend_for(count: usize) {
    spend(u64::try_from(count).unwrap_or(u64::MAX));
}

/// Ends the run if a text of `bytes` may not be made, and pays for copying it.
pub(super) fn spend_for_text(bytes: usize) {
    if bytes > TEXT_MAX.get() {
        stop(Stop::Text);
    }
    spend_for(bytes / 64);
}

/// Ends the run.
pub(super) fn stop(why: Stop) -> ! {
    panic::resume_unwind(Box::new(why))
}

/// How a run ended early.
pub(super) enum Ended {
    Stopped(Stop),
    /// Another panic: a defect in this crate or in jaq. Its message has gone to the panic hook.
    Panicked,
}

/// Runs `f` under a budget.
pub(super) fn within<T>(budget: &Budget, f: impl FnOnce() -> T) -> Result<T, Ended> {
    struct Restore(u64, usize, usize);
    impl Drop for Restore {
        fn drop(&mut self) {
            FUEL.set(self.0);
            TEXT_MAX.set(self.1);
            STACK_TOP.set(self.2);
        }
    }
    let _restore = Restore(FUEL.replace(budget.fuel), TEXT_MAX.replace(budget.text_max), STACK_TOP.replace(stack_address()));
    // The values are immutable or owned by `f`; nothing half-changed is seen after an unwind.
    panic::catch_unwind(AssertUnwindSafe(f))
        .map_err(|payload: Box<dyn Any + Send>| payload.downcast::<Stop>().map_or(Ended::Panicked, |why| Ended::Stopped(*why)))
}
