//! The accounts of a run as plain values.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tickrail_core::check::Problem;
use tickrail_core::dispatch::{Account, Snapshot};
use tickrail_core::feed::FeedAccount;

use crate::dispatcher::Dispatcher;
use crate::feed::check_fork;
use crate::gil::thread_mark;

#[pymethods]
impl Dispatcher {
    /// The accounts of all feeds and strategies at one moment. Any thread, at any time; before the run begins, empty.
    ///
    /// Waits at most ``patience_s`` for the loop to come to the end of its slice, without the GIL; where a handler keeps it,
    /// or calls this itself, the last accounts that were taken.
    #[pyo3(signature = (patience_s=0.1))]
    fn accounts<'py>(&self, py: Python<'py>, patience_s: f64) -> PyResult<Bound<'py, PyDict>> {
        check_fork(py, self.born)?;
        let inside = self.inside.get(py);
        if inside.is_at_rest() {
            return inside.look_mut(|core| snapshot(py, &core.snapshot()));
        }
        let is_inside = inside.thread.get() == thread_mark();
        let wait = if is_inside { Duration::ZERO } else { patience(patience_s) };
        let question = self.snapshots.ask();
        self.waker.wake();
        let snapshots = Arc::clone(&self.snapshots);
        let taken = py.detach(move || snapshots.wait(question, wait));
        snapshot(py, &taken)
    }
}

/// Longest wait for an answer of the loop, whatever is asked for: an hour.
pub const MAX_PATIENCE_S: f64 = 3_600.0;

/// How long to wait, from seconds; what is no time at all is none.
pub fn patience(seconds: f64) -> Duration {
    Duration::from_secs_f64(if seconds > 0.0 { seconds.min(MAX_PATIENCE_S) } else { 0.0 })
}

/// A whole snapshot; strategies and their accounts by feed in order of registration, feeds in the order opened.
pub fn snapshot<'py>(py: Python<'py>, snapshot: &Snapshot) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("position", snapshot.position)?;
    row.set_item("now_ns", snapshot.now_ns)?;
    row.set_item("inputs", snapshot.inputs)?;
    let feeds: Vec<_> = snapshot.feeds.iter().map(|feed| feed_row(py, feed)).collect::<PyResult<_>>()?;
    row.set_item("feeds", PyList::new(py, feeds)?)?;
    row.set_item("strategies", strategy_rows(py, &snapshot.strategies)?)?;
    let traded: Vec<_> = snapshot.traded.iter().map(|one| (one.orders, one.open_orders, one.pnl)).collect();
    row.set_item("traded", traded)?;
    let by_feed: Vec<_> = snapshot.by_feed.iter().map(|rows| strategy_rows(py, rows)).collect::<PyResult<_>>()?;
    row.set_item("by_feed", PyList::new(py, by_feed)?)?;
    Ok(row)
}

fn strategy_rows<'py>(py: Python<'py>, accounts: &[Account]) -> PyResult<Bound<'py, PyList>> {
    let rows = accounts.iter().map(|account| {
        let row = PyDict::new(py);
        row.set_item("state", account.state.name())?;
        add_account(&row, account)?;
        Ok(row)
    });
    PyList::new(py, rows.collect::<PyResult<Vec<_>>>()?)
}

/// Adds the numbers of `account` to `row`.
pub fn add_account(row: &Bound<'_, PyDict>, account: &Account) -> PyResult<()> {
    let numbers = [
        ("published", account.published),
        ("delivered", account.delivered),
        ("filtered", account.filtered),
        ("skipped", account.skipped),
        ("paused", account.paused),
        ("failed", account.failed),
        ("stopped", account.stopped),
        ("max_lag", account.max_lag),
        ("dropped_newest", account.dropped_newest),
        ("dropped_oldest", account.dropped_oldest),
        ("conflated", account.conflated),
        ("pending", account.pending),
    ];
    numbers.into_iter().try_for_each(|(name, number)| row.set_item(name, number))
}

fn feed_row<'py>(py: Python<'py>, feed: &FeedAccount) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("name", &feed.name)?;
    let numbers = [
        ("offered", feed.offered()),
        ("rejected", feed.rejected),
        ("duplicates", feed.duplicates),
        ("refused", feed.refused),
        ("rate_limited", feed.rate_limited),
        ("published", feed.published),
        ("made", feed.made),
        ("taken", feed.taken),
        ("dropped_newest", feed.dropped_newest),
        ("dropped_oldest", feed.dropped_oldest),
        ("conflated", feed.conflated),
        ("pending", feed.pending),
        ("high_water", feed.high_water),
        ("backwards", feed.backwards),
        ("crossed", feed.crossed),
        ("gaps", feed.gaps),
        ("stale", feed.stale),
        ("abandoned", feed.abandoned),
        ("waits", feed.waits),
        ("waited_ns", feed.waited_ns),
        ("publishers", feed.publishers),
    ];
    numbers.into_iter().try_for_each(|(name, number)| row.set_item(name, number))?;
    let invalid = PyDict::new(py);
    for problem in Problem::ALL {
        let count = feed.invalid[problem as usize];
        if count > 0 {
            invalid.set_item(problem.name(), count)?;
        }
    }
    row.set_item("invalid", invalid)?;
    Ok(row)
}
