//! Turns of other threads: where no handler runs, the loop holds the GIL and the interpreter never gets to share it.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Lets another thread have the GIL if it has waited for its switch interval, and looks after signals.
///
/// By calling a Python function that does nothing: on entry the interpreter looks whether somebody asked for the GIL, and if
/// so hands it over and waits until it was taken. Giving the GIL up and taking it back instead (`Python::detach`) hands
/// nothing over: it wakes the waiter, has the GIL back before the waiter runs, and thereby starts the waiter's interval
/// anew; at a pace near the interval a thread waited for seconds (docs/decisions/0022).
/// 40 ns where nobody waits.
pub fn offer(py: Python<'_>) -> PyResult<()> {
    static NOTHING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let nothing = NOTHING.get_or_try_init(py, || py.eval(c"lambda: None", None, None).map(Bound::unbind))?;
    nothing.bind(py).call0()?;
    py.check_signals()
}
