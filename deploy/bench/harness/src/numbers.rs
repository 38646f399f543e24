//! Counts and durations as numbers to compute with, and what is said of several of them.

use std::time::Duration;

/// A count; above 4 billion it stays there.
pub(crate) fn real(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { real(count) / time.as_secs_f64() }
}

pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (lower, upper) = (sorted.get((sorted.len().checked_sub(1)?) / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*lower, *upper))
}

pub(crate) fn range(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    let most = values.iter().copied().max_by(f64::total_cmp)?;
    Some((least, most))
}

/// Response times. Every one is kept: a round has at most a few million.
#[derive(Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn add(&mut self, one: Duration) {
        self.0.push(one);
    }

    pub(crate) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    /// The time in milliseconds within which this many of a thousand were answered.
    pub(crate) fn permille_ms(&mut self, permille: usize) -> Option<f64> {
        self.0.sort_unstable();
        let rank = (self.0.len() * permille).div_ceil(1000).max(1);
        self.0.get(rank - 1).map(|time| time.as_secs_f64() * 1000.0)
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_are_those_of_the_book() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let mut times: Latencies = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(
            [500, 990, 1000].map(|permille| times.permille_ms(permille)),
            [Some(100.0), Some(198.0), Some(200.0)]
        );
        assert_eq!(Latencies::default().permille_ms(500), None);
    }
}
