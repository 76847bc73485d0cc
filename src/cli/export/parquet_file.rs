//! Tables as Parquet files, for the feature `parquet`.

use std::{io::Write, sync::Arc};

use anyhow::{Context as _, bail};
use parquet::{
    basic::{Compression, GzipLevel},
    column::writer::ColumnWriter,
    data_type::ByteArray,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::{parser::parse_message_type, types::Type},
};
use serde_json::Value;

use crate::domain::model::time::Timestamp;

/// The number of rows that are written together. Readers skip and decode whole groups.
const ROWS_OF_A_GROUP: usize = 100_000;

/// A table of the API's rows. The fields of a row that the schema does not name are left out.
pub(super) struct ParquetFile<W: Write + Send> {
    schema: Arc<Type>,
    writer: SerializedFileWriter<W>,
    rows: Vec<Value>,
}

impl<W: Write + Send> ParquetFile<W> {
    /// Begins a file with the columns of `schema`, in Parquet's own notation.
    pub(super) fn new(file: W, schema: &str) -> anyhow::Result<Self> {
        let schema = Arc::new(parse_message_type(schema)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::GZIP(GzipLevel::default()))
            .build();
        Ok(Self {
            writer: SerializedFileWriter::new(file, Arc::clone(&schema), Arc::new(properties))?,
            schema,
            rows: Vec::new(),
        })
    }

    pub(super) fn add(&mut self, rows: Vec<Value>) -> anyhow::Result<()> {
        self.rows.extend(rows);
        if self.rows.len() >= ROWS_OF_A_GROUP {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes what is left and the footer, without which no reader takes the file.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        if !self.rows.is_empty() {
            self.write_group()?;
        }
        self.writer.close()?;
        Ok(())
    }

    fn write_group(&mut self) -> anyhow::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.writer.next_row_group()?;
        for field in self.schema.get_fields() {
            let column = group.next_column()?;
            let mut column = column.context("the file has fewer columns than its schema")?;
            write_column(column.untyped(), field, &rows)?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }
}

fn write_column(column: &mut ColumnWriter<'_>, field: &Type, rows: &[Value]) -> anyhow::Result<()> {
    let cells = Cells { field, rows };
    match column {
        ColumnWriter::ByteArrayColumnWriter(column) => {
            let (values, levels) = cells.read(|cell| cell.as_str().map(ByteArray::from))?;
            column.write_batch(&values, Some(&levels), None)?;
        }
        ColumnWriter::DoubleColumnWriter(column) => {
            let (values, levels) = cells.read(Value::as_f64)?;
            column.write_batch(&values, Some(&levels), None)?;
        }
        ColumnWriter::Int64ColumnWriter(column) => {
            let is_time = field.get_basic_info().logical_type_ref().is_some();
            let (values, levels) = cells.read(if is_time { micros } else { Value::as_i64 })?;
            column.write_batch(&values, Some(&levels), None)?;
        }
        _ => bail!("no column of the type of `{}` is written", field.name()),
    }
    Ok(())
}

fn micros(cell: &Value) -> Option<i64> {
    Timestamp::parse_rfc3339(cell.as_str()?).map(Timestamp::as_micros)
}

/// The cells of one column.
struct Cells<'a> {
    field: &'a Type,
    rows: &'a [Value],
}

impl Cells<'_> {
    /// Returns the values that are not null, and for each row 1 or 0 for null.
    fn read<T>(&self, read: impl Fn(&Value) -> Option<T>) -> anyhow::Result<(Vec<T>, Vec<i16>)> {
        let name = self.field.name();
        let mut values = Vec::with_capacity(self.rows.len());
        let mut levels = Vec::with_capacity(self.rows.len());
        for row in self.rows {
            let cell = &row[name];
            if cell.is_null() && self.field.is_optional() {
                levels.push(0);
                continue;
            }
            let value = read(cell);
            values.push(value.with_context(|| format!("the service answers `{name}`: {cell}"))?);
            levels.push(1);
        }
        Ok((values, levels))
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use serde_json::json;

    use super::*;

    const SCHEMA: &str = "message rows {
        required binary name (STRING);
        optional int64 at (TIMESTAMP(MICROS, true));
        optional double seconds;
        required int64 count;
    }";

    fn written(rows: Vec<Value>) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = ParquetFile::new(&mut bytes, SCHEMA)?;
        file.add(rows)?;
        file.finish()?;
        Ok(bytes)
    }

    #[test]
    fn times_are_times_and_nulls_are_nulls() {
        let rows = vec![
            json!({ "name": "a", "at": "1970-01-01T00:00:01.5Z", "seconds": 2, "count": 3, "more": [] }),
            json!({ "name": "", "at": null, "count": 0 }),
        ];
        let bytes = written(rows).unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let rows = reader.get_row_iter(None).unwrap();
        let rows: Vec<String> = rows.map(|row| row.unwrap().to_string()).collect();
        assert_eq!(
            rows,
            [
                "{name: \"a\", at: 1970-01-01 00:00:01.500000 +00:00, seconds: 2.0, count: 3}",
                "{name: \"\", at: null, seconds: null, count: 0}",
            ]
        );
    }

    #[test]
    fn a_file_without_rows_has_its_columns() {
        let reader = SerializedFileReader::new(bytes::Bytes::from(written(Vec::new()).unwrap()));
        let metadata = reader.unwrap().metadata().file_metadata().clone();
        assert_eq!(
            (metadata.num_rows(), metadata.schema().get_fields().len()),
            (0, 4)
        );
    }

    #[test]
    fn a_cell_of_another_type_is_an_error_that_names_it() {
        let error = written(vec![json!({ "name": "a", "count": "many" })]).unwrap_err();
        assert_eq!(error.to_string(), "the service answers `count`: \"many\"");
    }
}
