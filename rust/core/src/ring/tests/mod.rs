use crate::tick::Tick;

mod commands;
mod conflation;
mod drop_oldest;
mod ingress;
mod observer;

fn tick(sequence: u64) -> Tick {
    let value = sequence as f64;
    Tick { sequence, ..Tick::quote(sequence as i64, 0, value, value, value, value) }
}

fn ticks(range: std::ops::Range<u64>) -> Vec<Tick> {
    range.map(tick).collect()
}
