//! The limits of a wormhole's requests.

use crate::quantity::ByteSize;
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};

/// Limits of a wormhole's requests. A limit that is `None` is that of the ingress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WormholeLimits {
    /// The largest body of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<ByteSize>,
    /// The time until the actor has returned the head of its response. In milliseconds in the
    /// store.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis")]
    pub head_timeout: Option<Duration>,
    /// The time until the whole response has been sent. In milliseconds in the store.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis")]
    pub total_timeout: Option<Duration>,
    /// How many requests one ingress lets through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many requests of one client one ingress lets through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_rate: Option<Rate>,
}

/// How many requests may come in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many a second, on average.
    pub per_second: NonZeroU32,
    /// How many at once, after a time without any.
    pub burst: NonZeroU32,
}

impl Rate {
    /// Makes a rate that allows as many requests at once as in one second.
    pub const fn per_second(requests: NonZeroU32) -> Self {
        Self {
            per_second: requests,
            burst: requests,
        }
    }
}

/// Times as whole milliseconds.
mod millis {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};
    use std::time::Duration;

    #[expect(clippy::ref_option, reason = "as serde calls it")]
    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let millis = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        millis.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let millis = Option::<u64>::deserialize(from)?;
        Ok(millis.map(Duration::from_millis))
    }
}
