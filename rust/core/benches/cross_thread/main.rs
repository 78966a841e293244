//! What it costs to hand records from one thread to another; one JSON object a row.
//!
//! `make bench-rings` prints them as a table, with those of the Python face. Each row is one run of ours and one of what it is
//! measured by, in turn, between two probes of where the processors are (see `probe`); the ratio is of the same round.

#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "benchmarks read clocks")]

mod lanes;
mod merged;
mod paths;
mod probe;

use probe::{Class, bracketed, median};
use tickrail_core::stop::WaitStrategy;

/// What a row's own figure is divided by.
enum By {
    /// Another path.
    Path(fn() -> f64),
    /// Half of the probe's round trip.
    HalfTrip,
    /// Nothing: the goal is a figure of its own.
    Nothing,
}

struct Row {
    name: &'static str,
    unit: &'static str,
    own: fn() -> f64,
    by: By,
    /// The least ratio (or figure), or the most where less is better.
    goal: f64,
    less_is_better: bool,
}

fn rows() -> Vec<Row> {
    let row = |name, own, by, goal| Row { name, unit: "M records/s", own, by, goal, less_is_better: false };
    let way = |name, own, goal| Row { name, unit: "ns", own, by: By::HalfTrip, goal, less_is_better: true };
    vec![
        row("ingress ring, single, by rtrb", paths::ingress_single, By::Path(paths::rtrb_single), 0.95),
        row("ingress ring, batches of 64, by rtrb", paths::ingress_batches, By::Path(paths::rtrb_batches), 0.95),
        row("two publishers, by ArrayQueue", paths::two_publishers, By::Path(paths::two_publishers_shared), 4.0),
        row("observer ring, 4 readers, by 1", || paths::observers(4), By::Path(|| paths::observers(1)), 0.8),
        // The same per processor: with two of them, the readers share one.
        row("observer ring, handed to 4, by 1", || 4.0 * paths::observers(4), By::Path(|| paths::observers(1)), 0.8),
        way("one way, spinning, by half a round trip", || paths::hand_over(None), 2.0),
        way("one way, spin then park, hot", || paths::hand_over(Some(WaitStrategy::default())), 2.2),
        row("conflation, 1,000 instruments, offered", paths::conflation, By::Nothing, 20e6),
        row("a lane, ticks through it", lanes::rate, By::Nothing, 10e6),
        Row { by: By::Nothing, ..way("a lane, of the loop's time, a tick", lanes::loop_cost_ns, 50.0) },
        row("merge of 1 feed", || merged::rate(1), By::Nothing, 60e6),
        row("merge of 10 feeds", || merged::rate(10), By::Nothing, 45e6),
        row("merge of 100 feeds", || merged::rate(100), By::Nothing, 25e6),
        row("merge of 1,000 feeds", || merged::rate(1_000), By::Nothing, 15e6),
    ]
}

/// The rounds of one row that ran where most of them did.
fn measure(row: &Row, rounds: usize) {
    let mut taken: Vec<(Class, f64, f64, f64)> = Vec::new();
    for round in 0..rounds {
        let (class, trip_ns, (own, other)) = bracketed(|| match row.by {
            // The first of a round changes from round to round.
            By::Path(other) if round % 2 == 1 => {
                let other = other();
                ((row.own)(), other)
            }
            By::Path(other) => ((row.own)(), other()),
            By::HalfTrip | By::Nothing => ((row.own)(), 1.0),
        });
        let by = if matches!(row.by, By::HalfTrip) { trip_ns / 2.0 } else { other };
        taken.push((class, trip_ns, own, by));
    }
    let classes = [Class::Smt, Class::L3, Class::Far, Class::Mixed];
    let most = classes
        .into_iter()
        .max_by_key(|&class| (taken.iter().filter(|sample| sample.0 == class).count(), class != Class::Mixed))
        .expect("four classes");
    let of = |figure: fn(&(Class, f64, f64, f64)) -> f64| {
        median(&mut taken.iter().filter(|sample| sample.0 == most).map(figure).collect::<Vec<_>>())
    };
    let (own, by, ratio, trip) = (of(|one| one.2), of(|one| one.3), of(|one| one.2 / one.3), of(|one| one.1));
    let is_met = if row.less_is_better { ratio <= row.goal } else { ratio >= row.goal };
    let count = taken.iter().filter(|sample| sample.0 == most).count();
    println!(
        "{{\"path\": \"{}\", \"unit\": \"{}\", \"own\": {own:.1}, \"by\": {by:.1}, \"ratio\": {ratio:.3}, \"goal\": {}, \
         \"less_is_better\": {}, \"met\": {is_met}, \"class\": \"{}\", \"round_trip_ns\": {trip:.0}, \"rounds\": {count}}}",
        row.name,
        row.unit,
        row.goal,
        row.less_is_better,
        most.name(),
    );
}

fn main() {
    // Cargo hands benchmarks `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.iter().any(|argument| argument == "--probe") {
        let trip_ns = probe::round_trip_ns();
        println!("{{\"class\": \"{}\", \"round_trip_ns\": {trip_ns:.0}}}", Class::of(trip_ns).name());
        return;
    }
    let rounds = if arguments.iter().any(|argument| argument == "--quick") { 3 } else { 21 };
    let only = arguments.iter().find(|argument| !argument.starts_with("--"));
    for row in rows() {
        if only.is_none_or(|word| row.name.contains(word.as_str())) {
            measure(&row, rounds);
        }
    }
}
