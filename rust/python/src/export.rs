//! Records as an Arrow C stream, without a copy: one column of 64-byte values (docs/decisions/0010).

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{ArrayRef, FixedSizeBinaryArray, RecordBatch, RecordBatchIterator};
use arrow_buffer::Buffer;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyList};
use tickrail_core::tick::{LAYOUT_VERSION, OrderBy, TICK_SIZE, as_bytes};
use tickrail_core::{InstrumentInfo, TickBlock};

use crate::infos::info_to;

/// Name of the one column.
pub const COLUMN: &str = "tick";
/// Name under which consumers know the protocol.
pub const STREAM: &std::ffi::CStr = c"arrow_array_stream";

/// The schema's metadata keys.
pub mod key {
    /// Version of the record's layout.
    pub const LAYOUT: &str = "tickrail.layout_version";
    /// The order key.
    pub const ORDER: &str = "tickrail.order_by";
    /// The instrument table as JSON.
    pub const INSTRUMENTS: &str = "tickrail.instruments";
}

/// A capsule with a stream of one batch over the records of `block`, which it keeps alive.
pub fn stream<'py>(
    py: Python<'py>,
    block: &TickBlock,
    table: &[InstrumentInfo],
    order_by: OrderBy,
) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = Arc::new(schema(py, table, order_by)?);
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column(block).map_err(arrow_error)?]);
    let batches = vec![Ok(batch.map_err(arrow_error)?)];
    let stream = FFI_ArrowArrayStream::new(Box::new(RecordBatchIterator::new(batches, schema)));
    PyCapsule::new_with_value(py, stream, STREAM)
}

fn schema(py: Python<'_>, table: &[InstrumentInfo], order_by: OrderBy) -> PyResult<Schema> {
    let rows: Vec<_> = table.iter().map(|info| info_to(py, info)).collect::<PyResult<_>>()?;
    let json: String = py.import("json")?.call_method1("dumps", (PyList::new(py, rows)?,))?.extract()?;
    let metadata = HashMap::from([
        (key::LAYOUT.to_owned(), LAYOUT_VERSION.to_string()),
        (key::ORDER.to_owned(), order_by.name().to_owned()),
        (key::INSTRUMENTS.to_owned(), json),
    ]);
    let field = Field::new(COLUMN, DataType::FixedSizeBinary(TICK_SIZE as i32), false);
    Ok(Schema::new_with_metadata(vec![field], metadata))
}

fn column(block: &TickBlock) -> Result<ArrayRef, ArrowError> {
    let bytes = as_bytes(block.as_slice());
    let start = NonNull::from(bytes).cast::<u8>();
    // SAFETY: the block, which the buffer keeps, keeps the bytes alive and unchanged.
    let buffer =
        unsafe { Buffer::from_custom_allocation(start, bytes.len(), Arc::new(AssertUnwindSafe(block.clone()))) };
    Ok(Arc::new(FixedSizeBinaryArray::try_new(TICK_SIZE as i32, buffer, None)?))
}

/// An error of the Arrow library as Python's `ValueError`.
pub fn arrow_error(error: ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
