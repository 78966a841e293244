//! The loop without the GIL, for runs whose strategies are all compiled.

use pyo3::prelude::*;
use tickrail_core::dispatch::{Dispatcher, Outcome};

use crate::host::PyHost;
use crate::pace::{Pace, STRETCH};

/// A loop that crosses into code without the GIL and back, on one thread.
struct Loop<'a>(&'a mut Dispatcher<PyHost>);

// SAFETY: `Python::detach` runs its closure on the calling thread; `Send` stands for "touches nothing that needs the GIL". Other
// threads can reach the loop only through the `RefCell` of its dispatcher, which is borrowed, and whose flag nobody changes
// before the GIL is held again. The host touches Python in nothing but `hook` and `handler_failure`, which attach.
unsafe impl Send for Loop<'_> {}

impl Loop<'_> {
    fn advance(self) -> Outcome {
        let mut look = Pace::every(STRETCH);
        loop {
            let outcome = self.0.advance();
            if outcome != Outcome::Slice || look.is_due() {
                return outcome;
            }
        }
    }
}

/// Goes on for a few ms, or to whatever comes before.
pub fn advance(py: Python<'_>, core: &mut Dispatcher<PyHost>) -> Outcome {
    core.host().set_detached(py, true);
    let running = Loop(core);
    let outcome = py.detach(move || running.advance());
    core.host().set_detached(py, false);
    outcome
}
