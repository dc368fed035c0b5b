//! A scrape of `/metrics`, read by the rules of the text format, independently of the prometheus crate.

use std::collections::BTreeMap;

/// Values by series, as written: `name{label="value",…}`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(pub(crate) BTreeMap<String, f64>);

impl Metrics {
    pub(crate) fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let parse = |line: &str| {
            let (series, value) = line
                .rsplit_once(' ')
                .unwrap_or_else(|| panic!("not a sample: {line:?}"));
            (
                series.to_owned(),
                value.parse().unwrap_or_else(|_| panic!("not a value: {line:?}")),
            )
        };
        Self(samples.map(parse).collect())
    }

    /// The sum over the series of `name` that have all of `labels`; 0 where there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        let matches = |series: &str| {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            let rest = rest.strip_suffix('}').unwrap_or(rest);
            let present: Vec<&str> = rest.split(',').collect();
            found == name && wanted.iter().all(|label| present.contains(&label.as_str()))
        };
        self.0
            .iter()
            .filter(|(series, _)| matches(series))
            // `sum()` of no values would be -0.
            .fold(0.0, |sum, (_, value)| sum + value)
    }

    /// The names of all series, without their values.
    pub(crate) fn series(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}
