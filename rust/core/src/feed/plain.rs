//! The quick look at records: nearly all are quotes or trades that break no rule, and batches of them are looked at
//! together.

use crate::tick::{Kind, NO_SIZE, Tick};

/// Records that are looked at together. What one of them breaks is found out one by one.
const BLOCK: usize = 16;

/// How many of `ticks`, from the first on, are of the first one's kind, in order of time, not before `last_ns`, and keep
/// every rule but that of their instruments, which `known` says of some of them; and the last one's time. Where it stops a
/// record need not be wrong: one that is crossed, or has a price below zero, is for
/// [`check_record`](crate::check::check_record) to judge.
#[inline]
pub(super) fn plain_run(ticks: &[Tick], mut last_ns: i64, known: impl Fn(&[Tick]) -> bool) -> (usize, i64) {
    let Some((first, rest)) = ticks.split_first() else { return (0, last_ns) };
    if one_by_one(std::slice::from_ref(first), first.kind, last_ns, &known) == 0 {
        return (0, last_ns);
    }
    let mut count = 1;
    last_ns = first.ts_event;
    for block in rest.chunks(BLOCK) {
        let (is_plain, unlike) = if first.kind == QUOTE {
            quotes_are_plain(block, last_ns, head(first))
        } else {
            trades_are_plain(block, last_ns, head(first))
        };
        let is_like_first = unlike & !FLAGS == 0;
        let is_right = |tick: &Tick| tick.kind == first.kind && tick.side <= 2;
        let taken = if is_plain && (is_like_first || (block.iter().all(is_right) && known(block))) {
            block.len()
        } else {
            one_by_one(block, first.kind, last_ns, &known)
        };
        count += taken;
        if taken > 0 {
            last_ns = block[taken - 1].ts_event;
        }
        if taken < block.len() {
            break;
        }
    }
    (count, last_ns)
}

/// Instrument, kind, side and flags as they lie in the record: one load.
#[inline(always)]
const fn head(tick: &Tick) -> u64 {
    tick.instrument as u64 | (tick.kind as u64) << 32 | (tick.side as u64) << 40 | (tick.flags as u64) << 48
}

/// The flags in it, which may be any.
const FLAGS: u64 = 0xFFFF << 48;

const QUOTE: u8 = Kind::Quote as u8;
const TRADE: u8 = Kind::Trade as u8;

#[inline(never)]
fn one_by_one(ticks: &[Tick], kind: u8, mut last_ns: i64, known: &impl Fn(&[Tick]) -> bool) -> usize {
    let is_right = |tick: &&Tick| {
        let is_in_order = tick.ts_event >= last_ns;
        last_ns = tick.ts_event;
        is_in_order && tick.kind == kind && is_plain(tick) && known(std::slice::from_ref(tick))
    };
    ticks.iter().take_while(is_right).count()
}

/// Whether all, should they be quotes, have values as [`is_plain`] says, with sizes, and are in order; and in what their heads
/// differ from `like`. May say no where all is well, never yes where it is not. Without a branch: what would be the sign of a
/// wrong value is gathered, and looked at once.
#[inline]
fn quotes_are_plain(ticks: &[Tick], mut last_ns: i64, like: u64) -> (bool, u64) {
    let (mut values, mut rest, mut unlike) = ([0; 4], 0, 0);
    for tick in ticks {
        let bits = tick.values.map(f64::to_bits);
        for (sum, bits) in values.iter_mut().zip(bits) {
            *sum |= beyond(bits);
        }
        rest |= bits[1].wrapping_sub(bits[0]) | since(tick, last_ns);
        unlike |= head(tick) ^ like;
        last_ns = tick.ts_event;
    }
    ((values[0] | values[1] | values[2] | values[3] | rest) & SIGN == 0, unlike)
}

/// The same for trades: the price and the size, which is not zero.
#[inline]
fn trades_are_plain(ticks: &[Tick], mut last_ns: i64, like: u64) -> (bool, u64) {
    let (mut wrong, mut unlike) = (0, 0);
    for tick in ticks {
        let [price, _, size, _] = tick.values.map(f64::to_bits);
        wrong |= beyond(price) | beyond(size) | size.wrapping_sub(1) | since(tick, last_ns);
        unlike |= head(tick) ^ like;
        last_ns = tick.ts_event;
    }
    (wrong & SIGN == 0, unlike)
}

const SIGN: u64 = 1 << 63;

/// Has the sign bit unless `bits` are those of a finite float of at least +0: the carry of the largest exponent.
#[inline(always)]
const fn beyond(bits: u64) -> u64 {
    bits | bits.wrapping_add(1 << 52)
}

/// Has the sign bit unless the record's time is not before `last_ns`, which is above zero.
#[inline(always)]
const fn since(tick: &Tick, last_ns: i64) -> u64 {
    (tick.ts_event | tick.ts_event.wrapping_sub(last_ns)) as u64
}

/// Whether `tick` is a quote or trade that keeps every rule but that of order and of its instrument.
#[inline(always)]
fn is_plain(tick: &Tick) -> bool {
    let [first, second, size, other_size] = tick.values;
    let is_price = |price: f64| (0.0..f64::INFINITY).contains(&price);
    let is_size = |size: f64| is_price(size) || (size.is_nan() && tick.flags & NO_SIZE != 0);
    let is_right = if tick.kind == QUOTE {
        is_price(first) & (first <= second) & is_price(second) && is_size(size) && is_size(other_size)
    } else {
        tick.kind == TRADE && is_price(first) && is_size(size) && size != 0.0
    };
    is_right & (tick.side <= 2) & (tick.ts_event > 0)
}
