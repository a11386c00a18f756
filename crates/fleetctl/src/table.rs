//! Tables laid out as Go's tabwriter does with fleetctl's settings: columns begin at multiples of eight,
//! and tabs lead there.
//!
//! What stands in the cells is not looked at.

use std::fmt;

/// Characters between two places where a column can begin.
const TAB_WIDTH: usize = 8;

/// Rows of cells, all with the same number of them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With the names of the columns as first row, unless there shall be none.
    pub(crate) fn new(columns: &[&str], legend: bool) -> Self {
        let mut table = Self::default();
        if legend {
            table.push(columns.iter().map(|name| name.to_uppercase()).collect());
        }
        table
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// What each column takes, one space at least after its longest cell.
    fn widths(&self) -> Vec<usize> {
        let mut widths = Vec::new();
        for row in &self.rows {
            for (index, cell) in row.iter().enumerate() {
                if widths.len() <= index {
                    widths.push(0);
                }
                widths[index] = widths[index].max(length(cell) + 1);
            }
        }
        widths
    }
}

fn length(cell: &str) -> usize {
    cell.chars().count()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.rows {
            for (index, cell) in row.iter().enumerate() {
                f.write_str(cell)?;
                if index + 1 < row.len() {
                    let end = widths[index].next_multiple_of(TAB_WIDTH);
                    let tabs = (end - length(cell)).div_ceil(TAB_WIDTH);
                    f.write_str(&"\t".repeat(tabs))?;
                }
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As fleetctl 1.0 prints it.
    #[test]
    fn columns_are_filled_with_tabs() {
        let mut table = Table::new(&["unit", "machine", "active"], true);
        for row in [
            ["hello.service", "113f16a7.../172.17.8.103", "active"],
            ["a.service", "-", "inactive"],
        ] {
            table.push(row.map(ToOwned::to_owned).to_vec());
        }
        assert_eq!(
            table.to_string(),
            "UNIT\t\tMACHINE\t\t\t\tACTIVE\n\
             hello.service\t113f16a7.../172.17.8.103\tactive\n\
             a.service\t-\t\t\t\tinactive\n"
        );
    }

    #[test]
    fn a_cell_of_eight_takes_another_tab() {
        let mut table = Table::default();
        table.push(vec!["12345678".to_owned(), "x".to_owned()]);
        table.push(vec!["1234567".to_owned(), "y".to_owned()]);
        assert_eq!(table.to_string(), "12345678\tx\n1234567\t\ty\n");
    }

    #[test]
    fn nothing_prints_nothing() {
        assert_eq!(Table::new(&["unit"], false).to_string(), "");
    }
}
