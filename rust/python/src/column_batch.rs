//! `ColumnBatch`: columns of some rows of text, between their reader and the writer of a tick file.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchIterator, StringArray, TimestampNanosecondArray,
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, Field, Schema};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use tickrail_core::csv::{Batch, Cells, NO_FLAG, NO_WORD};

use crate::export::{STREAM, arrow_error};

/// Columns of rows that stand on lines that follow each other; an Arrow stream of one batch.
///
/// A number that is not there is NaN, an integer 0, a time the least but one of int64.
#[pyclass(frozen, module = "tickrail._native")]
pub struct ColumnBatch {
    batch: RecordBatch,
    /// Line of the first row, from 1.
    #[pyo3(get)]
    first_line: u64,
}

fn words_array(places: Vec<i32>, words: &[String]) -> PyResult<ArrayRef> {
    let nulls = places.contains(&NO_WORD).then(|| NullBuffer::from_iter(places.iter().map(|&place| place != NO_WORD)));
    let keys = Int32Array::try_new(places.into(), nulls).map_err(arrow_error)?;
    let words = Arc::new(StringArray::from_iter_values(words));
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, words).map_err(arrow_error)?))
}

fn flags_array(flags: &[u8]) -> ArrayRef {
    let nulls = flags.contains(&NO_FLAG).then(|| NullBuffer::from_iter(flags.iter().map(|&flag| flag != NO_FLAG)));
    Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(flags.len(), |row| flags[row] == 1), nulls))
}

fn array_of(cells: Cells) -> PyResult<Option<ArrayRef>> {
    Ok(Some(match cells {
        Cells::Skipped => return Ok(None),
        Cells::Numbers(values) => Arc::new(Float64Array::from(values)),
        Cells::Integers(values) => Arc::new(Int64Array::from(values)),
        Cells::Times(values) => Arc::new(TimestampNanosecondArray::from(values)),
        Cells::Flags(flags) => flags_array(&flags),
        Cells::Words(places, words) => words_array(places, &words)?,
    }))
}

impl ColumnBatch {
    /// The columns of `batch` that were read, under their names.
    pub fn of(names: &[String], batch: Batch) -> PyResult<Self> {
        let mut columns = Vec::with_capacity(names.len());
        for (name, cells) in names.iter().zip(batch.cells) {
            if let Some(array) = array_of(cells)? {
                columns.push((name.clone(), array));
            }
        }
        Ok(Self { batch: joined(columns)?, first_line: batch.first_line })
    }

    fn array(&self, name: &str) -> PyResult<&ArrayRef> {
        self.batch.column_by_name(name).ok_or_else(|| PyKeyError::new_err(format!("no column {name}")))
    }

    /// The same with `array` in the place of the column `name`, or behind the others.
    fn with(&self, name: &str, array: ArrayRef) -> PyResult<Self> {
        if array.len() != self.batch.num_rows() {
            let message = format!("{} values for {} rows", array.len(), self.batch.num_rows());
            return Err(PyValueError::new_err(message));
        }
        let schema = self.batch.schema();
        let others = schema.fields().iter().zip(self.batch.columns()).filter(|(field, _)| field.name() != name);
        let mut columns: Vec<_> = others.map(|(field, array)| (field.name().clone(), Arc::clone(array))).collect();
        columns.push((name.to_owned(), array));
        Ok(Self { batch: joined(columns)?, first_line: self.first_line })
    }
}

fn joined(columns: Vec<(String, ArrayRef)>) -> PyResult<RecordBatch> {
    let field = |(name, array): &(String, ArrayRef)| Field::new(name, array.data_type().clone(), true);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, array)| array).collect()).map_err(arrow_error)
}

#[pymethods]
impl ColumnBatch {
    fn __len__(&self) -> usize {
        self.batch.num_rows()
    }

    /// A copy of a column of numbers, integers or times; of words, their places in ``words`` (-1: none).
    fn column<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let array = self.array(name)?;
        Ok(match array.data_type() {
            DataType::Float64 => PyArray1::from_slice(py, array.as_primitive::<Float64Type>().values()).into_any(),
            DataType::Int64 => PyArray1::from_slice(py, array.as_primitive::<Int64Type>().values()).into_any(),
            DataType::Timestamp(_, _) => {
                PyArray1::from_slice(py, array.as_primitive::<TimestampNanosecondType>().values()).into_any()
            }
            DataType::Dictionary(_, _) => {
                let keys = array.as_dictionary::<Int32Type>().keys();
                PyArray1::from_iter(py, keys.iter().map(|key| key.unwrap_or(NO_WORD))).into_any()
            }
            other => return Err(PyTypeError::new_err(format!("column {name} is of type {other}"))),
        })
    }

    /// The words of a column of words.
    fn words(&self, name: &str) -> PyResult<Vec<String>> {
        let array = self.array(name)?;
        let words = array.as_any_dictionary_opt().and_then(|words| words.values().as_string_opt::<i32>());
        let words = words.ok_or_else(|| PyTypeError::new_err(format!("column {name} has no words")))?;
        Ok(words.iter().flatten().map(str::to_owned).collect())
    }

    /// The same with other times, int64 ns, in a column.
    fn with_times(&self, name: &str, times: PyReadonlyArray1<'_, i64>) -> PyResult<Self> {
        self.with(name, Arc::new(TimestampNanosecondArray::from(times.as_slice()?.to_vec())))
    }

    /// The same with a column of words: their places, -1 for none, and the words.
    #[expect(clippy::needless_pass_by_value, reason = "as Python gives it")]
    fn with_words(&self, name: &str, places: PyReadonlyArray1<'_, i32>, words: Vec<String>) -> PyResult<Self> {
        self.with(name, words_array(places.as_slice()?.to_vec(), &words)?)
    }

    /// The rows from ``start`` to before ``end``.
    fn rows(&self, start: usize, end: usize) -> PyResult<Self> {
        if start > end || end > self.batch.num_rows() {
            return Err(PyValueError::new_err(format!("there are no rows {start} to {end}")));
        }
        Ok(Self { batch: self.batch.slice(start, end - start), first_line: self.first_line + start as u64 })
    }

    /// The rows as an Arrow stream of one batch, without a copy.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema; // as the protocol allows: the consumer casts
        let batches = RecordBatchIterator::new([Ok(self.batch.clone())], self.batch.schema());
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(batches)), STREAM)
    }
}
