//! The options of `lattice wormhole open` for limits.

use crate::options::duration;
use clap::Args;
use lattice_core::{
    quantity::ByteSize,
    wormhole::{Rate, WormholeLimits},
};
use std::{num::NonZeroU32, time::Duration};

/// The value with which a limit is that of the ingress again.
const DEFAULT: &str = "default";

/// Limits of a wormhole's requests. With `default`, a limit is that of the ingress again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Limits (`default` for that of the host)")]
pub(super) struct LimitOptions {
    /// The largest body of a request, such as `10MiB`
    #[arg(long, value_name = "SIZE", value_parser = size_limit)]
    body: Option<Limit<ByteSize>>,
    /// How long the actor may take until its response begins, such as `10s`
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    head_timeout: Option<Limit<Duration>>,
    /// How long a whole exchange may take
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    total_timeout: Option<Limit<Duration>>,
    /// How many requests each host lets through, such as `100/s`, or `100/s:500` with up to 500 at
    /// once
    #[arg(long, value_parser = rate_limit)]
    rate: Option<Limit<Rate>>,
    /// How many requests of one client each host lets through
    #[arg(long, value_name = "RATE", value_parser = rate_limit)]
    client_rate: Option<Limit<Rate>>,
}

/// What a limit becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit<T> {
    OfIngress,
    Own(T),
}

impl LimitOptions {
    /// Returns whether there are any changes.
    pub(super) fn are_any(&self) -> bool {
        *self != Self::default()
    }

    /// Changes the limits that are given.
    pub(super) fn make(&self, limits: &mut WormholeLimits) {
        change(&mut limits.body, self.body);
        change(&mut limits.head_timeout, self.head_timeout);
        change(&mut limits.total_timeout, self.total_timeout);
        change(&mut limits.rate, self.rate);
        change(&mut limits.client_rate, self.client_rate);
    }
}

fn change<T>(limit: &mut Option<T>, to: Option<Limit<T>>) {
    match to {
        None => {}
        Some(Limit::OfIngress) => *limit = None,
        Some(Limit::Own(new)) => *limit = Some(new),
    }
}

fn limit<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Limit<T>, String> {
    match text {
        DEFAULT => Ok(Limit::OfIngress),
        text => parse(text).map(Limit::Own),
    }
}

fn size_limit(text: &str) -> Result<Limit<ByteSize>, String> {
    limit(text, |text| {
        let size = text.parse::<ByteSize>();
        size.map_err(|error| error.to_string())
    })
}

fn time_limit(text: &str) -> Result<Limit<Duration>, String> {
    limit(text, duration)
}

fn rate_limit(text: &str) -> Result<Limit<Rate>, String> {
    limit(text, rate)
}

fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || {
        format!("`{text}` isn't a rate; write it as `100/s`, or as `100/s:500` with 500 at once")
    };
    let number = |text: &str| text.parse::<NonZeroU32>().map_err(|_| wrong());
    let (average, burst) = match text.split_once(':') {
        None => (text, None),
        Some((average, burst)) => (average, Some(number(burst)?)),
    };
    let average = number(average.strip_suffix("/s").ok_or_else(wrong)?)?;
    let mut rate = Rate::per_second(average);
    rate.burst = burst.unwrap_or(average);
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_number_each_second_and_perhaps_a_burst() {
        let number = |number| NonZeroU32::new(number).expect("not zero");
        let steady = rate("100/s").expect("a rate");
        assert_eq!(
            (steady.per_second, steady.burst),
            (number(100), number(100))
        );
        let bursts = rate("5/s:50").expect("a rate");
        assert_eq!((bursts.per_second, bursts.burst), (number(5), number(50)));
        for text in [
            "", "100", "0/s", "100/m", "-1/s", "100/s:", "100/s:0", "/s", "1.5/s",
        ] {
            let error = rate(text).expect_err(text);
            assert!(error.contains("write it as `100/s`"), "{error}");
        }
    }

    #[test]
    fn a_limit_is_set_kept_or_that_of_the_ingress_again() {
        let mut limits = WormholeLimits::default();
        let set = LimitOptions {
            body: Some(size_limit("1MiB").expect("a size")),
            head_timeout: Some(time_limit("2s").expect("a time")),
            total_timeout: Some(time_limit("3s").expect("a time")),
            rate: Some(rate_limit("4/s").expect("a rate")),
            client_rate: Some(rate_limit("5/s").expect("a rate")),
        };
        assert!(set.are_any());
        set.make(&mut limits);
        assert_eq!(limits.body, Some(ByteSize::mib(1)));
        assert_eq!(limits.head_timeout, Some(Duration::from_secs(2)));
        let before = limits;
        let nothing = LimitOptions::default();
        assert!(!nothing.are_any());
        nothing.make(&mut limits);
        assert_eq!(limits, before);
        let default = LimitOptions {
            total_timeout: Some(time_limit(DEFAULT).expect("a word")),
            client_rate: Some(rate_limit(DEFAULT).expect("a word")),
            ..nothing.clone()
        };
        default.make(&mut limits);
        assert_eq!((limits.total_timeout, limits.client_rate), (None, None));
        assert!(limits.rate.is_some(), "the others stay");
        let all = LimitOptions {
            body: Some(size_limit(DEFAULT).expect("a word")),
            head_timeout: Some(time_limit(DEFAULT).expect("a word")),
            rate: Some(rate_limit(DEFAULT).expect("a word")),
            ..nothing
        };
        all.make(&mut limits);
        assert_eq!(limits, WormholeLimits::default());
    }
}
