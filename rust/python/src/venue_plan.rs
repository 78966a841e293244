//! What instruments are and how venues behave, from the rows and tables that Python hands over.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString};
use tickrail_core::InstrumentInfo;
use tickrail_core::venue::{
    BarPath, Fees, FillModel, InstrumentTerms, Latency, Session, Sessions, SimulatedVenue, Slippage, Specification,
    VenueSettings,
};

use crate::plan::named;

/// One instrument of a run.
pub struct InstrumentRow {
    /// What is known of it.
    pub info: InstrumentInfo,
    /// What its orders are held to.
    pub rules: Specification,
    /// What trading it costs; its venue is found later, by the end of its id.
    pub terms: InstrumentTerms,
}

fn optional<'py, T: for<'a> FromPyObject<'a, 'py, Error: Into<PyErr>>>(
    row: &Bound<'py, PyDict>,
    key: &str,
) -> PyResult<Option<T>> {
    match row.get_item(key)? {
        None => Ok(None),
        Some(value) if value.is_none() => Ok(None),
        Some(value) => value.extract().map(Some).map_err(|error: T::Error| -> PyErr {
            let error: PyErr = error.into();
            PyValueError::new_err(format!("'{key}' cannot be {value}: {}", error.value(row.py())))
        }),
    }
}

/// A number that has to be finite and at least `least`.
fn number(row: &Bound<'_, PyDict>, key: &str, default: f64, least: f64) -> PyResult<f64> {
    let value = optional(row, key)?.unwrap_or(default);
    if value == default || (value.is_finite() && value >= least) {
        return Ok(value);
    }
    Err(PyValueError::new_err(format!("{key} is {value}: expected a number of at least {least}")))
}

/// Reads a row of the run's instrument table.
pub fn instrument_row(row: &Bound<'_, PyDict>) -> PyResult<InstrumentRow> {
    let id: String = optional(row, "id")?.ok_or_else(|| PyValueError::new_err("an instrument's row lacks its 'id'"))?;
    read_row(row, &id).map_err(|error| PyValueError::new_err(format!("instrument {id}: {}", error.value(row.py()))))
}

fn read_row(row: &Bound<'_, PyDict>, id: &str) -> PyResult<InstrumentRow> {
    let mut info = InstrumentInfo::named(id);
    if let Some(currency) = optional(row, "currency")? {
        info.currency = currency;
    }
    info.price_increment = number(row, "price_increment", 0.0, 0.0)?;
    info.bar_duration_ns = optional(row, "bar_duration_ns")?.unwrap_or(0);
    info.negative_prices = optional(row, "negative_prices")?.unwrap_or(false);
    let rules = Specification {
        price_increment: info.price_increment,
        size_increment: number(row, "size_increment", 0.0, 0.0)?,
        min_quantity: number(row, "min_quantity", 0.0, 0.0)?,
        max_quantity: number(row, "max_quantity", f64::INFINITY, 0.0)?,
        multiplier: number(row, "multiplier", 1.0, f64::MIN_POSITIVE)?,
        negative_prices: info.negative_prices,
    };
    let rate = number(row, "fee_rate", 0.0, 0.0)?;
    let fees = Fees {
        maker_rate: number(row, "maker_fee_rate", rate, -1.0)?,
        taker_rate: number(row, "taker_fee_rate", rate, 0.0)?,
        per_unit: number(row, "fee_per_unit", 0.0, 0.0)?,
        minimum: number(row, "fee_minimum", 0.0, 0.0)?,
    };
    let slippage = Slippage {
        fraction: number(row, "slippage_fraction", 0.0, 0.0)?,
        amount: number(row, "slippage_amount", 0.0, 0.0)?,
    };
    let (multiplier, bar_duration_ns) = (rules.multiplier, info.bar_duration_ns);
    let terms = InstrumentTerms { fees, slippage, multiplier, bar_duration_ns, venue: 0 };
    Ok(InstrumentRow { info, rules, terms })
}

/// The simulated venues of a run: one for each table, and one with default settings for whatever has none.
pub fn venues(rows: &[InstrumentRow], tables: Option<&Bound<'_, PyDict>>, seed: u64) -> PyResult<SimulatedVenue> {
    let mut settings = vec![VenueSettings::default()];
    let mut instruments: Vec<InstrumentTerms> = rows.iter().map(|row| row.terms).collect();
    for (name, table) in tables.into_iter().flatten() {
        let name: String = name.extract()?;
        let table = table.cast::<PyDict>()?;
        settings.push(
            venue_settings(table)
                .map_err(|error| PyValueError::new_err(format!("venue {name}: {}", error.value(table.py()))))?,
        );
        for (terms, row) in instruments.iter_mut().zip(rows) {
            if row.info.id.rsplit('.').next() == Some(name.as_str()) {
                terms.venue = settings.len() - 1;
            }
        }
    }
    Ok(SimulatedVenue::with(instruments, settings, seed))
}

fn venue_settings(table: &Bound<'_, PyDict>) -> PyResult<VenueSettings> {
    let fill_model: Option<String> = optional(table, "fill_model")?;
    let bar_path: Option<String> = optional(table, "bar_path")?;
    let reject_rate = number(table, "reject_rate", 0.0, 0.0)?;
    if reject_rate > 1.0 {
        return Err(PyValueError::new_err(format!("reject_rate is {reject_rate}: expected a share from 0 to 1")));
    }
    Ok(VenueSettings {
        fill_model: fill_model_of(fill_model.as_deref().unwrap_or("touch"))?,
        bar_path: bar_path_of(bar_path.as_deref().unwrap_or("nearest"))?,
        order_latency: latency(table, "order_latency_ns")?,
        report_latency: latency(table, "report_latency_ns")?,
        reject_rate,
        outages: optional(table, "outages")?.unwrap_or_default(),
        sessions: sessions(table)?,
    })
}

fn fill_model_of(name: &str) -> PyResult<FillModel> {
    let found = match name {
        "touch" => Some(FillModel::Touch),
        "through" => Some(FillModel::Through),
        "size" => Some(FillModel::Size),
        _ => None,
    };
    named("fill_model", name, "'touch', 'through' or 'size'", found)
}

fn bar_path_of(name: &str) -> PyResult<BarPath> {
    let found = match name {
        "nearest" => Some(BarPath::Nearest),
        "high_first" => Some(BarPath::HighFirst),
        "low_first" => Some(BarPath::LowFirst),
        _ => None,
    };
    named("bar_path", name, "'nearest', 'high_first' or 'low_first'", found)
}

/// A number is constant, numbers are quantiles, pairs are a series.
fn latency(table: &Bound<'_, PyDict>, key: &str) -> PyResult<Latency> {
    let Some(value) = table.get_item(key)?.filter(|value| !value.is_none()) else { return Ok(Latency::None) };
    let expected = || PyValueError::new_err(format!("{key} is {value}: expected ns, quantiles, or pairs (time, ns)"));
    let found = if value.is_instance_of::<PyInt>() {
        match value.extract().map_err(|_| expected())? {
            0 => Latency::None,
            ns => Latency::Constant(ns),
        }
    } else if value.is_instance_of::<PyString>() {
        return Err(expected());
    } else if let Ok(quantiles) = value.extract() {
        Latency::Quantiles(quantiles)
    } else {
        Latency::Series(value.extract().map_err(|_| expected())?)
    };
    found.check().map_err(|error| PyValueError::new_err(format!("{key}: {error}")))?;
    Ok(found)
}

fn sessions(table: &Bound<'_, PyDict>) -> PyResult<Sessions> {
    let rows: Vec<(i64, i64, u8)> = optional(table, "sessions")?.unwrap_or_default();
    let session = |(open_ns, close_ns, weekdays)| Session { open_ns, close_ns, weekdays };
    Sessions::new(rows.into_iter().map(session).collect()).map_err(|error| PyValueError::new_err(error.to_string()))
}
