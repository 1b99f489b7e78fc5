//! The calls that have failed lately, as the hosts of their callees keep them.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use lattice_core::{Lattice, serve::Functions};
//!
//! const GREETER: &str = "example:hello/greeter@0.1.0";
//!
//! let lattice = Lattice::in_memory("dev").await?;
//! let greet = async |(name,): (String,)| assert!(name.is_empty(), "on purpose");
//! let greeter = Functions::new().export(GREETER, "greet", "func(name: string)", greet)?;
//! let _serving = lattice.serve("greeter", greeter).await?;
//! let operator = lattice.operator();
//! let failed = operator.call::<()>("greeter", GREETER, "greet", ("Ada",)).await;
//! assert!(failed.is_err());
//!
//! let answers = lattice.failed_calls(Some("greeter".parse()?)).await?;
//! let calls = answers[0].calls.as_ref().expect("the host answers");
//! assert_eq!(calls[0].function, "example:hello/greeter/greet");
//! assert_eq!(calls[0].caller, "the operator");
//! assert_eq!(calls[0].error, "callee-failed");
//! # Ok(())
//! # }
//! ```
//!
//! A host keeps the latest 32 of each component, for as long as it has the component in service.
//! Calls that fail alike count as one of these. It keeps nothing of their arguments, apart from
//! what an error says: the message of an actor that panicked, for example. Calls that never reach a
//! host, or that their callee's host refuses because nothing grants them, are only known to their
//! callers.

#[doc(inline)]
pub use crate::wire::FailedCall;

use crate::{
    Lattice,
    bus::BusError,
    call::{CallError, Context, FunctionRef, Ran},
    name::{ComponentId, HostId},
    node::NodeParts,
    telemetry::failures,
    value::{from_bytes, to_bytes},
    wire::{FailedCalls, Origin},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How long a host has to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most hosts that are asked at once.
const AT_ONCE: usize = 64;

/// What one host has answered.
#[derive(Debug)]
#[non_exhaustive]
pub struct HostFailures {
    /// The host.
    pub host: HostId,
    /// The calls that have failed there, the oldest first, or why that isn't known.
    pub calls: Result<Vec<FailedCall>, FailuresError>,
}

/// Why it isn't known which calls have failed on a host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FailuresError {
    /// It runs a version that doesn't keep them.
    #[error("host `{host}` is too old to say which calls have failed; update it")]
    TooOld {
        /// The host.
        host: HostId,
    },
    /// It has not answered within two seconds, or not with what was asked for.
    #[error("host `{host}` did not say which calls have failed; ask again, or look at its log")]
    NoAnswer {
        /// The host.
        host: HostId,
        /// What went wrong.
        source: CallError,
    },
}

impl Lattice {
    /// Asks hosts for the calls that have failed there lately: those that serve this component, or
    /// all. Returns the answers in the order of the hosts' ids, at most 256 calls of each.
    ///
    /// It takes at most two seconds for every 64 hosts.
    ///
    /// # Errors
    /// [`BusError`] if this process can't join the lattice. That a host doesn't answer is part of
    /// the result.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn failed_calls(
        &self,
        component: Option<ComponentId>,
    ) -> Result<Vec<HostFailures>, BusError> {
        let node = self.own_node().await?.parts().clone();
        let function =
            failures::function().map_err(|error| BusError::Refused(error.to_string()))?;
        let asked =
            to_bytes(&(&component,)).map_err(|error| BusError::Refused(error.to_string()))?;
        let peers = self.peers();
        let mut hosts: BTreeSet<Origin> = match &component {
            Some(component) => peers.serving(component).iter().cloned().collect(),
            None => peers.iter().map(|peer| peer.origin.clone()).collect(),
        };
        let own = node.server.origin();
        hosts.remove(own);
        let mut answers = Vec::new();
        let here = node.server.failed_calls(component.as_ref()).calls;
        if !here.is_empty() {
            answers.push(HostFailures {
                host: own.host.clone(),
                calls: Ok(here),
            });
        }
        let others = hosts
            .into_iter()
            .map(|host| ask(node.clone(), host, function.clone(), asked.clone()));
        let others: Vec<_> = others.collect();
        let mut others = stream::iter(others).buffer_unordered(AT_ONCE);
        while let Some(answer) = others.next().await {
            answers.push(answer);
        }
        answers.sort_by(|one, other| one.host.cmp(&other.host));
        Ok(answers)
    }
}

async fn ask(
    node: Arc<NodeParts>,
    host: Origin,
    function: FunctionRef,
    asked: Bytes,
) -> HostFailures {
    let context = Context::new(PATIENCE);
    let answer = node
        .client
        .call_host(&host, &function, asked, context)
        .await;
    let calls = answer.and_then(|answer| {
        let failed: FailedCalls = from_bytes(&answer).map_err(|error| CallError::BadResult {
            reason: error.to_string(),
        })?;
        Ok(failed.calls)
    });
    let host = host.host;
    HostFailures {
        calls: calls.map_err(|error| FailuresError::of(&host, error)),
        host,
    }
}

impl FailuresError {
    fn of(host: &HostId, error: CallError) -> Self {
        let host = host.clone();
        if is_of_older(&error) {
            Self::TooOld { host }
        } else {
            Self::NoAnswer {
                host,
                source: error,
            }
        }
    }
}

/// Whether a host that doesn't know the request refuses it with this error: it has nothing that
/// exports the function, and takes requests that it doesn't know only of members with heartbeats.
fn is_of_older(error: &CallError) -> bool {
    matches!(
        error,
        CallError::NotExported { .. }
            | CallError::NotServed { .. }
            | CallError::Unrecognised { ran: Ran::No, .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_does_not_know_the_request_is_too_old() {
        let host = HostId::new("old").expect("an id");
        let of = |error| FailuresError::of(&host, error).to_string();
        let unknown = CallError::NotExported {
            component: host.as_component(),
            interface: String::new(),
            function: String::new(),
        };
        let unserved = CallError::NotServed {
            component: host.as_component(),
        };
        let stranger = CallError::Unrecognised {
            ran: Ran::No,
            message: "a call of a host that isn't known here".to_owned(),
        };
        for error in [unknown, unserved, stranger] {
            assert!(of(error).contains("`old` is too old"));
        }
        let silent = of(CallError::DeadlineExceeded { ran: Ran::Maybe });
        assert!(silent.contains("`old` did not say"), "{silent}");
    }

    #[test]
    fn the_bytes_of_an_answer_stay_the_same_and_others_are_refused() {
        let golden = "01a08d06016103623a6303776562046c61746504736c6f77d00f02";
        let golden: Bytes = hex::decode(golden).expect("hex").into();
        let call = FailedCall {
            failed_ms: 100_000,
            component: ComponentId::new("a").expect("an id"),
            function: "b:c".to_owned(),
            caller: "web".to_owned(),
            error: "late".to_owned(),
            message: "slow".to_owned(),
            took_us: 2_000,
            times: 2,
        };
        let failed = FailedCalls { calls: vec![call] };
        assert_eq!(to_bytes(&failed).expect("bytes"), golden);
        assert_eq!(from_bytes::<FailedCalls>(&golden).expect("calls"), failed);
        for length in 0..golden.len() {
            let cut = from_bytes::<FailedCalls>(&golden.slice(..length));
            cut.expect_err("it is cut off");
        }
        let many = FailedCalls {
            calls: vec![failed.calls[0].clone(); FailedCalls::MAX + 1],
        };
        let many = to_bytes(&many).expect("bytes");
        from_bytes::<FailedCalls>(&many).expect_err("too many");
    }
}
