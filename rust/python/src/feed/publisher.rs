//! `PublisherCore`: brings records from Python into a live run.
//!
//! The quick way, one record for which there is a slot, holds the GIL throughout and takes no lock. Whoever has to wait
//! waits without the GIL.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeMap;
use std::ops::Range;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use tickrail_core::feed::{NotPublished, Played, Policy, Publisher, RatePolicy, Recorded, Space};
use tickrail_core::{Kind, Tick};

use super::batch::{Batch, Columns, places_of, translate};
use super::core::{FeedCore, Run, no_instrument};
use super::fork::{Birthplace, check_fork};
use super::ready::Ready;
use super::stamp::{Stamp, quote, trade};
use super::state::State;
use crate::array::TickArray;
use crate::errors::{hinted, not_published};
use crate::gil::{GilBound, guard, thread_mark};
use crate::turn;

/// Records of a large batch between two turns of other threads with the GIL: some 0.1 ms.
const TURN: usize = 16_384;

/// Records that are waited for at once: they are copied first, as whoever has the GIL meanwhile may change the array.
const PIECE: usize = 256;

/// Native base of ``Publisher``: one stream of records into a feed, with a ring of its own.
///
/// Belongs to one thread: the first that publishes, until ``release`` or until it ends. Elsewhere calls raise
/// ``WrongThread``; only ``close`` may come from any.
#[pyclass(subclass, frozen, module = "tickrail._native")]
pub struct PublisherCore {
    inside: GilBound<Inside>,
    born: Birthplace,
}

struct Inside {
    state: RefCell<State>,
    /// The thread that publishes; 0: none yet.
    owner: Cell<usize>,
    /// The same, as Python knows it: whether it still lives.
    thread: RefCell<Option<Py<PyAny>>>,
    /// Another thread has closed it while a call went on, which then ends the stream.
    is_closing: Cell<bool>,
    /// What a call that waits sleeps on.
    space: Arc<Space>,
    run: Run,
}

impl PublisherCore {
    /// Its state, for the thread that it belongs to.
    #[inline(always)]
    fn enter<'a>(&'a self, py: Python<'a>) -> PyResult<RefMut<'a, State>> {
        check_fork(py, self.born)?;
        let inside = self.inside.get(py);
        if inside.owner.get() != thread_mark() {
            self.take_over(py)?;
        }
        inside.state.try_borrow_mut().map_err(|_| busy())
    }

    /// The same to bring something new: not before all is in that an asynchronous call, or `offer`, has left to be brought.
    #[inline(always)]
    fn enter_anew<'a>(&'a self, py: Python<'a>) -> PyResult<RefMut<'a, State>> {
        let state = self.enter(py)?;
        if state.staged.is_empty() { Ok(state) } else { Err(would_overtake(py, &state)) }
    }

    #[cold]
    fn take_over(&self, py: Python<'_>) -> PyResult<()> {
        let inside = self.inside.get(py);
        let threading = py.import("threading")?;
        let lives = match &*inside.thread.borrow() {
            Some(thread) if inside.owner.get() != 0 => thread.bind(py).call_method0("is_alive")?.is_truthy()?,
            _ => false,
        };
        if lives {
            return Err(hinted(
                py,
                "WrongThread",
                "this publisher belongs to another thread, the first that published with it",
                "give each thread a publisher of its own (feed.publisher()), or call release() there first",
            ));
        }
        let thread = threading.call_method0("current_thread")?.unbind();
        inside.thread.replace(Some(thread));
        inside.owner.set(thread_mark());
        Ok(())
    }

    /// Ends the stream where another thread has closed it while this call went on.
    fn heed_close(&self, py: Python<'_>, state: &mut State) {
        if self.inside.get(py).is_closing.get() {
            state.close();
        }
    }

    /// The record of one call, made at `now_ns`. An instrument that the run does not have is counted by the feed, and then
    /// told.
    #[inline(always)]
    fn tick(
        &self,
        state: &mut State,
        now_ns: i64,
        instrument: &Bound<'_, PyAny>,
        stamp: &Stamp,
        values: [f64; 4],
    ) -> PyResult<Tick> {
        let py = instrument.py();
        let found = state.places.find(instrument, &self.inside.get(py).run.table);
        let tick = Tick {
            ts_event: stamp.ts_event.unwrap_or(now_ns),
            ts_init: 0,
            sequence: stamp.sequence,
            instrument: *found.as_ref().unwrap_or(&u32::MAX),
            kind: stamp.kind as u8,
            side: stamp.side,
            flags: stamp.flags,
            values,
        };
        if let Err(error) = found {
            state.core.offer(&[tick]);
            return Err(no_instrument(py, "PublishError", &state.core.feed().name, error));
        }
        Ok(tick)
    }

    #[inline(always)]
    fn publish_one(&self, instrument: &Bound<'_, PyAny>, stamp: &Stamp, values: [f64; 4]) -> PyResult<()> {
        let py = instrument.py();
        let mut state = self.enter_anew(py)?;
        let now_ns = state.core.now_ns();
        let tick = self.tick(&mut state, now_ns, instrument, stamp, values)?;
        self.inside.get(py).run.handover.announce();
        if state.core.offer_one(&tick, now_ns) {
            self.hand_over(py, state);
            return Ok(());
        }
        self.inside.get(py).run.handover.keep();
        self.wait_for(py, &mut state, &[tick], 0, 1)
    }

    /// Where the loop waits for what was brought just now, it has the GIL before the caller goes on; not at every record.
    #[inline(always)]
    fn hand_over(&self, py: Python<'_>, mut state: RefMut<'_, State>) {
        let (handover, brought_ns) = (&self.inside.get(py).run.handover, state.core.brought_ns());
        if handover.is_due(brought_ns, state.handed_over_ns) {
            state.handed_over_ns = brought_ns;
            drop(state);
            handover.give(py);
        } else {
            handover.keep();
        }
    }

    /// Waits, without the GIL, until the records are in; says how far it came, of all `offered`.
    #[cold]
    fn wait_for(&self, py: Python<'_>, state: &mut State, ticks: &[Tick], done: usize, offered: usize) -> PyResult<()> {
        let core = &mut state.core;
        let waits = core.feed().settings.policy == Policy::Block && !core.is_closed();
        if waits && self.inside.get(py).run.thread.get() == thread_mark() {
            core.give_up(offered - done);
            return Err(would_deadlock(py, core, done, offered));
        }
        let mut signal = None;
        let result = guard(|| {
            Ok(py.detach(|| {
                core.publish(ticks, || {
                    Python::attach(|py| {
                        signal = py.check_signals().err();
                        signal.is_none() && !self.inside.get(py).is_closing.get()
                    })
                })
            }))
        })?;
        let Err(mut refusal) = result else { return Ok(()) };
        let taken = done + refusal.taken();
        core.give_up(offered - done - ticks.len());
        if self.inside.get(py).is_closing.get() {
            core.close();
            refusal = NotPublished::Closed { taken, offered };
        }
        Err(signal.unwrap_or_else(|| not_published(py, &refusal, core.feed(), taken, offered)))
    }

    fn bring(&self, py: Python<'_>, state: &mut State, batch: &Batch<'_>) -> PyResult<()> {
        let mut done = 0;
        while done < batch.len() {
            let end = batch.len().min(done + TURN);
            done += state.core.offer_from(end - done, |from, into| batch.copy(done + from, into));
            if done < end {
                done = self.bring_slowly(py, state, batch, done)?;
            } else if end < batch.len() {
                turn::offer(py)?;
                self.heed_close(py, state);
            }
        }
        Ok(())
    }

    /// The next records, for which there are no slots; says how far it came. What is not in after an error was given up, with
    /// all that would have followed.
    #[cold]
    fn bring_slowly(&self, py: Python<'_>, state: &mut State, batch: &Batch<'_>, done: usize) -> PyResult<usize> {
        let mut piece = std::mem::take(&mut state.piece);
        let end = batch.len().min(done + PIECE);
        piece.clear();
        batch.append(done, end, &mut piece);
        let result = self.wait_for(py, state, &piece, done, batch.len());
        state.piece = piece;
        result.map(|()| end)
    }

    fn stage_one(&self, instrument: &Bound<'_, PyAny>, stamp: &Stamp, values: [f64; 4]) -> PyResult<bool> {
        let mut state = self.enter_anew(instrument.py())?;
        let now_ns = state.core.now_ns();
        let tick = self.tick(&mut state, now_ns, instrument, stamp, values)?;
        state.staged.push(tick);
        self.inside.get(instrument.py()).run.handover.announce();
        let is_done = state.offer_staged();
        self.hand_over(instrument.py(), state);
        Ok(is_done)
    }
}

#[cold]
fn would_deadlock(py: Python<'_>, core: &Publisher, taken: usize, offered: usize) -> PyErr {
    let name = &core.feed().name;
    let message =
        format!("feed {name}: the ring is full, and this is the thread that empties it; {taken} of {offered} taken");
    hinted(py, "WouldDeadlock", &message, "from a handler, publish into a feed whose policy does not wait")
}

#[cold]
fn would_overtake(py: Python<'_>, state: &State) -> PyErr {
    let (taken, offered) = (state.brought, state.staged.len());
    let name = &state.core.feed().name;
    let message = format!("feed {name}: {taken} of {offered} records of the call before this one are in");
    hinted(py, "PublishError", &message, "records keep their order: await drained(), or the asynchronous call, first")
}

fn busy() -> PyErr {
    PyRuntimeError::new_err("a call of this publisher is still going on: calls follow one another")
}

#[pymethods]
impl PublisherCore {
    #[new]
    fn new(py: Python<'_>, feed: &Bound<'_, FeedCore>) -> PyResult<Self> {
        let (core, run) = feed.get().publisher(py)?;
        let state = State::new(core);
        let inside = Inside {
            space: Arc::clone(state.core.space()),
            state: RefCell::new(state),
            owner: Cell::new(0),
            thread: RefCell::new(None),
            is_closing: Cell::new(false),
            run,
        };
        Ok(Self { inside: GilBound::new(inside), born: Birthplace::here() })
    }

    /// Publish one quote.
    ///
    /// Sizes that are not given are NaN, which a venue takes for unlimited. ``ts_event`` is the venue's time, int ns UTC;
    /// not given: now. ``sequence`` is the source's own number, for feeds that look at it.
    ///
    /// A record that breaks a rule is counted by the feed and goes no further. Where the ring is full the feed's policy
    /// decides: ``block`` waits without the GIL.
    ///
    /// Raises:
    ///     RingFull: The feed's policy is ``reject``, and there is no slot.
    ///     PublishTimeout: Under ``block`` no slot became free in time.
    ///     FeedClosed: The feed or the publisher is closed, or the run is over.
    ///     WrongThread: The publisher belongs to another thread.
    #[expect(clippy::too_many_arguments, reason = "arguments of one call from Python")]
    #[pyo3(signature = (instrument, bid, ask, bid_size=f64::NAN, ask_size=f64::NAN, *, ts_event=None, sequence=0, flags=0))]
    fn publish_quote(
        &self,
        instrument: &Bound<'_, PyAny>,
        bid: f64,
        ask: f64,
        bid_size: f64,
        ask_size: f64,
        ts_event: Option<i64>,
        sequence: u64,
        flags: u16,
    ) -> PyResult<()> {
        let stamp = quote(bid_size, ask_size, ts_event, sequence, flags);
        self.publish_one(instrument, &stamp, [bid, ask, bid_size, ask_size])
    }

    /// Publish one trade; ``side`` is the aggressor: ``"BUY"``, ``"SELL"`` or ``"NONE"``. Otherwise as ``publish_quote``.
    #[expect(clippy::too_many_arguments, reason = "arguments of one call from Python")]
    #[pyo3(signature = (instrument, price, size=f64::NAN, side="NONE", *, ts_event=None, sequence=0, flags=0))]
    fn publish_trade(
        &self,
        instrument: &Bound<'_, PyAny>,
        price: f64,
        size: f64,
        side: &str,
        ts_event: Option<i64>,
        sequence: u64,
        flags: u16,
    ) -> PyResult<()> {
        self.publish_one(instrument, &trade(size, side, ts_event, sequence, flags), [price, 0.0, size, 0.0])
    }

    /// Publish one bar, which closes at ``ts_event``. Otherwise as ``publish_quote``.
    #[expect(clippy::too_many_arguments, reason = "arguments of one call from Python")]
    #[pyo3(signature = (instrument, open, high, low, close, volume=0.0, *, ts_event=None))]
    fn publish_bar(
        &self,
        instrument: &Bound<'_, PyAny>,
        open: f64,
        high: f64,
        low: f64,
        close: f64,
        volume: f64,
        ts_event: Option<i64>,
    ) -> PyResult<()> {
        let stamp = Stamp { kind: Kind::Bar, side: 0, ts_event, sequence: volume.to_bits(), flags: 0 };
        self.publish_one(instrument, &stamp, [open, high, low, close])
    }

    /// Publish many records, in their order: a structured array (its ``instrument`` counts through the run's table), a
    /// ``TickArray``, any Arrow data, a dict of columns, or one tick.
    ///
    /// Args:
    ///     data: The records; they are copied before the call returns.
    ///     kind: ``"quote"``, ``"trade"`` or ``"bar"``, of columns and Arrow data.
    ///     columns: Names of the record to columns of Arrow data; not given: those that have the record's own names.
    ///     instrument: Of columns and Arrow data without such a column.
    ///     time_unit: Of integer times in Arrow data: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"`` (default).
    ///
    /// Raises:
    ///     RingFull: The feed's policy is ``reject``; ``error.taken`` says how many were dealt with.
    ///     PublishTimeout: Under ``block`` the ring stayed full; the same.
    ///     FeedClosed: The feed or the publisher is closed, or the run is over; the same.
    ///     WrongThread: The publisher belongs to another thread.
    #[pyo3(signature = (data, *, kind=None, columns=None, instrument=None, time_unit=None))]
    fn publish(
        &self,
        data: &Bound<'_, PyAny>,
        kind: Option<String>,
        columns: Option<BTreeMap<String, String>>,
        instrument: Option<String>,
        time_unit: Option<String>,
    ) -> PyResult<()> {
        let py = data.py();
        let mut state = self.enter_anew(py)?;
        let how = Columns { kind, columns, instrument, time_unit };
        let batch = Batch::of(data, &self.inside.get(py).run.table, how)?;
        self.bring(py, &mut state, &batch)?;
        self.hand_over(py, state);
        Ok(())
    }

    /// Tell the strategies that the source was gone for a while: a GAP record for each instrument that this publisher has
    /// brought. ``renumbered``: its numbers begin anew, and are not compared with those before.
    #[pyo3(signature = (*, renumbered=true))]
    fn reconnected(&self, py: Python<'_>, renumbered: bool) -> PyResult<()> {
        self.enter_anew(py)?.core.reconnected(renumbered);
        Ok(())
    }

    /// Let another thread publish: the next one that does. A thread that ends lets go by itself.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        drop(self.enter(py)?);
        let inside = self.inside.get(py);
        inside.owner.set(0);
        inside.thread.replace(None);
        Ok(())
    }

    /// End this stream after what was published. Idempotent, any thread. A call of another thread that is waiting for
    /// slots raises ``FeedClosed``; records of an asynchronous call, or of ``offer``, that are not in are refused.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        check_fork(py, self.born)?;
        let inside = self.inside.get(py);
        if let Ok(mut state) = inside.state.try_borrow_mut() {
            state.close();
        } else {
            inside.is_closing.set(true);
            inside.space.waker.wake();
        }
        Ok(())
    }

    /// Whether nothing can be published any more. Any thread.
    #[getter]
    fn is_closed(&self, py: Python<'_>) -> bool {
        let inside = self.inside.get(py);
        inside.state.try_borrow().map_or_else(|_| inside.is_closing.get(), |state| state.core.is_closed())
    }

    // ---- for the asynchronous twins, which are in Python ---------------------------------------------------------

    /// Stage a quote; whether it is in already.
    #[expect(clippy::too_many_arguments, reason = "arguments of one call from Python")]
    #[pyo3(signature = (instrument, bid, ask, bid_size=f64::NAN, ask_size=f64::NAN, *, ts_event=None, sequence=0, flags=0))]
    fn _stage_quote(
        &self,
        instrument: &Bound<'_, PyAny>,
        bid: f64,
        ask: f64,
        bid_size: f64,
        ask_size: f64,
        ts_event: Option<i64>,
        sequence: u64,
        flags: u16,
    ) -> PyResult<bool> {
        let stamp = quote(bid_size, ask_size, ts_event, sequence, flags);
        self.stage_one(instrument, &stamp, [bid, ask, bid_size, ask_size])
    }

    /// Stage a trade; whether it is in already.
    #[expect(clippy::too_many_arguments, reason = "arguments of one call from Python")]
    #[pyo3(signature = (instrument, price, size=f64::NAN, side="NONE", *, ts_event=None, sequence=0, flags=0))]
    fn _stage_trade(
        &self,
        instrument: &Bound<'_, PyAny>,
        price: f64,
        size: f64,
        side: &str,
        ts_event: Option<i64>,
        sequence: u64,
        flags: u16,
    ) -> PyResult<bool> {
        self.stage_one(instrument, &trade(size, side, ts_event, sequence, flags), [price, 0.0, size, 0.0])
    }

    /// Stage many records; whether they are in already.
    #[pyo3(signature = (data, *, kind=None, columns=None, instrument=None, time_unit=None))]
    fn _stage(
        &self,
        data: &Bound<'_, PyAny>,
        kind: Option<String>,
        columns: Option<BTreeMap<String, String>>,
        instrument: Option<String>,
        time_unit: Option<String>,
    ) -> PyResult<bool> {
        let py = data.py();
        let mut state = self.enter_anew(py)?;
        let how = Columns { kind, columns, instrument, time_unit };
        let batch = Batch::of(data, &self.inside.get(py).run.table, how)?;
        batch.append(0, batch.len(), &mut state.staged);
        self.inside.get(py).run.handover.announce();
        let is_done = state.offer_staged();
        self.hand_over(py, state);
        Ok(is_done)
    }

    /// Publish recorded ticks from ``position`` on, each when its time has come, for at most ``most_s``, without the GIL. The
    /// first of all was due at ``began_ns`` by the run's clock; 0: now. With ``looks`` it does not sleep through short waits.
    /// How far it came, when it began, and how late it was at most, ns.
    fn _play(
        &self,
        ticks: &Bound<'_, TickArray>,
        position: usize,
        began_ns: i64,
        speed: f64,
        most_s: f64,
        looks: bool,
    ) -> PyResult<(usize, i64, i64)> {
        let (py, array) = (ticks.py(), ticks.get());
        let mut state = self.enter(py)?;
        let places = places_of(py, array, &self.inside.get(py).run.table);
        let (block, order) = (array.block().clone(), array.order());
        let most = Duration::try_from_secs_f64(most_s).unwrap_or_default();
        let played = Played { next: position, began_ns, late_ns: 0 };
        let core = &mut state.core;
        let result = guard(|| {
            Ok(py.detach(|| {
                let records = block.as_slice();
                let time_ns = |number: usize| records[number].key(order);
                let fetch = |range: Range<usize>, into: &mut Vec<Tick>| {
                    into.extend_from_slice(&records[range]);
                    if let Some(places) = &places {
                        translate(into, places);
                    }
                };
                core.play(&mut Recorded { count: records.len(), time_ns, fetch, speed, looks }, played, most, || true)
            }))
        })?;
        if self.inside.get(py).is_closing.get() {
            core.close();
        }
        match result {
            Ok(played) => Ok((played.next, played.began_ns, played.late_ns)),
            Err(refusal) => {
                let left = block.as_slice().len() - position;
                Err(not_published(py, &refusal, core.feed(), refusal.taken(), left))
            }
        }
    }

    /// Bring what is staged, as far as there are slots; whether it is all in.
    fn _offer(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.enter(py)?.offer_staged())
    }

    /// A descriptor that can be read when slots are free. Look for slots after this, then wait.
    fn _arm(&self, py: Python<'_>) -> PyResult<RawFd> {
        let mut state = self.enter(py)?;
        if state.ready.is_none() {
            let ready = Ready::new().map_err(PyOSError::new_err)?;
            let call = Arc::clone(&ready);
            state.core.space().on_free(move || call.set());
            state.ready = Some(ready);
        }
        state.core.space().arm();
        Ok(state.ready.as_ref().map_or(-1, |ready| ready.descriptor()))
    }

    /// Take note of the descriptor.
    fn _clear(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(ready) = &self.enter(py)?.ready {
            ready.clear();
        }
        Ok(())
    }

    /// How long to wait at most: the feed's time-out, where it waits at all.
    fn _patience_s(&self, py: Python<'_>) -> PyResult<f64> {
        let state = self.enter(py)?;
        let settings = &state.core.feed().settings;
        let may_wait = settings.policy == Policy::Block || settings.rate_policy == RatePolicy::Wait;
        Ok(if may_wait && !state.core.is_closed() { settings.block_timeout.as_secs_f64() } else { 0.0 })
    }

    /// How long until the feed's rate lets the next record through, if that is what it waits for; ``None``: a slot, which
    /// the policy waits for; -1: nothing that would come by waiting.
    fn _turn_s(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        let state = self.enter(py)?;
        let feed = state.core.feed();
        Ok(match feed.rate_wait_ns() {
            0 if feed.settings.policy == Policy::Block => None,
            0 => Some(-1.0),
            ns => Some(Duration::from_nanos(ns).as_secs_f64()),
        })
    }

    /// Count a wait.
    fn _waited(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        self.enter(py)?.core.count_wait(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        Ok(())
    }

    /// Give up what is staged and not in, and raise why it is not.
    fn _give_up(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.enter(py)?;
        let (taken, offered) = state.give_up_staged();
        let refusal = if state.core.is_closed() {
            NotPublished::Closed { taken, offered }
        } else if state.core.feed().rate_wait_ns() > 0 {
            NotPublished::RateTimedOut { taken, offered }
        } else if state.core.feed().settings.policy == Policy::Block {
            NotPublished::TimedOut { taken, offered }
        } else {
            NotPublished::Full { taken, offered }
        };
        Err(not_published(py, &refusal, state.core.feed(), taken, offered))
    }
}
