//! Probes and metrics by HTTP as Python opens them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tickrail_core::control::{HttpServer, Page, Probed, Probes as Pages, Scrape, Standing};

use crate::dispatcher::Dispatcher;
use crate::errors::not_begun;

/// What the process answers where the interpreter is gone.
const GONE: &str = "the interpreter has ended";

/// ``/livez``, ``/readyz`` and ``/metrics`` of one run; probes need neither the loop nor the interpreter.
#[pyclass(frozen, weakref, module = "tickrail._native")]
pub struct Probes {
    pages: Arc<Pages>,
    server: Mutex<Option<HttpServer>>,
    port: u16,
}

#[pymethods]
impl Probes {
    /// Listen at ``host`` and ``port`` for the run called ``run``, whose strategies are registered. ``scrape()`` gives
    /// status, media type and body of the metrics. Raises ``OSError``.
    #[new]
    #[pyo3(signature = (dispatcher, host, port, *, run, scrape, call_deadline_ns, rest_deadline_ns))]
    #[expect(clippy::too_many_arguments, reason = "named, and each of them one fact")]
    fn new(
        py: Python<'_>,
        dispatcher: &Dispatcher,
        host: String,
        port: u16,
        run: String,
        scrape: Py<PyAny>,
        call_deadline_ns: u64,
        rest_deadline_ns: u64,
    ) -> PyResult<Self> {
        let inside = dispatcher.inside.get(py);
        let probed = Probed {
            run,
            names: inside.names.borrow().clone(),
            pulse: Arc::clone(inside.desk.pulse()),
            beside: dispatcher.warden.beside(),
            stop: Arc::clone(&dispatcher.stop),
            gate: Arc::clone(inside.desk.gate()),
            call_deadline: Duration::from_nanos(call_deadline_ns),
            rest_deadline: Duration::from_nanos(rest_deadline_ns),
        };
        let scrape: Scrape =
            Box::new(move || Python::try_attach(|py| scraped(py, &scrape)).unwrap_or_else(|| Page::text(503, GONE)));
        let pages = Arc::new(Pages::new(probed, scrape));
        let shown = Arc::clone(&pages);
        let server = py.detach(move || HttpServer::open((host.as_str(), port), shown));
        let server = server.map_err(|error| not_begun(py, error))?;
        let port = server.address().port();
        Ok(Self { pages, server: Mutex::new(Some(server)), port })
    }

    /// The port.
    #[getter]
    const fn port(&self) -> u16 {
        self.port
    }

    /// Say where the process stands: ``"starting"``, ``"running"`` or ``"ended"``.
    fn set_standing(&self, standing: &str) -> PyResult<()> {
        self.pages.set_standing(match standing {
            "starting" => Standing::Starting,
            "running" => Standing::Running,
            "ended" => Standing::Ended,
            _ => return Err(PyValueError::new_err(format!("standing is {standing:?}: starting, running or ended"))),
        });
        Ok(())
    }

    /// Answer nobody any more. Idempotent.
    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(server);
        });
    }

    /// In a child that was forked off, where none of its threads is: it is the parent's, and dropping it would wait for nobody.
    fn forget(&self) {
        if let Ok(mut server) = self.server.try_lock() {
            std::mem::forget(server.take());
        }
    }
}

fn scraped(py: Python<'_>, scrape: &Py<PyAny>) -> Page {
    let asked = scrape.call0(py).and_then(|page| page.extract::<(u16, String, Vec<u8>)>(py));
    asked.map_or_else(|error| Page::text(500, &error.to_string()), |(status, media, body)| Page { status, media, body })
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Probes>()
}
