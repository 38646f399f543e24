//! A process's metrics, as read from its `/metrics`.

use std::collections::HashMap;

/// Samples by name and labels.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Samples(HashMap<String, f64>);

impl Samples {
    /// Reads the Prometheus text format.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// The sum of a metric over all its labels; 0 when it is not there.
    pub fn sum(&self, name: &str) -> f64 {
        let is_ours = |series: &str| series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        self.0.iter().filter(|(series, _)| is_ours(series)).map(|(_, value)| value).sum()
    }

    /// Adds those of another process, or of another life of the same one.
    pub(crate) fn add(&mut self, other: &Self) {
        for (series, value) in &other.0 {
            *self.0.entry(series.clone()).or_default() += value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_labels_and_over_lives() {
        let text = "# TYPE a counter\na{role=\"x y\"} 2\na{role=\"z\"} 3\nab 7\nb 1.5\n";
        let mut samples = Samples::parse(text);
        assert_eq!([samples.sum("a"), samples.sum("ab"), samples.sum("b"), samples.sum("c")], [5.0, 7.0, 1.5, 0.0]);
        samples.add(&Samples::parse("a{role=\"z\"} 1\nc 4\n"));
        assert_eq!([samples.sum("a"), samples.sum("c")], [6.0, 4.0]);
    }
}
