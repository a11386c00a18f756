//! How long other parts' work took, as they counted it, in Prometheus' text format.
//!
//! What is counted here is in [`super::metrics`].
use std::fmt::Write;

/// Durations counted by size.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Durations {
    /// Upper bounds in seconds, ascending, each with how many were not above it.
    pub buckets: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// All of them together, in seconds.
    pub sum_seconds: f64,
}

impl Durations {
    /// Of the store's flushes.
    pub(super) fn of_flushes(figures: &kv_store::statistics::FlushFigures) -> Self {
        let bounds = kv_store::statistics::FLUSH_BUCKETS_SECONDS.iter();
        let buckets = bounds.zip(&figures.buckets);
        let buckets = buckets.scan(0, |total, (bound, count)| {
            *total += count;
            Some((*bound, *total))
        });
        Self {
            buckets: buckets.collect(),
            count: figures.count,
            sum_seconds: figures.sum_seconds,
        }
    }

    /// Appends them as a histogram of this name.
    pub(super) fn append_to(&self, text: &mut String, name: &str, help: &str) {
        let mut line = |line: std::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{line}");
        };
        line(format_args!("# HELP {name} {help}"));
        line(format_args!("# TYPE {name} histogram"));
        for (bound, count) in &self.buckets {
            line(format_args!("{name}_bucket{{le=\"{bound}\"}} {count}"));
        }
        let (count, sum) = (self.count, self.sum_seconds);
        line(format_args!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        line(format_args!("{name}_sum {sum}"));
        line(format_args!("{name}_count {count}"));
    }
}

#[cfg(test)]
mod tests {
    use super::Durations;

    #[test]
    fn they_are_written_as_prometheus_reads_them() {
        let durations = Durations {
            buckets: vec![(0.001, 2), (0.5, 3)],
            count: 4,
            sum_seconds: 1.25,
        };
        let mut text = String::new();
        durations.append_to(&mut text, "x_seconds", "How long x took.");
        let wanted = "# HELP x_seconds How long x took.\n\
            # TYPE x_seconds histogram\n\
            x_seconds_bucket{le=\"0.001\"} 2\n\
            x_seconds_bucket{le=\"0.5\"} 3\n\
            x_seconds_bucket{le=\"+Inf\"} 4\n\
            x_seconds_sum 1.25\n\
            x_seconds_count 4\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn counts_of_flushes_are_added_up() {
        let mut figures = kv_store::statistics::FlushFigures {
            count: 3,
            ..Default::default()
        };
        figures.buckets[0] = 1;
        figures.buckets[2] = 2;
        let buckets = Durations::of_flushes(&figures).buckets;
        assert_eq!(
            buckets[..4],
            [(0.001, 1), (0.002, 1), (0.004, 3), (0.008, 3)]
        );
    }
}
