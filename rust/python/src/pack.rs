//! Batches of Arrow columns packed into records.

use std::collections::BTreeMap;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Schema, TimeUnit};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::PyResult;
use tickrail_core::file::InstrumentTable;
use tickrail_core::tick::NO_SIZE;
use tickrail_core::{Kind, Side, Tick};

use crate::columns::{counters, numbers, sides, symbols, times};
use crate::data_errors::DataFault;

/// Names that every kind has; `columns` maps them and the ones of [`values`] to the source's.
const SHARED: [&str; 4] = ["ts_event", "ts_init", "sequence", "instrument"];

/// The names of a kind's numbers in the order of the record's values, and whether the source must have them.
const fn values(kind: Kind) -> [(&'static str, bool); 4] {
    match kind {
        Kind::Trade => [("price", true), ("", false), ("size", false), ("", false)],
        Kind::Bar => [("open", true), ("high", true), ("low", true), ("close", true)],
        _ => [("bid", true), ("ask", true), ("bid_size", false), ("ask_size", false)],
    }
}

/// What the caller said about a source.
#[derive(Debug, Clone)]
pub struct Mapping {
    kind: Kind,
    columns: BTreeMap<String, String>,
    time_unit: Option<TimeUnit>,
    /// The instrument of all records of the source.
    pub instrument: Option<String>,
    side_true: u8,
}

impl Mapping {
    /// Checks what Python said, as far as that goes without the source.
    pub fn new(
        kind: &str,
        columns: BTreeMap<String, String>,
        time_unit: Option<&str>,
        instrument: Option<String>,
        side_bool: &str,
    ) -> PyResult<Self> {
        let refuse = |message: String| Err(PyValueError::new_err(message));
        let kind = match kind {
            "quote" => Kind::Quote,
            "trade" => Kind::Trade,
            "bar" => Kind::Bar,
            other => return refuse(format!("kind is {other:?}: expected \"quote\", \"trade\" or \"bar\"")),
        };
        let time_unit = match time_unit {
            None => None,
            Some("s") => Some(TimeUnit::Second),
            Some("ms") => Some(TimeUnit::Millisecond),
            Some("us") => Some(TimeUnit::Microsecond),
            Some("ns") => Some(TimeUnit::Nanosecond),
            Some(other) => return refuse(format!("time_unit is {other:?}: expected \"s\", \"ms\", \"us\" or \"ns\"")),
        };
        let side_true = match side_bool {
            "buyer_maker" => Side::Sell as u8,
            "buy" => Side::Buy as u8,
            other => return refuse(format!("side_bool is {other:?}: expected \"buyer_maker\" or \"buy\"")),
        };
        let mapping = Self { kind, columns, time_unit, instrument, side_true };
        mapping.check_names().map_err(PyValueError::new_err)?;
        Ok(mapping)
    }

    /// Those of `columns` that have a record's own names.
    pub fn by_name(kind: &str, columns: &[String]) -> BTreeMap<String, String> {
        let prices =
            values(Kind::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(kind)).unwrap_or(Kind::Quote));
        let prices = prices.into_iter().map(|(name, _)| name);
        let extra = match kind {
            "trade" => "side",
            "bar" => "volume",
            _ => "",
        };
        let known: Vec<&str> = SHARED
            .into_iter()
            .filter(|name| kind != "bar" || *name != "sequence")
            .chain(prices)
            .chain([extra])
            .filter(|name| !name.is_empty())
            .collect();
        let ours = columns.iter().filter(|name| known.contains(&name.as_str()));
        ours.map(|name| (name.clone(), name.clone())).collect()
    }

    fn known(&self) -> Vec<&'static str> {
        let extra = match self.kind {
            Kind::Trade => Some("side"),
            Kind::Bar => Some("volume"),
            _ => None,
        };
        let values = values(self.kind).into_iter().map(|(name, _)| name).filter(|name| !name.is_empty());
        SHARED
            .into_iter()
            .filter(|name| self.kind != Kind::Bar || *name != "sequence")
            .chain(values)
            .chain(extra)
            .collect()
    }

    fn check_names(&self) -> Result<(), String> {
        let known = self.known();
        let kind = self.kind.name().to_lowercase();
        if let Some(name) = self.columns.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("a {kind} has no {name:?}; columns can name {}", known.join(", ")));
        }
        let required = values(self.kind).into_iter().filter(|(_, required)| *required).map(|(name, _)| name);
        let absent: Vec<_> =
            ["ts_event"].into_iter().chain(required).filter(|name| !self.columns.contains_key(*name)).collect();
        if absent.is_empty() {
            return Ok(());
        }
        Err(format!("a {kind} needs a column for {}", absent.join(", ")))
    }
}

/// Packs batches of one schema; keeps its buffers from batch to batch.
#[derive(Debug)]
pub struct Packer<'a> {
    mapping: &'a Mapping,
    places: BTreeMap<&'a str, usize>,
    /// The instrument of rows without a symbol column.
    fixed: Option<u32>,
    ts_event: Vec<i64>,
    ts_init: Vec<i64>,
    sequence: Vec<u64>,
    instrument: Vec<u32>,
    side: Vec<u8>,
    values: [Vec<f64>; 4],
    /// The records of the last batch.
    pub ticks: Vec<Tick>,
}

impl<'a> Packer<'a> {
    /// Finds the columns of `mapping` in `schema`.
    pub fn new(mapping: &'a Mapping, schema: &Schema, fixed: Option<u32>) -> Result<Self, DataFault> {
        let mut places = BTreeMap::new();
        for (name, column) in &mapping.columns {
            let Some((place, _)) = schema.column_with_name(column) else {
                let there: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                let there = there.join(", ");
                return Err(DataFault::Layout(format!("there is no column {column:?} for {name}; there are {there}")));
            };
            places.insert(name.as_str(), place);
        }
        if fixed.is_none() && !places.contains_key("instrument") {
            return Err(DataFault::Layout(
                "nothing says which instrument this is: map a column to `instrument`, or name one".to_owned(),
            ));
        }
        let (ts_event, ts_init, sequence, instrument) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (side, values, ticks) = (Vec::new(), Default::default(), Vec::new());
        Ok(Self { mapping, places, fixed, ts_event, ts_init, sequence, instrument, side, values, ticks })
    }

    /// Packs `batch` into `self.ticks`.
    pub fn pack(&mut self, batch: &RecordBatch, table: &mut InstrumentTable) -> Result<(), DataFault> {
        self.decode(batch, table)?;
        let mut ticks = std::mem::take(&mut self.ticks);
        ticks.clear();
        self.join(batch.num_rows(), &mut ticks);
        self.ticks = ticks;
        Ok(())
    }

    /// Makes `rows` records of the columns.
    fn join(&self, rows: usize, ticks: &mut Vec<Tick>) {
        // Slices of one length, known as such to the compiler, cost no check a row.
        let (ts_event, ts_init) = (&self.ts_event[..rows], &self.ts_init[..rows]);
        let (sequence, instrument, side) = (&self.sequence[..rows], &self.instrument[..rows], &self.side[..rows]);
        let [a, b, c, d] = self.values.each_ref().map(|column| &column[..rows]);
        let (kind, sized) = (self.mapping.kind as u8, self.mapping.kind != Kind::Bar);
        ticks.extend((0..rows).map(|row| Tick {
            ts_event: ts_event[row],
            ts_init: ts_init[row],
            sequence: sequence[row],
            instrument: instrument[row],
            kind,
            side: side[row],
            // Quotes and trades have a size in place 2; only a quote's place 3 can be NaN.
            flags: if sized && (c[row].is_nan() || d[row].is_nan()) { NO_SIZE } else { 0 },
            values: [a[row], b[row], c[row], d[row]],
        }));
    }

    fn decode(&mut self, batch: &RecordBatch, table: &mut InstrumentTable) -> Result<(), DataFault> {
        let rows = batch.num_rows();
        let mapping = self.mapping;
        let column = |name: &str| -> Option<(&'a str, &ArrayRef)> {
            let place = *self.places.get(name)?;
            Some((mapping.columns[name].as_str(), batch.column(place)))
        };
        if let Some((name, array)) = column("ts_event") {
            times(name, array, mapping.time_unit, &mut self.ts_event)?;
        }
        match column("ts_init") {
            Some((name, array)) => times(name, array, mapping.time_unit, &mut self.ts_init)?,
            None => self.ts_init.clone_from(&self.ts_event),
        }
        match (self.fixed, column("instrument")) {
            (None, Some((name, array))) => symbols(name, array, table, &mut self.instrument)?,
            (fixed, _) => refill(&mut self.instrument, rows, fixed.unwrap_or(u32::MAX)),
        }
        match column("sequence") {
            Some((name, array)) => counters(name, array, &mut self.sequence)?,
            None => refill(&mut self.sequence, rows, 0),
        }
        match column("side") {
            Some((name, array)) => sides(name, array, mapping.side_true, &mut self.side)?,
            None => refill(&mut self.side, rows, 0),
        }
        for (place, (name, _)) in values(mapping.kind).into_iter().enumerate() {
            match column(name) {
                Some((name, array)) => numbers(name, array, &mut self.values[place])?,
                // A spare place is 0; a size that nobody gave is NaN.
                None => refill(&mut self.values[place], rows, if name.is_empty() { 0.0 } else { f64::NAN }),
            }
        }
        if let Some((name, array)) = column("volume") {
            let mut volumes = Vec::with_capacity(rows);
            numbers(name, array, &mut volumes)?;
            self.sequence.clear();
            self.sequence.extend(volumes.into_iter().map(f64::to_bits));
        }
        Ok(())
    }
}

fn refill<V: Copy>(column: &mut Vec<V>, rows: usize, value: V) {
    column.clear();
    column.resize(rows, value);
}
