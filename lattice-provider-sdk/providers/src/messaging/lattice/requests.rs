//! Requests that wait for their replies.
//!
//! A request expects its reply at a subject of its own, `_INBOX.<host>.<epoch>-<number>`. Host and
//! epoch are those of the node on which the replica of the provider runs that took the request: a
//! node that leaves isn't listed any more, and still waits for its replies. The number is random,
//! so that no component can guess where the replies of others go.

use super::{INBOX, LatticeMessaging};
use crate::{messaging::bindings::wasmcloud::messaging::types::BrokerMessage, patience::patience};
use lattice_core::{id::Origin, name::HostId};
use lattice_provider_sdk::Call;
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};

/// The requests of one replica, by the subjects of their replies.
#[derive(Debug, Clone)]
pub(super) struct Requests {
    waiting: Arc<Mutex<HashMap<String, oneshot::Sender<BrokerMessage>>>>,
    most: usize,
}

/// The reply to one request. Dropping it gives the request up.
#[derive(Debug)]
pub(super) struct Reply {
    requests: Requests,
    inbox: String,
    receiver: oneshot::Receiver<BrokerMessage>,
}

impl Requests {
    pub(super) fn new(most: usize) -> Self {
        Self {
            waiting: Arc::default(),
            most,
        }
    }

    /// Opens a request of the replica on this node. Returns the subject of its reply.
    pub(super) fn open(&self, on: &Origin) -> Result<(String, Reply), String> {
        let (host, epoch) = (&on.host, on.epoch);
        let inbox = format!("{INBOX}{host}.{epoch:x}-{:016x}{:016x}", random(), random());
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting();
        if waiting.len() >= self.most {
            return Err(format!(
                "{} requests wait for their replies, which is the most at once; try again later, \
                 or raise `requests` of the messaging provider",
                self.most
            ));
        }
        waiting.insert(inbox.clone(), sender);
        drop(waiting);
        let reply = Reply {
            requests: self.clone(),
            inbox: inbox.clone(),
            receiver,
        };
        Ok((inbox, reply))
    }

    /// Ends the request that expects this reply. Only the first reply counts.
    pub(super) fn resolve(&self, reply: BrokerMessage) {
        let request = self.waiting().remove(&reply.subject);
        if let Some(request) = request {
            // The caller may have given up meanwhile.
            let _ = request.send(reply);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<BrokerMessage>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reply {
    /// Waits for the reply until `timeout_ms`, or until shortly before the call ends.
    pub(super) async fn within(
        mut self,
        call: &Call<LatticeMessaging>,
        timeout_ms: u32,
    ) -> Result<BrokerMessage, String> {
        let patience = Duration::from_millis(timeout_ms.into()).min(patience(call));
        match timeout(patience, &mut self.receiver).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err("the messaging provider is stopping; try again".to_owned()),
            Err(_) => Err(format!("no reply within {} ms", patience.as_millis())),
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.requests.waiting().remove(&self.inbox);
    }
}

/// Returns the node in the subject of a reply, or `None` if it isn't the subject of one.
pub(super) fn origin_of(inbox: &str) -> Option<Origin> {
    let (host, rest) = inbox.strip_prefix(INBOX)?.split_once('.')?;
    let (epoch, number) = rest.split_once('-')?;
    if number.is_empty() || number.contains('.') {
        return None;
    }
    Some(Origin {
        host: HostId::new(host).ok()?,
        epoch: u64::from_str_radix(epoch, 16).ok()?,
    })
}

/// Returns a number that others can't predict: a keyed hash, whose key the standard library draws
/// from the operating system's randomness.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn message(subject: &str) -> BrokerMessage {
        BrokerMessage {
            subject: subject.to_owned(),
            body: "reply".into(),
            reply_to: None,
        }
    }

    fn edge() -> Origin {
        Origin {
            host: HostId::new("edge").expect("valid"),
            epoch: 0xa7,
        }
    }

    #[tokio::test]
    async fn the_first_reply_ends_a_request_and_later_ones_are_dropped() {
        let requests = Requests::new(8);
        let (inbox, mut reply) = requests.open(&edge()).expect("room");
        assert_eq!(origin_of(&inbox), Some(edge()));
        requests.resolve(message("_INBOX.edge.a7-another"));
        requests.resolve(message(&inbox));
        requests.resolve(message(&inbox));
        assert_eq!((&mut reply.receiver).await, Ok(message(&inbox)));
    }

    #[test]
    fn requests_are_bounded_and_given_up_when_they_are_dropped() {
        let requests = Requests::new(1);
        let open = requests.open(&edge()).expect("room");
        let refusal = requests.open(&edge()).expect_err("no room");
        assert!(refusal.contains("raise `requests`"), "{refusal}");
        drop(open);
        requests.open(&edge()).expect("room again");
    }

    /// Nothing of the number of an inbox is the same in all, or follows from others.
    #[test]
    fn inboxes_of_one_node_have_nothing_in_common_but_its_name() {
        let requests = Requests::new(256);
        let mut numbers = HashSet::new();
        let (mut ones, mut zeros) = (0, 0);
        for _ in 0..256 {
            let (inbox, _reply) = requests.open(&edge()).expect("room");
            let number = inbox.strip_prefix("_INBOX.edge.a7-").expect("its own");
            assert_eq!(number.len(), 32, "{number}");
            let number = u128::from_str_radix(number, 16).expect("a number");
            ones |= number;
            zeros |= !number;
            // Neither half is counted, in either direction.
            for half in [number as u64, (number >> 64) as u64] {
                let near = [half.wrapping_sub(1), half.wrapping_add(1)];
                assert!(near.iter().all(|near| !numbers.contains(near)), "{half:x}");
                assert!(numbers.insert(half), "{half:x}");
            }
        }
        assert_eq!((ones, zeros), (u128::MAX, u128::MAX));
    }

    #[test]
    fn other_subjects_have_no_node() {
        for subject in [
            "_INBOX",
            "_INBOX.",
            "_INBOX.a",
            "_INBOX.a.b",
            "_INBOX.a.7-",
            "_INBOX.a.-b",
            "_INBOX.a.x-b",
            "_INBOX..7-b",
            "_INBOX.A.7-b",
            "_INBOX.a.7-b.c",
            "a.b.c",
        ] {
            assert_eq!(origin_of(subject), None, "{subject}");
        }
    }
}
