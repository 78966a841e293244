//! The order taken, told to whoever looks on.

use crate::replay::{Entry, Mark};
use crate::ring::ObserverWriter;
use crate::tick::Tick;

/// How often a full ring is looked at before the processor is given up.
const LOOKS: u32 = 64;

/// How many times the processor is given up before observers that do not move on are waited for no more: at some 0.7 us
/// each where nobody else wants it, and a time slice each where somebody does, a tenth of a second at least.
const PATIENCE: u32 = 150_000;

/// Writes entries, and the records of slices, to an observer ring.
#[derive(Debug)]
pub(super) struct Tape {
    pub writer: ObserverWriter,
}

impl Tape {
    pub const fn new(writer: ObserverWriter) -> Self {
        Self { writer }
    }

    pub fn write(&mut self, mark: Mark, position: u64, now_ns: i64, ticks: &[Tick]) {
        self.publish(&[Entry { mark, position, now_ns }.to_record()]);
        self.publish(ticks);
    }

    fn publish(&mut self, mut ticks: &[Tick]) {
        let mut looks = 0;
        while !ticks.is_empty() {
            let count = self.writer.publish(ticks);
            ticks = &ticks[count..];
            if count > 0 {
                looks = 0;
            } else if looks < LOOKS {
                looks += 1;
                std::hint::spin_loop();
            } else if looks < LOOKS + PATIENCE {
                looks += 1;
                crate::sync::yield_now();
            } else {
                let capacity = self.writer.capacity_slots() as u64;
                // Whoever was waited for in vain is overtaken, and counts what it has lost.
                self.writer.drop_gates_behind(capacity);
            }
        }
    }
}
