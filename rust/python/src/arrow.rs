//! Arrow C streams as input: taken from Python, cut into pieces, packed and checked without the GIL.

use std::sync::Arc;

use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader as StreamReader};
use arrow_array::{RecordBatch, RecordBatchReader};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods};
use tickrail_core::Tick;
use tickrail_core::file::{InstrumentTable, Intake, RecordSink};

use crate::data_errors::DataFault;
use crate::export::{STREAM, arrow_error};
use crate::pack::{Mapping, Packer};

/// Rows packed at once: columns and records of a piece (about 0.5 MiB) stay in a core's cache until they are hashed.
const PIECE: usize = 4_096;
/// Pieces between two looks at pending signals: about 50 ms of work.
const PIECES_PER_LOOK: u64 = 256;

/// The reader behind an object with `__arrow_c_stream__`, or behind the capsule of one.
pub fn reader(stream: &Bound<'_, PyAny>) -> PyResult<StreamReader> {
    let capsule = match stream.cast::<PyCapsule>() {
        Ok(capsule) => capsule.clone(),
        Err(_) if stream.hasattr("__arrow_c_stream__")? => {
            stream.call_method0("__arrow_c_stream__")?.cast_into::<PyCapsule>()?
        }
        Err(_) => {
            let kind = stream.get_type().name()?;
            return Err(PyTypeError::new_err(format!("{kind} has no Arrow stream (__arrow_c_stream__)")));
        }
    };
    let pointer = capsule.pointer_checked(Some(STREAM))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: a capsule of that name holds a stream by the protocol; it is moved out, which leaves the capsule empty.
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(pointer.as_ptr()) };
    StreamReader::try_new(stream).map_err(arrow_error)
}

/// Names of its columns.
pub fn names(reader: &StreamReader) -> Vec<String> {
    reader.schema().fields().iter().map(|field| field.name().clone()).collect()
}

/// Packs all of `reader` and checks nothing; symbols that are new join `table`.
///
/// Called without the GIL: producers that need it take it themselves.
pub fn pack_all(reader: StreamReader, mapping: &Mapping, table: &mut InstrumentTable) -> Result<Vec<Tick>, DataFault> {
    let fixed = mapping.instrument.as_ref().map(|id| table.resolve(id)).transpose()?;
    let schema = reader.schema();
    let mut packer = Packer::new(mapping, &schema, fixed)?;
    let mut ticks = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| DataFault::Layout(error.to_string()))?;
        for piece in cut(&batch) {
            packer.pack(&piece, table)?;
            ticks.append(&mut packer.ticks);
        }
    }
    Ok(ticks)
}

/// Packs all of `reader` into `intake`; rows count from `first_row`. Returns the rows read.
///
/// Called without the GIL: producers that need it take it themselves.
pub fn feed<S: RecordSink>(
    reader: StreamReader,
    mapping: &Mapping,
    default: Option<u32>,
    intake: &mut Intake<S>,
    origin: &Arc<str>,
    first_row: u64,
) -> Result<u64, DataFault> {
    let fixed = match &mapping.instrument {
        Some(id) => Some(intake.table.resolve(id)?),
        None => default,
    };
    let schema = reader.schema();
    let mut packer = Packer::new(mapping, &schema, fixed)?;
    let (mut rows, mut pieces) = (0, 0);
    for batch in reader {
        let batch = batch.map_err(|error| DataFault::Layout(error.to_string()))?;
        for piece in cut(&batch) {
            packer.pack(&piece, &mut intake.table)?;
            intake.take(&mut packer.ticks, origin, first_row + rows)?;
            rows += piece.num_rows() as u64;
            pieces += 1;
            if pieces % PIECES_PER_LOOK == 0 {
                Python::attach(|py| py.check_signals())?;
            }
        }
    }
    Ok(rows)
}

fn cut(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    let rows = batch.num_rows();
    (0..rows).step_by(PIECE).map(move |start| batch.slice(start, PIECE.min(rows - start)))
}
