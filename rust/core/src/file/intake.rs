//! From unchecked records to a file or an array: checks each, counts the bad, passes the good on.

use std::sync::Arc;

use super::error::FileError;
use super::table::{InstrumentTable, TableError};
use super::writer::TickFileWriter;
use crate::check::{Checker, Offender, Report};
use crate::tick::{OrderBy, Tick};

/// What happens to a record that breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnBad {
    /// The first one ends the intake.
    #[default]
    Reject,
    /// It is counted and left out.
    Skip,
}

/// Where good records go.
pub trait RecordSink {
    /// Takes `ticks`, which keep the rules and go on from the ones before.
    fn take(&mut self, ticks: &[Tick]) -> Result<(), FileError>;
}

impl RecordSink for TickFileWriter {
    fn take(&mut self, ticks: &[Tick]) -> Result<(), FileError> {
        self.write(ticks)
    }
}

impl RecordSink for Vec<Tick> {
    fn take(&mut self, ticks: &[Tick]) -> Result<(), FileError> {
        self.extend_from_slice(ticks);
        Ok(())
    }
}

/// Why an intake ended early.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The sink failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A symbol cannot be an instrument.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A bad record under [`OnBad::Reject`], and what was counted up to it.
    #[error("row {}: {}", .0.row, .0.offence.value)]
    Bad(Box<Offender>, Box<Report>),
}

/// One pass over sources in order.
#[derive(Debug)]
pub struct Intake<S> {
    /// The instruments seen so far; packers resolve symbols here.
    pub table: InstrumentTable,
    checker: Checker,
    report: Report,
    on_bad: OnBad,
    sink: S,
}

impl<S: RecordSink> Intake<S> {
    /// Starts a pass into `sink`.
    pub fn new(sink: S, table: InstrumentTable, order_by: OrderBy, on_bad: OnBad) -> Self {
        Self { table, checker: Checker::new(order_by), report: Report::default(), on_bad, sink }
    }

    /// Checks `ticks`, which are rows `first_row`, `first_row + 1`, ... of `origin`, and passes the good ones on.
    ///
    /// Bad records are taken out of `ticks`.
    pub fn take(&mut self, ticks: &mut Vec<Tick>, origin: &Arc<str>, first_row: u64) -> Result<(), IntakeError> {
        let mut kept = 0;
        for row in 0..ticks.len() {
            let tick = ticks[row];
            let Err(offence) = self.checker.check(&tick, self.table.rows()) else {
                // Nothing moves as long as nothing was bad.
                if kept < row {
                    ticks[kept] = tick;
                }
                kept += 1;
                continue;
            };
            let row = first_row + row as u64;
            self.report.count(offence.clone(), origin, row);
            if self.on_bad == OnBad::Reject {
                let offender = Offender { offence, origin: Arc::clone(origin), row };
                return Err(IntakeError::Bad(Box::new(offender), Box::new(self.report())));
            }
        }
        ticks.truncate(kept);
        Ok(self.sink.take(ticks)?)
    }

    /// What was found so far.
    pub fn report(&self) -> Report {
        Report { crossed: self.checker.crossed(), ..self.report.clone() }
    }

    /// Ends the pass.
    pub fn finish(self) -> (S, InstrumentTable, Report) {
        let report = self.report();
        (self.sink, self.table, report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Problem;

    fn intake(on_bad: OnBad) -> Intake<Vec<Tick>> {
        let mut table = InstrumentTable::default();
        table.resolve("A.X").unwrap();
        Intake::new(Vec::new(), table, OrderBy::TsEvent, on_bad)
    }

    fn some() -> Vec<Tick> {
        let quote = |time, bid| Tick::quote(time, 0, bid, 2.0, 1.0, 1.0);
        vec![quote(1, 1.0), quote(2, f64::NAN), quote(3, 3.0), quote(2, 1.0), quote(4, 1.0)]
    }

    #[test]
    fn skipping_keeps_the_good_in_order() {
        let mut intake = intake(OnBad::Skip);
        intake.take(&mut some(), &Arc::from("f"), 10).unwrap();
        let (ticks, _, report) = intake.finish();
        assert_eq!(ticks.iter().map(|tick| tick.ts_event).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!((report.bad(), report.crossed), (2, 1));
        let places: Vec<_> = report.offenders.iter().map(|one| (one.offence.problem, one.row)).collect();
        assert_eq!(places, [(Problem::PriceNotFinite, 11), (Problem::KeyBackwards, 13)]);
    }

    #[test]
    fn rejecting_names_the_first() {
        let error = intake(OnBad::Reject).take(&mut some(), &Arc::from("f"), 1).unwrap_err();
        assert!(matches!(error, IntakeError::Bad(offender, _) if offender.row == 2));
    }
}
