//! Tables and times as they are printed.

use monitor_protocol::Timestamp;

/// Columns as wide as their longest cell; lines have no spaces at their ends.
pub(crate) fn text(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let padded = row.iter().zip(&widths);
        let padded: Vec<String> = padded
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(padded.join("   ").trim_end());
        text.push('\n');
    }
    text
}

/// Cells of a row.
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(ToOwned::to_owned).into()
}

/// In UTC, to the second.
pub(crate) fn time(timestamp: Timestamp) -> String {
    let microseconds = i64::try_from(timestamp.0).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_microsecond(microseconds) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [
            row(["NAME", "PID"]),
            row(["a-long-name", "7"]),
            row(["b", ""]),
        ];
        assert_eq!(text(&rows), "NAME          PID\na-long-name   7\nb\n");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(
            time(Timestamp(1_800_000_000_123_456)),
            "2027-01-15T08:00:00Z"
        );
        assert_eq!(time(Timestamp(u64::MAX)), "-");
    }
}
