//! `MarketData`: what a strategy can look up of the market, `self.market_data`.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use numpy::PyArrayDescr;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyMappingProxy, PyTuple};
use tickrail_core::dispatch::MAX_KEPT;
use tickrail_core::{Kind, Tick, TickBlock};

use crate::batch::view;
use crate::dispatcher::Dispatcher;
use crate::errors::{hinted, not_in_run};
use crate::gil::GilBound;
use crate::infos::info_to;
use crate::records::tick_dtype;
use crate::strategy::{Face, StrategyCore};
use crate::tick_objects::TickObjects;

/// The market as it is known in the present step: ``self.market_data`` of a strategy.
///
/// Covers every instrument of the run, subscribed to or not, and never shows what the loop has not taken. GAP and STALE
/// records are none of its records. It knows what came since it was first used in the run; a class that names
/// ``market_data`` in a method uses it from the beginning. Dispatch thread only, while the run goes on; elsewhere the calls
/// raise ``WrongThread``. An instrument that the run does not have is a ``DataError``.
#[pyclass(frozen, module = "tickrail._native")]
pub struct MarketData {
    inside: GilBound<Inside>,
}

struct Inside {
    face: Rc<Face>,
    objects: RefCell<TickObjects>,
    names: OnceCell<Py<PyTuple>>,
    /// What is known of each instrument, once somebody has asked.
    facts: RefCell<Vec<Option<Py<PyMappingProxy>>>>,
}

impl MarketData {
    fn new(face: Rc<Face>) -> Self {
        let objects = RefCell::new(TickObjects::new(false));
        Self { inside: GilBound::new(Inside { face, objects, names: OnceCell::new(), facts: RefCell::default() }) }
    }

    /// What is behind it, on the dispatch thread.
    #[inline(always)]
    fn open<'a>(&'a self, py: Python<'a>) -> PyResult<&'a Inside> {
        let inside = self.inside.get(py);
        inside.face.check_thread()?;
        Ok(inside)
    }
}

impl Inside {
    /// The row of `instrument`.
    #[inline(always)]
    fn row(&self, instrument: &Bound<'_, PyAny>) -> PyResult<u32> {
        self.face.table.resolve(instrument).map_err(|error| not_in_run(instrument.py(), "DataError", "", error))
    }

    /// An object that holds `tick`: one that nobody has kept, or a new one.
    #[inline(always)]
    fn object<'py>(&self, py: Python<'py>, tick: Option<Tick>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(tick) = tick else { return Ok(None) };
        let object = self.objects.borrow_mut().fill(py, &tick, self.face.table.id(tick.instrument))?;
        // SAFETY: `fill` returns a live object that `objects` owns; this takes a reference of its own.
        Ok(Some(unsafe { Bound::from_borrowed_ptr(py, object) }))
    }

    fn checked_count(&self, py: Python<'_>, count: i64) -> PyResult<usize> {
        let kept = self.face.desk.market().kept();
        match usize::try_from(count) {
            Ok(count) if count <= kept => Ok(count),
            Ok(count) => {
                let message = format!("history of {count} records, but {kept} of each instrument are kept");
                Err(hinted(py, "DataError", &message, &format!("self.market_data.keep({count}) in on_start")))
            }
            Err(_) => Err(hinted(py, "DataError", &format!("history of {count} records"), "a count is at least 0")),
        }
    }

    fn facts_of(&self, py: Python<'_>, row: u32) -> PyResult<Py<PyMappingProxy>> {
        let (desk, place) = (&self.face.desk, row as usize);
        if let Some(Some(known)) = self.facts.borrow().get(place) {
            return Ok(known.clone_ref(py));
        }
        let facts = info_to(py, &desk.instruments()[place])?;
        let rules = self.face.answer(py, desk.specification(row))?;
        facts.set_item("size_increment", rules.size_increment)?;
        facts.set_item("min_quantity", rules.min_quantity)?;
        facts.set_item("max_quantity", rules.max_quantity)?;
        facts.set_item("multiplier", rules.multiplier)?;
        let proxy = PyMappingProxy::new(py, facts.as_mapping()).unbind();
        let mut all = self.facts.borrow_mut();
        if all.len() <= place {
            all.resize_with(place + 1, || None);
        }
        all[place] = Some(proxy.clone_ref(py));
        Ok(proxy)
    }
}

/// The dtype that names the fields of records of `kind`.
fn dtype_of_kind(py: Python<'_>, kind: Kind) -> PyResult<Bound<'_, PyArrayDescr>> {
    static QUOTES: PyOnceLock<Py<PyArrayDescr>> = PyOnceLock::new();
    static TRADES: PyOnceLock<Py<PyArrayDescr>> = PyOnceLock::new();
    static BARS: PyOnceLock<Py<PyArrayDescr>> = PyOnceLock::new();
    let (cell, name) = match kind {
        Kind::Quote => (&QUOTES, "QUOTE_DTYPE"),
        Kind::Trade => (&TRADES, "TRADE_DTYPE"),
        Kind::Bar => (&BARS, "BAR_DTYPE"),
        Kind::Gap | Kind::Stale | Kind::Custom => return tick_dtype(py),
    };
    cell.import(py, "tickrail.domain.ticks", name).cloned()
}

fn kind_of(name: &str) -> PyResult<Kind> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name));
    found
        .filter(|kind| !matches!(kind, Kind::Gap | Kind::Stale))
        .ok_or_else(|| PyValueError::new_err(format!("kind is {name:?}: expected 'quote', 'trade', 'bar' or 'custom'")))
}

#[pymethods]
impl MarketData {
    /// Ids of the run's instruments, in the order of its table.
    #[getter]
    fn instruments(&self, py: Python<'_>) -> PyResult<Py<PyTuple>> {
        let inside = self.open(py)?;
        if let Some(names) = inside.names.get() {
            return Ok(names.clone_ref(py));
        }
        let names = PyTuple::new(py, inside.face.table.names())?.unbind();
        Ok(inside.names.get_or_init(|| names).clone_ref(py))
    }

    /// What is known of ``instrument``, read-only: ``id``, ``currency``, ``price_increment``, ``bar_duration_ns``,
    /// ``negative_prices``, ``size_increment``, ``min_quantity``, ``max_quantity`` and ``multiplier``.
    fn instrument(&self, py: Python<'_>, instrument: &Bound<'_, PyAny>) -> PyResult<Py<PyMappingProxy>> {
        let inside = self.open(py)?;
        inside.facts_of(py, inside.row(instrument)?)
    }

    /// The last record of ``instrument``, that of the present step among them; ``None`` before the first.
    fn latest_tick<'py>(&self, py: Python<'py>, instrument: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let inside = self.open(py)?;
        let row = inside.row(instrument)?;
        inside.object(py, inside.face.desk.market().latest(row))
    }

    /// The last bar of ``instrument``, however many other records have come since; ``None`` before the first.
    fn latest_bar<'py>(&self, py: Python<'py>, instrument: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let inside = self.open(py)?;
        let row = inside.row(instrument)?;
        inside.object(py, inside.face.desk.market().latest_bar(row))
    }

    /// The last ``count`` records of ``instrument`` or as many as there are, oldest first: a read-only
    /// structured array of its own, safe to keep.
    ///
    /// Its dtype is ``TICK_DTYPE``; with ``kind`` (``"quote"``, ``"trade"``, ``"bar"`` or ``"custom"``) only such records
    /// count, under the names of their fields. Raises ``DataError`` for more than are kept: see ``keep``.
    #[pyo3(signature = (instrument, count, *, kind=None))]
    fn history<'py>(
        &self,
        py: Python<'py>,
        instrument: &Bound<'py, PyAny>,
        count: i64,
        kind: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let inside = self.open(py)?;
        let row = inside.row(instrument)?;
        let (count, market) = (inside.checked_count(py, count)?, inside.face.desk.market());
        match kind.map(kind_of).transpose()? {
            None => {
                let found = market.with_last(row, count, |older, newer| [older, newer].concat());
                view(py, &TickBlock::from_vec(found), tick_dtype(py)?)
            }
            Some(kind) => {
                let found = market.last_of_kind(row, count, kind);
                view(py, &TickBlock::from_vec(found), dtype_of_kind(py, kind)?)
            }
        }
    }

    /// How many records of each instrument are kept: 1,024, or what a strategy of the run has asked for.
    #[getter]
    fn kept(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.open(py)?.face.desk.market().kept())
    }

    /// Keep at least ``records`` of each instrument from now on, 64 bytes each, at most 1,048,576.
    fn keep(&self, py: Python<'_>, records: i64) -> PyResult<()> {
        let inside = self.open(py)?;
        if usize::try_from(records).is_ok_and(|records| inside.face.desk.market().keep(records)) {
            return Ok(());
        }
        Err(PyValueError::new_err(format!("keep({records}): expected from 1 to {MAX_KEPT} records")))
    }

    /// Let the strategy receive the ticks of ``instrument`` from the next step on.
    fn subscribe(&self, py: Python<'_>, instrument: &Bound<'_, PyAny>) -> PyResult<()> {
        self.subscription(py, instrument, true)
    }

    /// Spare the strategy the ticks of ``instrument`` from the next step on; the view goes on.
    fn unsubscribe(&self, py: Python<'_>, instrument: &Bound<'_, PyAny>) -> PyResult<()> {
        self.subscription(py, instrument, false)
    }
}

impl MarketData {
    fn subscription(&self, py: Python<'_>, instrument: &Bound<'_, PyAny>, wanted: bool) -> PyResult<()> {
        let inside = self.open(py)?;
        let (face, row) = (&inside.face, inside.row(instrument)?);
        face.answer(py, face.desk.subscription(face.strategy, row, wanted))
    }
}

#[pymethods]
impl StrategyCore {
    /// The market as it is known in the present step: latest tick and bar, history, facts of instruments.
    #[getter]
    fn market_data(&self, py: Python<'_>) -> PyResult<Py<MarketData>> {
        if let Some(view) = self.market.get(py).get() {
            return Ok(view.clone_ref(py));
        }
        let face = self.with_face(py, |face| Ok(Rc::clone(face)))?;
        face.desk.market().watch();
        let view = Py::new(py, MarketData::new(face))?;
        Ok(self.market.get(py).get_or_init(|| view).clone_ref(py))
    }
}

#[pymethods]
impl Dispatcher {
    /// Keep the last records of each instrument from the beginning: a strategy will look at them.
    fn watch_market(&self, py: Python<'_>) {
        self.inside.get(py).desk.market().watch();
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<MarketData>()
}
