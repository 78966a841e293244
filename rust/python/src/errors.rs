//! The Python classes of what the core refuses: one exhaustive match an error type.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tickrail_core::dispatch::{Refusal, RunError};
use tickrail_core::feed::{FeedShared, NotPublished};
use tickrail_core::lifecycle::{Operation, State};
use tickrail_core::threads::NoThread;
use tickrail_core::timer::TimerError;

use crate::lives::allowed_names;

pyo3::import_exception!(tickrail.errors, HandlerError);
pyo3::import_exception!(tickrail.errors, OrderRefused);
pyo3::import_exception!(tickrail.errors, RunFailed);
pyo3::import_exception!(tickrail.errors, RuntimeFault);
pyo3::import_exception!(tickrail.errors, WrongThread);

/// An error of the class `name` of `tickrail.errors`, with a hint.
pub fn hinted(py: Python<'_>, name: &str, message: &str, hint: &str) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let class = py.import("tickrail.errors")?.getattr(name)?;
        let keywords = PyDict::new(py);
        keywords.set_item("hint", hint)?;
        Ok(PyErr::from_value(class.call((message,), Some(&keywords))?))
    };
    make().unwrap_or_else(|error| error)
}

/// The exception for what a run takes before it begins, and no more.
pub fn begun(py: Python<'_>, message: &str, operation: &str) -> PyErr {
    let hint = "do it between the making of the run and its beginning";
    let error = hinted(py, "IllegalTransition", message, hint);
    let told = error.value(py).setattr("state", "begun").and_then(|()| error.value(py).setattr("operation", operation));
    told.err().unwrap_or(error)
}

/// The exception for what the system refuses at a start: where it has no thread left that is said in words of ours.
pub fn not_begun(py: Python<'_>, error: std::io::Error) -> PyErr {
    let is_thread = error.get_ref().is_some_and(|inner| inner.is::<NoThread>());
    if !is_thread {
        return error.into();
    }
    let hint = "end other processes, or raise the limit: 'ulimit -u', pids.max of the container, TasksMax of systemd";
    hinted(py, "BootstrapFailed", &error.to_string(), hint)
}

/// The exception for a step of a life that the table does not have.
pub fn illegal(py: Python<'_>, strategy: &str, state: State, operation: Operation, hint: &str) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let allowed = allowed_names(state);
        let shown = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
        let (verb, state) = (operation.name(), state.name());
        let message = format!("cannot {verb} strategy {strategy}: it is {state}; allowed here: {shown}");
        let keywords = PyDict::new(py);
        keywords.set_item("state", state)?;
        keywords.set_item("operation", verb)?;
        keywords.set_item("allowed", allowed)?;
        keywords.set_item("hint", (!hint.is_empty()).then_some(hint))?;
        let class = py.import("tickrail.errors")?.getattr("IllegalTransition")?;
        Ok(PyErr::from_value(class.call((message,), Some(&keywords))?))
    };
    make().unwrap_or_else(|error| error)
}

/// The same as an exception of `class`, if it says that the run has no such instrument; whatever else is wrong stays as it is.
pub fn not_in_run(py: Python<'_>, class: &str, prefix: &str, error: PyErr) -> PyErr {
    if !error.is_instance_of::<OrderRefused>(py) {
        return error;
    }
    let text = |name: &str| error.value(py).getattr(name).map(|said| said.to_string()).unwrap_or_default();
    hinted(py, class, &format!("{prefix}{}", text("message")), &text("hint"))
}

/// The exception for a request that was refused on the spot.
pub fn refused(py: Python<'_>, strategy: &str, refusal: &Refusal) -> PyErr {
    let message = format!("strategy {strategy}: {refusal}");
    match refusal {
        Refusal::Quantity(_) => hinted(
            py,
            "OrderRefused",
            &message,
            "sell() and buy() take a positive quantity; target() takes a signed one",
        ),
        Refusal::Illegal(state, operation) => illegal(py, strategy, *state, *operation, ""),
        Refusal::State(_) => hinted(py, "OrderRefused", &message, "act from handlers, on_start or on_stop"),
        Refusal::Timer(error) => timer_refused(py, &message, error),
        Refusal::OffGrid(_) => hinted(
            py,
            "OrderRefused",
            &message,
            "round_price() and round_quantity() bring values onto the instrument's grid",
        ),
        _ => OrderRefused::new_err(message),
    }
}

fn timer_refused(py: Python<'_>, message: &str, error: &TimerError) -> PyErr {
    let hint = match error {
        TimerError::NameTaken => "cancel the other first: cancel_timer(name), or its handle.cancel()",
        TimerError::TooMany => "cancel those that are no longer needed; timers() lists them",
        TimerError::StartInPast { .. } => {
            "leave start_ns out, or begin at the next time: a timer cannot make up for the past"
        }
        TimerError::EndBeforeStart { .. } => "end_ns is the first time at which the timer does not fire any more",
        _ => "times and intervals are nanoseconds: one second is 1_000_000_000",
    };
    hinted(py, "TimerRefused", message, hint)
}

/// The exception for a run that cannot go on; `feeds` are the feeds by number, as a user knows them.
pub fn run_failed(py: Python<'_>, error: &RunError, feeds: &[String]) -> PyErr {
    let feed = error.feed().and_then(|feed| feeds.get(feed as usize));
    let message = feed.map_or_else(|| error.to_string(), |feed| format!("feed {feed}: {error}"));
    match error {
        RunError::Unordered { .. } | RunError::UnknownInstrument { .. } => hinted(
            py,
            "RunFailed",
            &message,
            "the file or array is damaged or unsorted: 'tickrail data info --verify' tells; import the source again",
        ),
        _ => RunFailed::new_err(message),
    }
}

/// The exception for records that a publisher could not bring: `taken` of `offered` were dealt with.
pub fn not_published(py: Python<'_>, refusal: &NotPublished, feed: &FeedShared, taken: usize, offered: usize) -> PyErr {
    let (class, why, hint) = match refusal {
        NotPublished::Full { .. } => {
            ("RingFull", "the ring is full", "publish the rest later, or declare a policy that waits or drops")
        }
        NotPublished::TimedOut { .. } => (
            "PublishTimeout",
            "the ring stayed full for the feed's time-out",
            "the strategies are slower than the feed: see docs/backpressure.md",
        ),
        NotPublished::RateTimedOut { .. } => (
            "PublishTimeout",
            "its rate let no more through within its time-out",
            "publish less, or declare a higher rate_limit or a longer timeout_s",
        ),
        NotPublished::Closed { .. } => {
            ("FeedClosed", "it is closed, or the run is over", "end the source's loop on this")
        }
        _ => ("PublishError", "the wait was interrupted", "publish the rest"),
    };
    let message = format!("feed {}: {why}; {taken} of {offered} records were taken", feed.name);
    let make = || -> PyResult<PyErr> {
        let keywords = PyDict::new(py);
        keywords.set_item("hint", hint)?;
        keywords.set_item("taken", taken)?;
        keywords.set_item("offered", offered)?;
        let class = py.import("tickrail.errors")?.getattr(class)?;
        Ok(PyErr::from_value(class.call((message,), Some(&keywords))?))
    };
    make().unwrap_or_else(|error| error)
}
