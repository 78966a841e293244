//! Compiled functions are tried on made-up input before they meet real memory: a function that writes beyond its state or its
//! `Out` is found by the guards around both.

use std::ffi::c_void;

use tickrail_core::handler::{CFunctions, Out, TimerRecord, UpdateRecord, zeroed};
use tickrail_core::{Kind, Side, Tick};

const GUARD: u64 = 0x5AFE_5AFE_5AFE_5AFE;
const GUARD_WORDS: usize = 64;

/// 64 bytes, so that a vector of them is aligned as the state is.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq)]
struct Line([u64; 8]);

const GUARDS: Line = Line([GUARD; 8]);

#[repr(C)]
struct GuardedOut {
    before: [u64; GUARD_WORDS],
    out: Out,
    after: [u64; GUARD_WORDS],
}

struct Bench {
    /// Guards, the state, guards.
    state: Vec<Line>,
    state_bytes: usize,
    out: Box<GuardedOut>,
}

const GUARD_LINES: usize = GUARD_WORDS / 8;

const UPDATE: UpdateRecord = UpdateRecord {
    ts_ns: 1,
    quantity: 1.0,
    filled: 1.0,
    price: 1.0,
    fee: 0.0,
    order: 1,
    instrument: 0,
    side: 1,
    status: 1,
    spare: [0; 6],
};

impl Bench {
    fn new(state: &[u8]) -> Self {
        let lines = state.len().div_ceil(64) + 2 * GUARD_LINES;
        // SAFETY: words, and an `Out`, which are plain numbers: zero stands for all of them.
        let mut out: Box<GuardedOut> = unsafe { zeroed() };
        (out.before, out.after) = ([GUARD; GUARD_WORDS], [GUARD; GUARD_WORDS]);
        let mut bench = Self { state: vec![GUARDS; lines], state_bytes: state.len(), out };
        // SAFETY: the vector has room for the guards and the state behind them.
        unsafe { std::ptr::copy_nonoverlapping(state.as_ptr(), bench.state_at().cast(), state.len()) };
        bench
    }

    fn state_at(&mut self) -> *mut c_void {
        self.state[GUARD_LINES..].as_mut_ptr().cast()
    }

    /// `read` is what the function may only look at.
    fn run<T: Copy>(
        &mut self,
        what: &str,
        read: &[T],
        call: impl FnOnce(*const T, *mut c_void, *mut Out) -> i64,
    ) -> Result<(), String> {
        let (state, out) = (self.state_at(), &raw mut self.out.out);
        // What it answers and asks for means nothing here: the input is made up.
        let shown = read.to_vec();
        call(shown.as_ptr(), state, out);
        if bytes_of(&shown) != bytes_of(read) {
            return Err(format!("{what} wrote into the record that it was shown in a dry run: others read it too"));
        }
        let damage = if !self.state_is_whole() {
            "its state"
        } else if self.out.before.iter().chain(&self.out.after).any(|&word| word != GUARD) {
            "its out records"
        } else {
            self.out.out.clear();
            return Ok(());
        };
        Err(format!("{what} wrote beyond {damage} in a dry run: it may have damaged the process"))
    }

    fn state_is_whole(&self) -> bool {
        let (before, rest) = self.state.split_at(GUARD_LINES);
        // The state ends within a line, or with one.
        let (own, after) = rest.split_at(self.state_bytes.div_ceil(64));
        let guards = bytes_of(&[GUARDS]);
        let is_tail_whole = own.last().is_none_or(|line| {
            let tail = self.state_bytes - (own.len() - 1) * 64;
            bytes_of(std::slice::from_ref(line))[tail..] == guards[tail..]
        });
        before.iter().chain(after).all(|line| *line == GUARDS) && is_tail_whole
    }
}

fn ticks(kinds: &[u8]) -> Vec<Tick> {
    let made = |kind: &u8| match Kind::from_code(*kind) {
        Some(Kind::Trade) => Tick::trade(1, 1, 1.0, 1.0, Side::Buy),
        Some(Kind::Bar) => Tick::bar(1, 1, [1.0, 2.0, 0.5, 1.5], 1.0),
        _ => Tick::quote(1, 1, 1.0, 1.5, 1.0, 1.0),
    };
    kinds.iter().flat_map(|kind| [made(kind), made(kind)]).collect()
}

/// The bytes of plain words and records.
fn bytes_of<T: Copy>(records: &[T]) -> &[u8] {
    // SAFETY: called with records of the C interface and lines alone, which are plain numbers without padding.
    unsafe { std::slice::from_raw_parts(records.as_ptr().cast(), size_of_val(records)) }
}

fn with_ticks(
    function: unsafe extern "C" fn(*const Tick, i64, *mut c_void, *mut Out) -> i64,
    count: usize,
) -> impl FnOnce(*const Tick, *mut c_void, *mut Out) -> i64 {
    // SAFETY: `count` records are alive; state and out have the size and alignment that a run gives them.
    move |ticks, state, out| unsafe { function(ticks, count as i64, state, out) }
}

fn with_record<T>(
    function: unsafe extern "C" fn(*const T, *mut c_void, *mut Out) -> i64,
) -> impl FnOnce(*const T, *mut c_void, *mut Out) -> i64 {
    // SAFETY: as in `with_ticks`.
    move |record, state, out| unsafe { function(record, state, out) }
}

/// Calls each function with nothing and with two records of each of `kinds`.
pub fn check(functions: CFunctions, state: &[u8], kinds: &[u8]) -> Result<(), String> {
    let mut bench = Bench::new(state);
    let ticks = ticks(kinds);
    if let Some(take) = functions.take {
        bench.run("on_tick", &[], with_ticks(take, 0))?;
        ticks.chunks(1).try_for_each(|one| bench.run("on_tick", one, with_ticks(take, 1)))?;
    }
    if let Some(batch) = functions.batch {
        bench.run("on_batch", &[], with_ticks(batch, 0))?;
        bench.run("on_batch", &ticks, with_ticks(batch, ticks.len()))?;
    }
    if let Some(timer) = functions.timer {
        bench.run("on_timer", &[TimerRecord { ts_ns: 1, tag: 1, count: 1 }], with_record(timer))?;
    }
    if let Some(update) = functions.update {
        bench.run("on_order_update", &[UPDATE], with_record(update))?;
    }
    Ok(())
}
