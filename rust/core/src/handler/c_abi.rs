//! Compiled functions by their C address, behind a version and a layout that both sides must agree on.

use std::ffi::c_void;
use std::fmt;
use std::mem::{offset_of, size_of};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::{Handler, HandlerError, OUT_CAPACITY, Out, OutRecord, TimerRecord, UpdateRecord};
use crate::tick::{LAYOUT_VERSION, Tick};

/// Version of the C interface: of the signatures below and of every layout in [`abi_layout`].
pub const ABI_VERSION: u32 = 2;

/// Ticks in order, how many, the state, the out records; returns how many ticks were taken, or `-i` where the `i`th, from
/// 1, raised. It stops after a tick that asked for something.
pub type TakeFunction = unsafe extern "C" fn(*const Tick, i64, *mut c_void, *mut Out) -> i64;
/// The same for a batch: 0, or another number where it raised.
pub type BatchFunction = unsafe extern "C" fn(*const Tick, i64, *mut c_void, *mut Out) -> i64;
/// A timer: 0, or another number where it raised.
pub type TimerFunction = unsafe extern "C" fn(*const TimerRecord, *mut c_void, *mut Out) -> i64;
/// An order update: 0, or another number where it raised.
pub type UpdateFunction = unsafe extern "C" fn(*const UpdateRecord, *mut c_void, *mut Out) -> i64;

/// Names, offsets and sizes of all that passes the C interface, as one text that both sides compare.
pub fn abi_layout() -> &'static str {
    // Made once: it takes 5 us, a third of what starts and ends a short run.
    static LAYOUT: LazyLock<String> = LazyLock::new(describe);
    &LAYOUT
}

fn describe() -> String {
    macro_rules! layout {
        ($type:ty: $($field:ident),+) => {
            format!(
                "{}[{}]({})",
                stringify!($type),
                size_of::<$type>(),
                [$(format!("{}@{}", stringify!($field), offset_of!($type, $field))),+].join(",")
            )
        };
    }
    [
        format!("abi {ABI_VERSION}, tick layout {LAYOUT_VERSION}"),
        layout!(Tick: ts_event, ts_init, sequence, instrument, kind, side, flags, values),
        layout!(TimerRecord: ts_ns, tag, count),
        layout!(UpdateRecord: ts_ns, quantity, filled, price, fee, order, instrument, side, status, spare),
        layout!(OutRecord: kind, instrument, quantity, ts_ns, interval_ns, tag),
        format!("Out[{}](count@0,records@8 x {OUT_CAPACITY})", size_of::<Out>()),
    ]
    .join("; ")
}

/// Why compiled functions are not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AbiError {
    /// They were compiled for another version of the interface.
    Version(u32),
    /// They were compiled for other layouts.
    Layout(String),
    /// An address is null.
    Null,
}

impl fmt::Display for AbiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(found) => write!(f, "compiled for ABI version {found}; this tickrail has {ABI_VERSION}"),
            Self::Layout(found) => write!(f, "compiled for the layout '{found}'; expected '{}'", abi_layout()),
            Self::Null => write!(f, "the address of a function is null"),
        }
    }
}

impl std::error::Error for AbiError {}

/// The functions of one strategy; a handler that is absent is never called.
#[derive(Clone, Copy, Debug, Default)]
pub struct CFunctions {
    /// For ticks one by one.
    pub take: Option<TakeFunction>,
    /// For batches.
    pub batch: Option<BatchFunction>,
    /// For timers.
    pub timer: Option<TimerFunction>,
    /// For order updates.
    pub update: Option<UpdateFunction>,
}

/// Bytes of the largest state that is copied before each call: some ns, and what one call works on is seldom larger.
pub const REPLAYED_STATE_BYTES: usize = 1_024;

/// What a call that raised had begun with, so that it can be done again by somebody who sees the exception.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The state before the call.
    pub state: Vec<u8>,
    /// The records that the call was given, up to the one at which it raised.
    pub input: Vec<u8>,
}

/// Where a handler leaves its [`Failure`]; locked only then and by who asks.
pub type FailureSlot = Arc<Mutex<Option<Failure>>>;

/// A strategy made of compiled functions and the state that they share.
///
/// Does not own the state: whoever made it keeps functions and state alive as long as this handler.
#[derive(Debug)]
pub struct CHandler {
    functions: CFunctions,
    state: *mut c_void,
    /// The state before the present call; empty where it is not kept.
    before: Vec<u8>,
    failure: FailureSlot,
}

impl CHandler {
    /// Takes functions that were compiled for `abi_version` and `layout`.
    ///
    /// # Errors
    /// Version or layout are others than ours.
    ///
    /// # Safety
    /// The functions keep to the signatures of this module, never unwind, write to nothing but the state (which has the size and
    /// alignment that they expect) and `Out`, and may be called from any thread. Functions and state outlive the handler, and nobody
    /// else writes to the state while one of them runs.
    pub unsafe fn new(
        functions: CFunctions,
        state: *mut c_void,
        abi_version: u32,
        layout: &str,
    ) -> Result<Self, AbiError> {
        if abi_version != ABI_VERSION {
            return Err(AbiError::Version(abi_version));
        }
        if layout != abi_layout() {
            return Err(AbiError::Layout(layout.to_owned()));
        }
        if state.is_null() {
            return Err(AbiError::Null);
        }
        Ok(Self { functions, state, before: Vec::new(), failure: FailureSlot::default() })
    }

    /// Keeps what a failing call began with in `failure`, if the state of `state_bytes` is no larger than
    /// [`REPLAYED_STATE_BYTES`].
    ///
    /// # Safety
    /// The state has that many bytes.
    #[must_use]
    pub unsafe fn keeping(mut self, state_bytes: usize, failure: FailureSlot) -> Self {
        self.before = vec![0; if state_bytes <= REPLAYED_STATE_BYTES { state_bytes } else { 0 }];
        self.failure = failure;
        self
    }

    #[inline]
    fn keep(&mut self) {
        // SAFETY: the contract of `keeping`: the state has as many bytes as `before`, and nobody writes to it now.
        unsafe { std::ptr::copy_nonoverlapping(self.state.cast::<u8>(), self.before.as_mut_ptr(), self.before.len()) };
    }

    /// Notes the call that was begun with the kept state and raised at the last of `input`.
    #[cold]
    fn raised<T: Copy>(&self, input: &[T]) -> HandlerError {
        if !self.before.is_empty() {
            // SAFETY: records of the C interface are plain numbers without padding.
            let input = unsafe { std::slice::from_raw_parts(input.as_ptr().cast::<u8>(), size_of_val(input)) };
            let failure = Failure { state: self.before.clone(), input: input.to_vec() };
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        }
        HandlerError::Raised
    }

    fn answer<T: Copy>(&self, code: i64, input: &[T]) -> Result<(), HandlerError> {
        if code == 0 { Ok(()) } else { Err(self.raised(input)) }
    }
}

impl Handler for CHandler {
    fn on_tick(&mut self, tick: &Tick, out: &mut Out) -> Result<(), HandlerError> {
        self.take(std::slice::from_ref(tick), out).1
    }

    #[inline]
    fn take(&mut self, ticks: &[Tick], out: &mut Out) -> (usize, Result<(), HandlerError>) {
        let Some(take) = self.functions.take else { return (ticks.len(), Ok(())) };
        self.keep();
        // SAFETY: the contract of `new`; the slice and `out` are alive and of the layout that was compared there.
        let taken = unsafe { take(ticks.as_ptr(), ticks.len() as i64, self.state, out) };
        let count = usize::try_from(taken.unsigned_abs()).unwrap_or(usize::MAX);
        if count == 0 || count > ticks.len() {
            let message = format!("a compiled function says that it took {taken} of {} ticks", ticks.len());
            return (1, Err(HandlerError::Failed(message)));
        }
        (count, if taken > 0 { Ok(()) } else { Err(self.raised(&ticks[..count])) })
    }

    fn on_batch(&mut self, ticks: &[Tick], out: &mut Out) -> Result<(), HandlerError> {
        let Some(batch) = self.functions.batch else { return Ok(()) };
        self.keep();
        // SAFETY: as in `take`.
        let code = unsafe { batch(ticks.as_ptr(), ticks.len() as i64, self.state, out) };
        self.answer(code, ticks)
    }

    fn on_timer(&mut self, timer: &TimerRecord, out: &mut Out) -> Result<(), HandlerError> {
        let Some(call) = self.functions.timer else { return Ok(()) };
        self.keep();
        // SAFETY: as in `take`.
        let code = unsafe { call(timer, self.state, out) };
        self.answer(code, std::slice::from_ref(timer))
    }

    fn on_order_update(&mut self, update: &UpdateRecord, out: &mut Out) -> Result<(), HandlerError> {
        let Some(call) = self.functions.update else { return Ok(()) };
        self.keep();
        // SAFETY: as in `take`.
        let code = unsafe { call(update, self.state, out) };
        self.answer(code, std::slice::from_ref(update))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn counts(_: *const Tick, count: i64, state: *mut c_void, out: *mut Out) -> i64 {
        // SAFETY: the tests below hand over a live counter and out.
        let (seen, out) = unsafe { (&mut *state.cast::<i64>(), &mut *out) };
        for taken in 1..=count {
            *seen += 1;
            match *seen {
                2 => {
                    out.buy(0, 1.0);
                    return taken;
                }
                4 => return -taken,
                6 => return count + 1,
                _ => {}
            }
        }
        count
    }

    #[test]
    fn it_stops_at_wishes_failures_and_lies() {
        let mut seen = 0_i64;
        let functions = CFunctions { take: Some(counts), ..CFunctions::default() };
        // SAFETY: `counts` keeps the contract, and `seen` outlives the handler.
        let handler = unsafe { CHandler::new(functions, (&raw mut seen).cast(), ABI_VERSION, abi_layout()) };
        let (mut handler, mut out) = (handler.unwrap(), Out::new());
        let ticks = [Tick::quote(1, 0, 1.0, 2.0, 1.0, 1.0); 5];
        assert_eq!(handler.take(&ticks, &mut out), (2, Ok(())));
        assert_eq!(out.records().unwrap().len(), 1);
        assert_eq!(handler.take(&ticks[2..], &mut out), (2, Err(HandlerError::Raised)));
        let (count, lied) = handler.take(&ticks, &mut out);
        assert!(count == 1 && lied.unwrap_err().to_string().contains("took 6 of 5"));
        assert_eq!(handler.on_batch(&ticks, &mut out), Ok(()), "an absent handler is never called");
    }

    #[test]
    fn what_a_failing_call_began_with_is_kept_of_small_states_alone() {
        let functions = CFunctions { take: Some(counts), ..CFunctions::default() };
        let ticks = [Tick::quote(1, 0, 1.0, 2.0, 1.0, 1.0); 5];
        for (bytes, kept) in [(8, true), (REPLAYED_STATE_BYTES + 8, false)] {
            let mut state = vec![0_i64; bytes / 8];
            state[0] = 2;
            let failure = FailureSlot::default();
            // SAFETY: `counts` keeps the contract; the state has `bytes` and outlives the handler.
            let mut handler = unsafe {
                CHandler::new(functions, state.as_mut_ptr().cast(), ABI_VERSION, abi_layout())
                    .unwrap()
                    .keeping(bytes, Arc::clone(&failure))
            };
            assert_eq!(handler.take(&ticks, &mut Out::new()), (2, Err(HandlerError::Raised)));
            let found = failure.lock().unwrap().take();
            assert_eq!(
                found.map(|one| (one.state, one.input.len())),
                kept.then(|| (2_i64.to_ne_bytes().to_vec(), 128))
            );
        }
    }

    #[test]
    fn another_version_or_layout_is_refused_with_both() {
        let mut state = 0_i64;
        let mut attempt = |version, layout: &str| {
            // SAFETY: without functions nothing is ever called.
            unsafe { CHandler::new(CFunctions::default(), (&raw mut state).cast(), version, layout) }
                .unwrap_err()
                .to_string()
        };
        assert_eq!(attempt(1, abi_layout()), "compiled for ABI version 1; this tickrail has 2");
        let refused = attempt(ABI_VERSION, "Tick[128]");
        assert!(refused.contains("'Tick[128]'") && refused.contains(abi_layout()), "{refused}");
    }
}
