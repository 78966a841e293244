//! `PortfolioCore`: what a strategy, or all of them, hold and are worth, as their handlers ask for it.

use std::cell::RefCell;
use std::rc::Rc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tickrail_core::dispatch::Desk;
use tickrail_core::venue::{Portfolio, Position, Rate, Worth};

use crate::dispatcher::Dispatcher;
use crate::errors::{OrderRefused, hinted};
use crate::gil::GilBound;
use crate::strategy::{Face, StrategyCore};

const DAY_NS: i64 = 86_400_000_000_000;

/// How often it is looked at what strategies are worth.
pub fn looks_every(ns: i64) -> PyResult<i64> {
    if ns > 0 && DAY_NS % ns == 0 {
        return Ok(ns);
    }
    Err(PyValueError::new_err(format!("equity_every_ns is {ns}: expected a whole part of a day, as 60_000_000_000")))
}

/// What a strategy holds and is worth; with ``whole``, all strategies of its run together.
///
/// Figures of one instrument are in its currency, sums in the run's. All methods belong to the dispatch thread while a run
/// goes on; elsewhere they raise ``WrongThread``.
#[pyclass(subclass, frozen, module = "tickrail._native")]
pub struct PortfolioCore {
    face: GilBound<Rc<Face>>,
    whole: bool,
}

impl PortfolioCore {
    #[inline(always)]
    fn face<'a>(&'a self, py: Python<'_>) -> PyResult<&'a Rc<Face>> {
        let face = self.face.get(py);
        face.check_thread()?;
        Ok(face)
    }

    fn owner(&self, face: &Face) -> Option<u32> {
        (!self.whole).then_some(face.strategy)
    }

    fn look<R>(&self, py: Python<'_>, act: impl FnOnce(&Desk, &Portfolio, Option<u32>) -> R) -> PyResult<R> {
        let face = self.face(py)?;
        Ok(face.desk.with_portfolio(|portfolio| act(&face.desk, portfolio, self.owner(face))))
    }

    /// Something in the run's currency, which there has to be.
    fn sum(&self, py: Python<'_>, act: impl FnOnce(&Desk, &Portfolio, Option<u32>) -> f64) -> PyResult<f64> {
        let sum = self.look(py, |desk, portfolio, owner| {
            (!portfolio.books().currency().is_empty()).then(|| act(desk, portfolio, owner))
        })?;
        sum.ok_or_else(|| {
            let message = "the run has instruments in several currencies, whose amounts are not added";
            hinted(
                py,
                "DataError",
                message,
                "say currency and rates: what one unit of each other currency is worth in it",
            )
        })
    }

    fn worth(&self, py: Python<'_>, figure: impl FnOnce(&Worth) -> f64) -> PyResult<f64> {
        self.sum(py, |_, portfolio, owner| figure(&portfolio.worth(owner)))
    }

    /// A figure of one instrument, added over the strategies that this is about.
    fn of_instrument(
        &self,
        instrument: &Bound<'_, PyAny>,
        figure: impl Fn(&Portfolio, u32, &Position) -> f64,
    ) -> PyResult<f64> {
        let py = instrument.py();
        let face = self.face(py)?;
        let index = face.table.resolve(instrument)?;
        Ok(face.desk.with_portfolio(|portfolio| match self.owner(face) {
            Some(strategy) => figure(portfolio, index, portfolio.position(strategy, index)),
            None => {
                let all = 0..face.desk.strategy_count();
                all.map(|strategy| figure(portfolio, index, portfolio.position(strategy, index))).sum()
            }
        }))
    }

    fn figure(
        &self,
        py: Python<'_>,
        instrument: Option<&Bound<'_, PyAny>>,
        one: impl Fn(&Portfolio, u32, &Position) -> f64,
        all: impl FnOnce(&Worth) -> f64,
    ) -> PyResult<f64> {
        match instrument {
            Some(instrument) => self.of_instrument(instrument, one),
            None => self.worth(py, all),
        }
    }
}

#[pymethods]
impl PortfolioCore {
    #[new]
    #[pyo3(signature = (strategy, whole=false))]
    fn new(strategy: &Bound<'_, PyAny>, whole: bool) -> PyResult<Self> {
        let py = strategy.py();
        let face = match strategy.cast::<Self>() {
            Ok(other) => Some(Rc::clone(other.get().face.get(py))),
            Err(_) => strategy.cast::<StrategyCore>()?.get().face(py),
        };
        let face = face.ok_or_else(|| {
            OrderRefused::new_err(
                "this strategy belongs to no run yet, and has no portfolio before a run has started it",
            )
        })?;
        Ok(Self { face: GilBound::new(face), whole })
    }

    /// Units held, below zero when short; fills only, without orders in flight.
    fn position(&self, instrument: &Bound<'_, PyAny>) -> PyResult<f64> {
        self.of_instrument(instrument, |_, _, position| position.net)
    }

    /// What a unit of what is held has cost on average; 0.0 when flat.
    fn average_price(&self, instrument: &Bound<'_, PyAny>) -> PyResult<f64> {
        let held = self.position(instrument)?;
        if held == 0.0 {
            return Ok(0.0);
        }
        let cost = self.of_instrument(instrument, |_, _, position| position.net * position.average_price)?;
        Ok(cost / held)
    }

    /// What one unit was worth by the last tick; NaN before there was a tick that anybody needed.
    fn mark(&self, instrument: &Bound<'_, PyAny>) -> PyResult<f64> {
        let face = self.face(instrument.py())?;
        let index = face.table.resolve(instrument)?;
        Ok(face.desk.with_portfolio(|portfolio| portfolio.mark(index).price))
    }

    /// Made by closing, before fees: of one instrument in its currency, else in all.
    #[pyo3(signature = (instrument=None))]
    fn realised(&self, py: Python<'_>, instrument: Option<&Bound<'_, PyAny>>) -> PyResult<f64> {
        self.figure(py, instrument, |_, _, position| position.realised, |worth| worth.realised)
    }

    /// What closing now would make, before fees: of one instrument in its currency, else in all.
    #[pyo3(signature = (instrument=None))]
    fn unrealised(&self, py: Python<'_>, instrument: Option<&Bound<'_, PyAny>>) -> PyResult<f64> {
        let one = |portfolio: &Portfolio, index: u32, position: &Position| {
            position.unrealised(portfolio.mark(index).price, portfolio.books().multiplier(index))
        };
        self.figure(py, instrument, one, |worth| worth.unrealised)
    }

    /// Fees paid: of one instrument in its currency, else in all.
    #[pyo3(signature = (instrument=None))]
    fn fees(&self, py: Python<'_>, instrument: Option<&Bound<'_, PyAny>>) -> PyResult<f64> {
        self.figure(py, instrument, |_, _, position| position.fees, |worth| worth.fees)
    }

    /// Value of what is held, long less short, in the run's currency: of one instrument, else of all.
    #[pyo3(signature = (instrument=None))]
    fn exposure(&self, py: Python<'_>, instrument: Option<&Bound<'_, PyAny>>) -> PyResult<f64> {
        self.figure(
            py,
            instrument,
            |portfolio, index, position| portfolio.value(index, position.net),
            |worth| worth.net,
        )
    }

    /// Currency of sums; empty where there is none.
    #[getter]
    fn currency(&self, py: Python<'_>) -> PyResult<String> {
        self.look(py, |_, portfolio, _| portfolio.books().currency().to_owned())
    }

    /// What was given to trade with.
    #[getter]
    fn capital(&self, py: Python<'_>) -> PyResult<f64> {
        self.look(py, |_, portfolio, owner| portfolio.capital(owner))
    }

    /// Capital, and what was made of it.
    #[getter]
    fn equity(&self, py: Python<'_>) -> PyResult<f64> {
        self.worth(py, Worth::equity)
    }

    /// Value of what is held, long and short.
    #[getter]
    fn gross_exposure(&self, py: Python<'_>) -> PyResult<f64> {
        self.worth(py, |worth| worth.gross)
    }

    /// What new positions may still be worth: leverage times equity, less what positions and orders in flight can come to.
    #[getter]
    fn buying_power(&self, py: Python<'_>) -> PyResult<f64> {
        self.worth(py, Worth::buying_power)
    }

    /// How far the equity lies below its peak.
    #[getter]
    fn drawdown(&self, py: Python<'_>) -> PyResult<f64> {
        self.sum(py, |desk, portfolio, owner| {
            portfolio.watermark(owner, desk.now_ns()).peak - portfolio.worth(owner).equity()
        })
    }

    /// Highest equity that was seen: at fills, at even times and now.
    #[getter]
    fn peak(&self, py: Python<'_>) -> PyResult<f64> {
        self.sum(py, |desk, portfolio, owner| portfolio.watermark(owner, desk.now_ns()).peak)
    }

    /// Deepest fall from a peak that was seen.
    #[getter]
    fn max_drawdown(&self, py: Python<'_>) -> PyResult<f64> {
        self.sum(py, |desk, portfolio, owner| portfolio.watermark(owner, desk.now_ns()).deepest)
    }

    /// What the equity has gained since the UTC day began.
    #[getter]
    fn day_pnl(&self, py: Python<'_>) -> PyResult<f64> {
        self.sum(py, |desk, portfolio, owner| {
            portfolio.worth(owner).equity() - portfolio.watermark(owner, desk.now_ns()).day_open
        })
    }

    /// The clock of the step, ns UTC.
    #[getter]
    fn now_ns(&self, py: Python<'_>) -> PyResult<i64> {
        Ok(self.face(py)?.desk.now_ns())
    }

    /// ``(id, units, average price)`` of what is not flat, in the order of the run's table.
    fn holdings(&self, py: Python<'_>) -> PyResult<Vec<(String, f64, f64)>> {
        self.look(py, |desk, portfolio, owner| {
            let rows = desk.instruments().iter().enumerate().map(|(index, info)| {
                let owners = owner.map_or(0..desk.strategy_count(), |one| one..one + 1);
                let positions = owners.map(|strategy| *portfolio.position(strategy, index as u32));
                let (net, cost) = positions.fold((0.0, 0.0), |(net, cost), position| {
                    (net + position.net, cost + position.net * position.average_price)
                });
                (info.id.clone(), net, cost / net)
            });
            rows.filter(|&(_, net, _)| net != 0.0).collect()
        })
    }

    /// ``(currency, amount)``: the capital, and what was taken in by sales less purchases and fees; without what is zero.
    fn money(&self, py: Python<'_>) -> PyResult<Vec<(String, f64)>> {
        self.look(py, |desk, portfolio, owner| {
            let books = portfolio.books();
            let owners = || owner.map_or(0..desk.strategy_count(), |one| one..one + 1);
            let mut amounts: Vec<(String, f64)> = books
                .currencies()
                .iter()
                .enumerate()
                .map(|(place, name)| (name.clone(), owners().map(|strategy| portfolio.cash(strategy)[place]).sum()))
                .collect();
            let capital = portfolio.capital(owner);
            match amounts.iter_mut().find(|(name, _)| name == books.currency()) {
                Some((_, amount)) => *amount += capital,
                None => amounts.push((books.currency().to_owned(), capital)),
            }
            amounts.retain(|&(_, amount)| amount != 0.0);
            amounts
        })
    }

    /// Call ``listener()`` after each fill from now on: of the strategy, or of all where this is about all.
    fn listen(&self, py: Python<'_>, listener: Py<PyAny>) -> PyResult<()> {
        let face = self.face(py)?;
        if let Some(listeners) = face.listeners.upgrade() {
            listeners.borrow_mut().push(Subscribed { strategy: face.strategy, whole: self.whole, callable: listener });
            face.desk.listen(face.strategy, self.whole);
        }
        Ok(())
    }
}

/// Who is called after fills.
pub struct Subscribed {
    strategy: u32,
    /// Whether after everybody's.
    whole: bool,
    callable: Py<PyAny>,
}

/// All of a run, in the order in which they subscribed.
pub type Listeners = RefCell<Vec<Subscribed>>;

/// Calls those of `strategy` after a fill, which is its own or somebody else's.
pub fn tell(py: Python<'_>, listeners: &Listeners, strategy: u32, is_own: bool) -> PyResult<()> {
    let is_meant = |one: &&Subscribed| one.strategy == strategy && (one.whole || is_own);
    // Nothing is borrowed while a listener runs, which may add another.
    let meant: Vec<_> = listeners.borrow().iter().filter(is_meant).map(|one| one.callable.clone_ref(py)).collect();
    meant.into_iter().try_for_each(|callable| callable.call0(py).map(drop))
}

/// Another object takes the place of a strategy's; who listened to the old one hears no more.
pub fn forget(listeners: &Listeners, strategy: u32) {
    let (gone, kept) = listeners.take().into_iter().partition(|one| one.strategy == strategy);
    listeners.replace(kept);
    drop::<Vec<Subscribed>>(gone);
}

#[pymethods]
impl Dispatcher {
    /// Sum in ``currency``, in which one unit of each other currency is worth its rate: a number, ``(instrument, False)`` for
    /// an instrument's price or ``(instrument, True)`` for one over that. Before the run. Raises ``ValueError``.
    fn set_currency(&self, py: Python<'_>, currency: &str, rates: Vec<(String, Bound<'_, PyAny>)>) -> PyResult<()> {
        let inside = self.inside.get(py);
        inside.plan(|_| Ok(()))?;
        let rate = |(name, said): (String, Bound<'_, PyAny>)| -> PyResult<(String, Rate)> {
            if let Ok(value) = said.extract::<f64>() {
                return Ok((name, Rate::Fixed(value)));
            }
            let (instrument, inverse): (String, bool) = said.extract()?;
            let index = inside.table.by_text(py, &instrument)?;
            Ok((name, if inverse { Rate::Inverse(index) } else { Rate::Price(index) }))
        };
        let rates = rates.into_iter().map(rate).collect::<PyResult<Vec<_>>>()?;
        inside.desk.set_currency(currency, &rates).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Give a strategy, by its number, capital in the run's currency, and say how many times its worth it may be exposed to.
    fn fund(&self, py: Python<'_>, strategy: u32, capital: f64, leverage: f64) -> PyResult<()> {
        let inside = self.inside.get(py);
        inside.plan(|plan| {
            if strategy as usize >= plan.strategies.len() || !capital.is_finite() || !(leverage.is_finite() && leverage > 0.0) {
                return Err(PyValueError::new_err(format!(
                    "capital {capital}, leverage {leverage} of strategy number {strategy}: expected finite numbers, and a \
                     leverage above zero"
                )));
            }
            plan.funds.push((strategy, capital, leverage));
            Ok(())
        })
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PortfolioCore>()
}
