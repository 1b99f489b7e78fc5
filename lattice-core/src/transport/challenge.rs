//! Challenges: a probe whose reply proves that a boot of a host is live now.
//!
//! A client of the bus that has recorded the broadcasts of a host can replay them to a process that
//! has not received them. A reply to a random number of this process can't be recorded in advance.

use super::{Transport, id::ReplyAddress};
use crate::{
    sync::Mutex,
    wire::{Origin, Probe},
};
use std::{collections::HashMap, sync::MutexGuard, time::Duration};
use tokio::{sync::oneshot, time::timeout};

/// How long a reply may take. The next challenge of the same host has another number.
const WITHIN: Duration = Duration::from_secs(3);

/// The challenged boot, and the task that waits for its reply, by the number of the challenge.
type Unanswered = HashMap<u64, (Origin, oneshot::Sender<()>)>;

/// The challenges without a reply so far.
#[derive(Debug, Default)]
pub(super) struct Challenges(Mutex<Unanswered>);

impl Challenges {
    fn lock(&self) -> MutexGuard<'_, Unanswered> {
        self.0.lock()
    }

    /// Takes a reply from a host.
    pub(super) fn answered(&self, from: &Origin, nonce: u64) {
        let mut asked = self.lock();
        if asked.get(&nonce).is_some_and(|(host, _)| host == from)
            && let Some((_, answered)) = asked.remove(&nonce)
        {
            // The receiver may have given up.
            let _ = answered.send(());
        }
    }
}

/// Forgets a challenge that is over or that was given up.
struct Asked<'a>(&'a Challenges, u64);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl Transport {
    /// Challenges a boot of a host. Returns true once it has replied.
    pub(crate) async fn challenge(&self, host: &Origin) -> bool {
        // Without randomness, a reply proves nothing.
        let Some(nonce) = crate::entropy::number() else {
            return false;
        };
        let (answered, answer) = oneshot::channel();
        let asked = (host.clone(), answered);
        self.challenges.lock().insert(nonce, asked);
        let _asked = Asked(&self.challenges, nonce);
        let endpoint = &self.endpoint;
        let subject = endpoint.subjects().call(&host.host, host.epoch);
        let ReplyAddress::Peer(token, _) = ReplyAddress::of_peer(host) else {
            return false;
        };
        let reply = ReplyAddress::Peer(token, nonce);
        let reply = reply.subject(endpoint.subjects(), endpoint.origin());
        let probe = Probe { nonce };
        let answer = async {
            endpoint
                .send(subject, Some(reply), Some(host), &probe)
                .await
                .is_ok()
                && answer.await.is_ok()
        };
        timeout(WITHIN, answer).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::HostId;

    #[test]
    fn only_the_host_that_was_asked_can_answer() {
        let boot = |host, epoch| Origin::new(HostId::new(host).expect("valid"), epoch);
        let (challenges, asked) = (Challenges::default(), boot("a", 2));
        let (answered, mut answer) = oneshot::channel();
        challenges.lock().insert(7, (asked.clone(), answered));
        for (other, nonce) in [(boot("b", 2), 7), (boot("a", 1), 7), (asked.clone(), 8)] {
            challenges.answered(&other, nonce);
            assert!(answer.try_recv().is_err(), "{other:?} {nonce}");
        }
        challenges.answered(&asked, 7);
        assert_eq!(answer.try_recv(), Ok(()));
    }
}
