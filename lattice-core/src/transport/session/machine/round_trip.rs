//! How long a peer takes to acknowledge, estimated as TCP does (RFC 6298).

use super::timing::{COLLECTED, MOST_HINTED, RESEND, SLOWEST_RESEND};
use std::time::Duration;

/// An estimate of the time from a chunk to its acknowledgement. It contains the time for which the
/// chunk waits in this node's queues.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RoundTrip {
    estimate: Option<Estimate>,
    /// Before the first sample: how long the peer took to grant the first credit of a channel, or
    /// to acknowledge what was sent several times.
    hint: Duration,
    /// How often the last acknowledged part was sent again, if none has been acknowledged since
    /// that was sent once. Perhaps the timeout is too short.
    resends: u32,
}

#[derive(Debug, Clone, Copy)]
struct Estimate {
    smoothed: Duration,
    variation: Duration,
}

impl Estimate {
    fn timeout(self) -> Duration {
        self.smoothed + self.variation * 4
    }
}

impl RoundTrip {
    /// A part that was sent once is acknowledged after `time`.
    pub(super) fn sample(&mut self, time: Duration) {
        self.resends = 0;
        self.estimate = Some(match self.estimate {
            None => Estimate {
                smoothed: time,
                variation: time / 2,
            },
            Some(Estimate {
                smoothed,
                variation,
            }) => Estimate {
                smoothed: (smoothed * 7 + time) / 8,
                variation: (variation * 3 + smoothed.abs_diff(time)) / 4,
            },
        });
    }

    /// A part that was sent `resends` times more is acknowledged, `time` after the last one. Which
    /// one is unknown, so that the time is no sample (Karn's algorithm). Unless it is usual for the
    /// last one, the timeout may be too short.
    pub(super) fn ambiguous(&mut self, time: Duration, resends: u32, others: &Self) {
        if self.usual(others).is_none_or(|usual| time > usual) {
            self.resends = self.resends.max(resends);
        }
    }

    /// The first credit of a channel, or an acknowledgement of what was sent several times, came
    /// after `time`. It is the only hint before the first sample.
    pub(super) fn hint(&mut self, time: Duration) {
        self.hint = self.hint.max(time);
    }

    /// How long an acknowledgement may take. Without anything that is known of the peer, it is as
    /// long as for `others`.
    pub(super) fn timeout(&self, others: &Self) -> Duration {
        let hint = (self.hint * 3).min(MOST_HINTED);
        let timeout = match (self.estimate, others.estimate) {
            (Some(own), _) => own.timeout(),
            (None, Some(others)) => hint.max(others.timeout()),
            (None, None) => hint,
        };
        timeout.clamp(RESEND, SLOWEST_RESEND)
    }

    /// The same with regard to acknowledgements that came only after parts were sent again.
    pub(super) fn backed_off(&self, others: &Self) -> Duration {
        let doubled = self.timeout(others) * 2_u32.saturating_pow(self.resends.min(8));
        doubled.min(SLOWEST_RESEND)
    }

    /// The longest usual time, if it is known of the peer or of `others`.
    pub(super) fn usual(&self, others: &Self) -> Option<Duration> {
        let estimate = self.estimate.or(others.estimate)?;
        Some(estimate.smoothed * 2 + COLLECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_timeout_follows_the_samples_within_its_bounds() {
        let (mut round_trip, others) = (RoundTrip::default(), RoundTrip::default());
        assert_eq!(round_trip.timeout(&others), ms(250));
        round_trip.sample(ms(1));
        assert_eq!(round_trip.timeout(&others), ms(250));
        round_trip = RoundTrip::default();
        round_trip.sample(ms(1_000));
        assert_eq!(round_trip.timeout(&others), ms(3_000));
        for _ in 0..100 {
            round_trip.sample(ms(1_000));
        }
        assert_eq!(round_trip.timeout(&others).as_millis(), 1_000);
        round_trip.sample(ms(2_000));
        assert_eq!(round_trip.timeout(&others).as_millis(), 2_125);
        round_trip.sample(ms(60_000));
        assert_eq!(round_trip.timeout(&others), ms(8_000));
    }

    #[test]
    fn before_the_first_sample_the_grant_and_other_peers_are_hints() {
        let mut others = RoundTrip::default();
        let mut round_trip = RoundTrip::default();
        round_trip.hint(ms(500));
        assert_eq!(round_trip.timeout(&others), ms(1_500));
        others.sample(ms(1_000));
        assert_eq!(round_trip.timeout(&others), ms(3_000));
        round_trip.sample(ms(10));
        assert_eq!(round_trip.timeout(&others), ms(250));
    }

    #[test]
    fn a_part_that_was_sent_again_backs_off_until_there_is_a_sample() {
        let (mut round_trip, others) = (RoundTrip::default(), RoundTrip::default());
        round_trip.sample(ms(10));
        round_trip.ambiguous(ms(12), 3, &others);
        assert_eq!(round_trip.backed_off(&others), ms(250), "the usual time");
        round_trip.ambiguous(ms(90), 3, &others);
        assert_eq!(round_trip.timeout(&others), ms(250));
        assert_eq!(round_trip.backed_off(&others), ms(2_000));
        round_trip.ambiguous(ms(90), 40, &others);
        assert_eq!(round_trip.backed_off(&others), ms(8_000));
        round_trip.sample(ms(10));
        assert_eq!(round_trip.backed_off(&others), ms(250));
    }
}
