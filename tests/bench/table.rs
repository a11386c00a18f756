//! The table: rows of figures, medians, ratios, targets and verdicts, and their Markdown.
//!
//! Pure: it measures nothing.

use std::fmt;

/// One figure, ours beside the peer's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// What is measured.
    pub(crate) name: String,
    /// What it is measured in.
    pub(crate) unit: Unit,
    /// What was measured of Keelson.
    pub(crate) ours: Vec<f64>,
    /// The same of the peer.
    pub(crate) peer: Peer,
    /// What the figure ought to be.
    pub(crate) target: Target,
}

/// The units of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Millions of bytes.
    Megabytes,
    /// Seconds.
    Seconds,
    /// Things, counted.
    Count,
    /// Things in a second.
    PerSecond,
    /// Thousandths of a second.
    Milliseconds,
    /// Millionths of a second.
    Microseconds,
    /// Hundredths.
    Percent,
    /// Things, counted, of which there may be parts.
    Hundredths,
}

/// The peer's side of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Peer {
    /// What was measured.
    Measured(Vec<f64>),
    /// Why there is no number, in a word or two.
    Absent(&'static str),
}

/// What a figure ought to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// It is told for information.
    None,
    /// At most so much, in the row's unit.
    AtMost(f64),
    /// At most this part of the peer's figure.
    RatioAtMost(f64),
    /// At least so many times the peer's figure.
    RatioAtLeast(f64),
}

/// The figures beside those of one peer.
#[derive(Debug)]
pub(crate) struct Table {
    /// The peer's name, in full and as targets call it.
    pub(crate) peer: (&'static str, &'static str),
    /// One line each.
    pub(crate) rows: Vec<Row>,
    /// Sentences above the table.
    pub(crate) notes: Vec<String>,
}

impl Row {
    /// A row without a target.
    pub(crate) fn new(name: &str, unit: Unit, ours: Vec<f64>, peer: Peer) -> Self {
        Self {
            name: name.to_owned(),
            unit,
            ours,
            peer,
            target: Target::None,
        }
    }

    /// The same with a target.
    pub(crate) fn with_target(self, target: Target) -> Self {
        Self { target, ..self }
    }

    fn ratio(&self) -> Option<f64> {
        let Peer::Measured(peer) = &self.peer else {
            return None;
        };
        let (ours, peer) = (median(&self.ours)?, median(peer)?);
        (peer > 0.0).then(|| ours / peer)
    }

    fn verdict(&self) -> &'static str {
        let within = match self.target {
            Target::None => return "",
            Target::AtMost(limit) => median(&self.ours).map(|ours| ours <= limit),
            Target::RatioAtMost(limit) => self.ratio().map(|ratio| ratio <= limit),
            Target::RatioAtLeast(limit) => self.ratio().map(|ratio| ratio >= limit),
        };
        match within {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        }
    }

    fn target_text(&self, peer: &str) -> String {
        match self.target {
            Target::None => String::new(),
            Target::AtMost(limit) => format!("≤ {limit} {}", self.unit).trim_end().to_owned(),
            Target::RatioAtMost(limit) => format!("≤ {limit} of {peer}"),
            Target::RatioAtLeast(limit) => format!("≥ {limit} of {peer}"),
        }
    }
}

impl Unit {
    fn number(self, samples: &[f64]) -> String {
        match (median(samples), self) {
            (None, _) => "–".to_owned(),
            (Some(value), Self::Megabytes) if value < 1.0 => format!("{value:.3} MB"),
            (Some(value), Self::Megabytes) => format!("{value:.1} MB"),
            (Some(value), Self::Seconds) => format!("{value:.2} s"),
            (Some(value), Self::Count) => format!("{value:.0}"),
            (Some(value), Self::PerSecond) => format!("{value:.0}/s"),
            (Some(value), Self::Milliseconds) => format!("{value:.2} ms"),
            (Some(value), Self::Microseconds) => format!("{value:.1} µs"),
            (Some(value), Self::Percent) => format!("{value:.2} %"),
            (Some(value), Self::Hundredths) => format!("{value:.2}"),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Megabytes => "MB",
            Self::Seconds => "s",
            Self::Count | Self::Hundredths => "",
            Self::PerSecond => "/s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::Percent => "%",
        })
    }
}

impl Row {
    fn line(&self, peer_name: &str) -> String {
        let peer = match &self.peer {
            Peer::Measured(samples) => self.unit.number(samples),
            Peer::Absent(why) => (*why).to_owned(),
        };
        let ratio = self
            .ratio()
            .map_or(String::new(), |ratio| format!("{ratio:.2}"));
        format!(
            "| {} | {} | {peer} | {ratio} | {} | {} |",
            self.name,
            self.unit.number(&self.ours),
            self.target_text(peer_name),
            self.verdict()
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(formatter, "{note}")?;
        }
        writeln!(
            formatter,
            "\n| figure | Keelson | {} | ratio | target | |",
            self.peer.0
        )?;
        writeln!(formatter, "|---|--:|--:|--:|--:|---|")?;
        self.rows
            .iter()
            .try_for_each(|row| writeln!(formatter, "{}", row.line(self.peer.1)))
    }
}

/// The middle of `samples`, or between the two middle ones.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        Some(upper)
    } else {
        Some(f64::midpoint(sorted[middle - 1], upper))
    }
}

/// Bytes as the table shows them.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    // A file's length has far fewer than the 53 bits that are exact.
    #[allow(clippy::cast_precision_loss)]
    let bytes = bytes as f64;
    bytes / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: &[f64], peer: &[f64]) -> Row {
        Row::new(
            "boot",
            Unit::Seconds,
            ours.to_vec(),
            Peer::Measured(peer.to_vec()),
        )
    }

    #[test]
    fn medians_ignore_order_and_outliers() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn ratio_is_of_medians() {
        let row = row(&[1.0, 2.0, 100.0], &[4.0]).with_target(Target::RatioAtMost(0.5));
        assert_eq!(
            row.line("stock"),
            "| boot | 2.00 s | 4.00 s | 0.50 | ≤ 0.5 of stock | met |"
        );
    }

    #[test]
    fn missed_targets_are_said_to_be() {
        let missed = row(&[3.0], &[4.0]).with_target(Target::RatioAtMost(0.7));
        assert_eq!(missed.verdict(), "**missed**");
        assert_eq!(
            row(&[3.0], &[4.0])
                .with_target(Target::AtMost(3.0))
                .verdict(),
            "met"
        );
        assert_eq!(row(&[3.0], &[4.0]).verdict(), "");
    }

    #[test]
    fn without_a_peer_a_ratio_is_not_judged() {
        let row = Row::new("boot", Unit::Seconds, vec![1.0], Peer::Absent("not root"))
            .with_target(Target::RatioAtMost(0.7));
        assert_eq!(
            row.line("stock"),
            "| boot | 1.00 s | not root |  | ≤ 0.7 of stock | not measured |"
        );
        assert_eq!(
            row.clone().with_target(Target::AtMost(2.0)).verdict(),
            "met"
        );
    }

    #[test]
    fn notes_stand_above_the_table() {
        let table = Table {
            peer: ("stock Debian 13", "stock"),
            rows: vec![row(&[1.0], &[2.0])],
            notes: vec!["Medians of 3 runs.".to_owned()],
        };
        let text = table.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "Medians of 3 runs.");
        assert!(lines[1].is_empty() && lines[2].starts_with("| figure"));
        assert_eq!(lines.len(), 5);
    }
}
