//! A process's counters, as read from its `/metrics`.

use std::collections::HashMap;

/// Counters by name and labels.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Counters(HashMap<String, u64>);

impl Counters {
    /// Reads the Prometheus text format; what is no whole number is left out.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// A counter's sum over all its labels; 0 when it is not there.
    pub fn sum(&self, name: &str) -> u64 {
        let is_it =
            |series: &str| series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        self.0.iter().filter(|(series, _)| is_it(series)).map(|(_, value)| value).sum()
    }

    /// Adds those of another process, or of another life of the same one.
    pub fn add(&mut self, other: &Self) {
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
        let text = "# TYPE a counter\na{role=\"x y\"} 2\na{role=\"z\"} 3\nab 7\nseconds 1.5\n";
        let mut counters = Counters::parse(text);
        assert_eq!(["a", "ab", "seconds", "c"].map(|name| counters.sum(name)), [5, 7, 0, 0]);
        counters.add(&Counters::parse("a{role=\"z\"} 1\nc 4\n"));
        assert_eq!(["a", "c"].map(|name| counters.sum(name)), [6, 4]);
    }
}
