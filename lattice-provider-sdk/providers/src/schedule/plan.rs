//! When ticks are due. Pure: all times are given, in milliseconds since 1970.

use super::{CatchUp, Ticks, utc::Utc};
use crate::period::Period;
use croner::{Cron, parser::CronParser};
use lattice_provider_sdk::Refusal;
use std::time::Duration;

/// Bounds of the lengths in a config.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_hours(366 * 24);
const LONGEST_JITTER: Duration = Duration::from_hours(1);
const MOST_ATTEMPTS: u32 = 100;

/// The times of one link.
#[derive(Debug)]
pub(super) struct Plan {
    times: Times,
    /// The end of the range from which each tick's delay is taken.
    jitter: u64,
    /// Makes the delays of links differ.
    seed: u64,
}

#[derive(Debug)]
enum Times {
    Cron(Box<Cron>),
    /// Every so many milliseconds since 1970, so that all replicas agree.
    Every(u64),
}

impl Plan {
    /// Makes the plan of the link with this name.
    pub(super) fn new(ticks: &Ticks, link: &str) -> Result<Self, Refusal> {
        let zone = ticks.timezone.as_deref().unwrap_or("UTC");
        if zone != "UTC" {
            return Err(Refusal::new(
                "`timezone` isn't `UTC`, the only one that schedules have; write the expression \
                 in UTC",
            ));
        }
        if !(1..=MOST_ATTEMPTS).contains(&ticks.attempts) {
            return Err(Refusal::new(format!(
                "`attempts` is {}; it must be from 1 to {MOST_ATTEMPTS}",
                ticks.attempts
            )));
        }
        ticks.timeout.check(
            "timeout",
            Duration::from_millis(1),
            Duration::from_hours(24),
        )?;
        let times = match (&ticks.cron, ticks.every) {
            (Some(expression), None) => Times::Cron(Box::new(parse(expression)?)),
            (None, Some(every)) => {
                every.check("every", SHORTEST, LONGEST)?;
                Times::Every(millis(every))
            }
            _ => {
                return Err(Refusal::new(
                    "a schedule has either `cron`, such as `*/5 * * * *`, or `every`, such as `30s`",
                ));
            }
        };
        let jitter = ticks.jitter.unwrap_or(Period::seconds(0));
        let longest = ticks.every.map_or(LONGEST_JITTER, Period::length);
        jitter.check("jitter", Duration::ZERO, longest.min(LONGEST_JITTER))?;
        Ok(Self {
            times,
            jitter: millis(jitter),
            seed: link.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            }),
        })
    }

    /// Returns the first tick after this time, or `None` when there is none any more.
    pub(super) fn after(&self, time: u64) -> Option<u64> {
        match &self.times {
            Times::Every(every) => (time / every + 1).checked_mul(*every),
            Times::Cron(cron) => {
                let second = Utc(i64::try_from(time / 1_000).ok()?);
                let next = cron.find_next_occurrence(&second, false).ok()?;
                u64::try_from(next.0).ok()?.checked_mul(1_000)
            }
        }
    }

    /// Returns the last tick that is due by this time, or `None` when none is.
    fn by(&self, time: u64) -> Option<u64> {
        match &self.times {
            Times::Every(every) => Some(time / every * every),
            Times::Cron(cron) => {
                let second = Utc(i64::try_from(time / 1_000).ok()?);
                let last = cron.find_previous_occurrence(&second, true).ok()?;
                u64::try_from(last.0).ok()?.checked_mul(1_000)
            }
        }
    }

    /// Returns when a tick is to begin: when it is due, and a delay that is the same on every
    /// replica.
    pub(super) fn begin(&self, due: u64) -> u64 {
        if self.jitter == 0 {
            return due;
        }
        let mut mixed = (self.seed ^ due).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        due.saturating_add((mixed ^ (mixed >> 31)) % self.jitter)
    }

    /// Returns the latest tick that has begun by `now`, given one that has. Those in between were
    /// missed.
    pub(super) fn latest(&self, begun: u64, now: u64) -> u64 {
        let certain = self.by(now.saturating_sub(self.jitter));
        let mut latest = certain.unwrap_or(begun).max(begun);
        while let Some(next) = self.after(latest).filter(|next| self.begin(*next) <= now) {
            latest = next;
        }
        latest
    }
}

/// Whether a tick may begin so late.
pub(super) fn is_in_time(due: u64, now: u64, catch_up: CatchUp) -> bool {
    const LATE: u64 = 30_000;
    catch_up == CatchUp::Once || now.saturating_sub(due) <= LATE
}

fn millis(period: Period) -> u64 {
    u64::try_from(period.length().as_millis()).unwrap_or(u64::MAX)
}

fn parse(expression: &str) -> Result<Cron, Refusal> {
    CronParser::new().parse(expression).map_err(|error| {
        Refusal::new(format!(
            "`cron` isn't a cron expression: {error}; it has five fields, or six with seconds \
             first, such as `*/5 * * * *`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-02-29T23:59:30Z.
    const LEAP: u64 = 1_709_251_170_000;

    fn plan(json: &str) -> Result<Plan, Refusal> {
        let ticks: Ticks = serde_json::from_str(json).expect(json);
        Plan::new(&ticks, "default")
    }

    fn times(plan: &Plan, mut from: u64, count: usize) -> Vec<u64> {
        let next = || {
            from = plan.after(from)?;
            Some(from)
        };
        std::iter::from_fn(next).take(count).collect()
    }

    #[test]
    fn cron_expressions_are_in_utc_with_and_without_seconds() {
        let five = plan(r#"{"cron": "*/5 * * * *"}"#).expect("valid");
        let first = 1_709_251_200_000;
        assert_eq!(times(&five, LEAP, 2), [first, first + 300_000]);
        assert_eq!(times(&five, first, 1), [first + 300_000], "after, not at");
        assert_eq!(times(&five, first - 1, 1), [first]);
        let seconds = plan(r#"{"cron": "*/20 * * * * *"}"#).expect("valid");
        let due = [first - 20_000, first, first + 20_000];
        assert_eq!(times(&seconds, LEAP, 3), due);
        assert_eq!(seconds.by(first + 19_999), Some(first));
        assert_eq!(seconds.by(first), Some(first));
    }

    #[test]
    fn intervals_are_the_same_whenever_they_are_first_seen() {
        let every = plan(r#"{"every": "7s"}"#).expect("valid");
        assert_eq!(times(&every, 0, 3), [7_000, 14_000, 21_000]);
        assert_eq!(times(&every, 13_999, 1), [14_000]);
        assert_eq!(
            (every.by(13_999), every.by(14_000)),
            (Some(7_000), Some(14_000))
        );
        assert_eq!(every.after(u64::MAX), None);
    }

    #[test]
    fn missed_ticks_are_passed_over() {
        let every = plan(r#"{"every": "1s"}"#).expect("valid");
        assert_eq!(every.latest(5_000, 5_400), 5_000);
        assert_eq!(every.latest(5_000, 9_999), 9_000);
        assert_eq!(every.latest(9_000, 5_000), 9_000, "the clock was set back");
        let later = 5_000 + 365 * 86_400_000;
        assert_eq!(every.latest(5_000, later), later);
        assert!(is_in_time(1_000, 31_000, CatchUp::Skip));
        assert!(!is_in_time(1_000, 31_001, CatchUp::Skip));
        assert!(is_in_time(1_000, u64::MAX, CatchUp::Once));
    }

    #[test]
    fn the_delay_of_a_tick_is_within_its_range_and_the_same_everywhere() {
        let json = r#"{"every": "1m", "jitter": "30s"}"#;
        let (one, other) = (plan(json).expect("valid"), plan(json).expect("valid"));
        let mut delays: Vec<u64> = times(&one, LEAP, 100)
            .into_iter()
            .map(|due| {
                assert_eq!(one.begin(due), other.begin(due));
                one.begin(due) - due
            })
            .collect();
        assert!(delays.iter().all(|delay| *delay < 30_000));
        delays.dedup();
        assert!(delays.len() > 90, "{delays:?}");
        let due = one.after(LEAP).expect("a tick");
        assert_eq!(one.latest(due, one.begin(due)), due);
        let next = one.after(due).expect("a tick");
        assert_eq!(one.latest(due, one.begin(next) - 1), due, "not begun yet");
        assert_eq!(one.latest(due, one.begin(next)), next);
    }

    #[test]
    fn a_wrong_config_is_refused_by_name() {
        for (json, expected) in [
            ("{}", "either `cron`"),
            (r#"{"cron": "* * * * *", "every": "1s"}"#, "either `cron`"),
            (
                r#"{"cron": "61 * * * *"}"#,
                "`cron` isn't a cron expression",
            ),
            (r#"{"cron": ""}"#, "`cron` isn't a cron expression"),
            (r#"{"every": "1ms"}"#, "`every` is 1ms"),
            (r#"{"every": "1s", "jitter": "2s"}"#, "`jitter` is 2s"),
            (r#"{"every": "1s", "attempts": 0}"#, "`attempts` is 0"),
            (r#"{"every": "1s", "timeout": "0s"}"#, "`timeout` is 0ms"),
            (
                r#"{"every": "1s", "timezone": "Europe/Berlin"}"#,
                "`timezone` isn't `UTC`",
            ),
        ] {
            let refusal = plan(json).expect_err(json);
            assert!(refusal.reason().contains(expected), "{json}: {refusal}");
        }
    }

    #[test]
    fn an_expression_whose_time_never_comes_has_no_tick() {
        let never = plan(r#"{"cron": "0 0 30 2 *"}"#).expect("valid");
        assert_eq!(never.after(LEAP), None);
    }
}
