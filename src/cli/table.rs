//! Tables for people: columns are as wide as their longest cell, except the last.

use std::fmt;

/// A table. Cells contain text of others, so control characters are not printed.
#[derive(Debug)]
pub(super) struct TextTable<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> TextTable<COLUMNS> {
    pub(super) fn new(head: [&str; COLUMNS]) -> Self {
        let mut table = Self { rows: Vec::new() };
        table.row(head);
        table
    }

    pub(super) fn row(&mut self, cells: [&str; COLUMNS]) {
        let printable = |cell: &str| cell.replace(char::is_control, " ");
        self.rows.push(cells.map(printable));
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }

    /// Returns a cell padded to its column's width; the last column is not padded.
    fn padded(&self, (column, cell): (usize, &String)) -> String {
        if column + 1 == COLUMNS {
            return cell.clone();
        }
        format!("{cell:width$}  ", width = self.width(column))
    }
}

impl<const COLUMNS: usize> fmt::Display for TextTable<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let cells = row.iter().enumerate().map(|cell| self.padded(cell));
            writeln!(f, "{}", cells.collect::<String>().trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let mut table = TextTable::new(["Name", "Why"]);
        table.row(["orders-on-time", "upgrade\u{1b}[31m\nof the queue"]);
        table.row(["a", ""]);
        assert_eq!(
            table.to_string(),
            "Name            Why\norders-on-time  upgrade [31m of the queue\na\n"
        );
    }
}
