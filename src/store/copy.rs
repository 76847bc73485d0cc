//! Rows as `copy ... from stdin (format binary)` reads them: the cheapest way into a table, for the
//! server, which neither parses numbers nor takes columns apart again.

use crate::domain::time::Timestamp;

/// PostgreSQL counts microseconds from the year 2000.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Rows of a fixed number of columns; their values are given in the order of the statement.
pub(super) struct CopyRows {
    columns: i16,
    bytes: Vec<u8>,
    rows: usize,
}

impl CopyRows {
    pub(super) fn new(columns: i16) -> Self {
        // Signature, flags, length of the extension (documentation of COPY, file formats).
        let bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        Self {
            columns,
            bytes,
            rows: 0,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn begin_row(&mut self) {
        self.rows += 1;
        self.bytes.extend(self.columns.to_be_bytes());
    }

    pub(super) fn smallint(&mut self, value: i16) {
        self.field(&value.to_be_bytes());
    }

    pub(super) fn integer(&mut self, value: i32) {
        self.field(&value.to_be_bytes());
    }

    pub(super) fn bigint(&mut self, value: Option<i64>) {
        match value {
            Some(value) => self.field(&value.to_be_bytes()),
            None => self.null(),
        }
    }

    pub(super) fn time(&mut self, value: Option<Timestamp>) {
        self.bigint(value.map(|at| at.as_micros() - POSTGRES_EPOCH_MICROS));
    }

    /// Text, bytes, or the bytes of a UUID.
    pub(super) fn field(&mut self, value: &[u8]) {
        // A field that is longer is refused by the server, as it should be.
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(value);
    }

    pub(super) fn null(&mut self) {
        self.bytes.extend((-1_i32).to_be_bytes());
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend((-1_i16).to_be_bytes());
        self.bytes
    }
}
