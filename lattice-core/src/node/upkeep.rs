//! What a node does beside serving calls: beats, replies, the watch over calls in flight, discovery.

use super::{
    Announce, Inner,
    discovery::QUESTION,
    line::{Line, Step, token},
    outbox::Then,
    pending::Outcome,
};
use crate::{
    bus::{Body as Carried, BusState, Message, Subscription},
    call::{CallError, Ran},
    entropy,
    subject::parse_reply,
    wire::{
        Beat, Body as _, Discovered, Duty, EnvelopeError, Goodbye, KeepAlive, Kind, Origin, Probe,
        ProbeAck, ReplyEnvelope, Served, Versions,
    },
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use std::{
    sync::{Arc, atomic::Ordering},
    task::Waker,
    time::Duration,
};
use tokio::{
    sync::broadcast,
    time::{Instant, sleep_until},
};

/// How soon news (a component more or less, a host that just came) may be told again.
const NEWS: Duration = Duration::from_millis(50);
/// Frames of replies taken in before their callers are woken.
const BATCH: usize = 64;
/// How often calls in flight are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// A way to or from a host that was not used for this long is taken down.
const UNUSED: Duration = Duration::from_mins(1);

/// Beats once a second, and at once when there is news. Among many hosts most beats are pulses.
pub(super) async fn beat(node: Arc<Inner>) {
    let mut known = false;
    let mut said = Said::default();
    loop {
        let interval = Beat::interval_among(node.connection.presence.peers().iter().count());
        let serving = node.announce == Announce::Always || !node.served.load().is_empty();
        // Once more after the last component is gone, so that nobody looks for it here.
        if (serving || known) && !node.leaving.load(Ordering::Acquire) {
            node.send_beat(interval, &mut said).await;
            known = serving;
        }
        let due = Instant::now() + interval;
        let soonest = Instant::now() + NEWS;
        tokio::select! {
            biased;
            () = sleep_until(due) => {}
            () = node.news.notified() => {
                // Somebody may be new, and has heard no beat of ours.
                said = Said::default();
                sleep_until(soonest).await;
            }
        }
    }
}

/// Answers arrive: of calls, probes and questions; or the bus says that nobody was there to answer.
pub(super) async fn take_replies(node: Arc<Inner>, mut replies: Subscription) {
    let mut taken = Taken::default();
    while let Some(message) = replies.next().await {
        node.take_reply(message, &mut taken);
        for _ in 1..BATCH {
            let Some(Some(message)) = replies.next().now_or_never() else {
                break;
            };
            node.take_reply(message, &mut taken);
        }
        // Together: what they call next then shares a frame.
        for caller in taken.callers.drain(..) {
            caller.wake();
        }
    }
}

/// What a reader of replies uses again and again.
#[derive(Default)]
struct Taken {
    results: Vec<(u64, Outcome)>,
    /// Whoever is to be woken.
    callers: Vec<Waker>,
}

/// Ends calls whose deadline passes, asks after hosts that let calls wait, and ends their calls when they are gone.
pub(super) async fn watch_over_calls(node: Arc<Inner>) {
    loop {
        let now = Instant::now();
        let found = node.pending.sweep(now);
        let lines = node.lines.load_full();
        for line in lines.values() {
            node.look_after(line, found.oldest.get(&line.token).copied(), now)
                .await;
        }
        let look = found.next_deadline.map(|at| at.min(now + LOOK));
        if !node.pending.sweep_again(look) {
            continue;
        }
        match look {
            Some(look) => tokio::select! {
                biased;
                () = sleep_until(look) => {}
                () = node.busy.notified() => {}
            },
            None => node.busy.notified().await,
        }
    }
}

/// Takes down the ways to and from hosts that were not used for a while.
pub(super) async fn tidy(node: Arc<Inner>) {
    loop {
        tokio::time::sleep(UNUSED).await;
        node.lock_replies().retain(|_, line| {
            // Whoever holds it is about to answer over it.
            Arc::strong_count(line) > 1 || !line.is_unused()
        });
        node.close_unused_lines();
    }
}

/// Hosts come, and are told of us; hosts go, and their calls end.
pub(super) async fn follow_presence(node: Arc<Inner>) {
    let mut changes = node.connection.presence.changes();
    loop {
        match changes.recv().await {
            Ok(super::presence::Change::Joined(_)) => node.news.notify_one(),
            Ok(super::presence::Change::Left(gone)) => {
                for origin in &gone {
                    node.peer_lost(origin);
                }
            }
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => {
                let peers = node.connection.presence.peers();
                let gone: Vec<Origin> = node
                    .lines
                    .load()
                    .keys()
                    .filter(|origin| !peers.contains(origin))
                    .cloned()
                    .collect();
                for origin in &gone {
                    node.peer_lost(origin);
                }
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// When the bus goes away, every call in flight ends at once; when it is back, everyone is told of us.
pub(super) async fn follow_bus(node: Arc<Inner>) {
    let mut state = node.connection.bus.state();
    let mut before = *state.borrow_and_update();
    while state.changed().await.is_ok() {
        let now = *state.borrow_and_update();
        // Told without a difference: it was away and is back already.
        if now != BusState::Connected || before == BusState::Connected {
            node.bus_lost();
        }
        if now == BusState::Connected {
            node.news.notify_one();
        }
        before = now;
    }
}

impl Inner {
    fn close_unused_lines(&self) {
        let _opening = self.lock_opening();
        let unused: Vec<Arc<Line>> = self
            .lines
            .load()
            .values()
            .filter(|line| line.is_unused())
            .cloned()
            .collect();
        for line in unused {
            self.change_lines(|lines| lines.remove(&line.peer));
            if Arc::strong_count(&line) == 1 {
                line.withdraw(Then::Close);
            } else {
                // Whoever holds it, or the lines as they were, may be about to call over it.
                self.change_lines(|lines| lines.insert(line.peer.clone(), line.clone()));
            }
        }
    }

    fn duty(&self) -> Duty {
        let duty = self.duty.load(Ordering::Acquire);
        let known = [Duty::Works, Duty::Leaves];
        let found = known.into_iter().find(|known| *known as u8 == duty);
        found.unwrap_or(Duty::Apart)
    }

    async fn send_beat(&self, interval: Duration, said: &mut Said) {
        let table = self.connection.replica.links();
        let replica_counts = self.replica_counts.load();
        let beat = Beat {
            sent_ms: entropy::since_1970().as_millis() as u64,
            components: self
                .served
                .load()
                .values()
                .filter(|served| served.is_serving())
                .map(|served| Served {
                    id: served.id.clone(),
                    digest: served.digest,
                    fence: served.fence,
                    replica_counts: replica_counts.get(&served.id).cloned().unwrap_or_default(),
                })
                .collect(),
            duty: self.duty(),
            labels: self.labels.clone(),
            incarnation: table.incarnation(),
            revision: table.revision(),
            versions: Versions::OURS,
            interval_ms: interval.as_millis() as u32,
        };
        drop(table);
        // Callers on this connection need not wait for the bus to bring it back.
        self.connection.presence.beat(&self.origin, beat.clone());
        let frame = match said.again(beat) {
            Saying::Beat(beat) => self.lone_frame(None, &*beat),
            Saying::KeepAlive(pulse) => self.lone_frame(None, &pulse),
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                return tracing::error!(%error, "this host serves or says too much to beat");
            }
        };
        if let Err(error) = self
            .connection
            .bus
            .publish(self.connection.subjects.beat(), None, frame)
            .await
        {
            tracing::debug!(%error, "a beat was not sent");
        }
    }

    pub(super) async fn say_goodbye(&self, grace: Duration) {
        self.connection.presence.goodbye(&self.origin);
        let frame = self.lone_frame(
            None,
            &Goodbye {
                grace_ms: grace.as_millis() as u32,
            },
        );
        let Ok(frame) = frame else { return };
        if let Err(error) = self
            .connection
            .bus
            .publish(self.connection.subjects.beat(), None, frame)
            .await
        {
            tracing::debug!(%error, "the goodbye was not sent");
        }
    }

    /// Waits until no reply is queued any more, and the bus has them.
    pub(super) async fn flush_replies(&self, within: Duration) {
        let lines: Vec<_> = self.lock_replies().values().cloned().collect();
        let flushed = async {
            for line in lines {
                line.sent().await;
            }
            self.connection.bus.flush().await
        };
        match tokio::time::timeout(within, flushed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the last replies may not have been sent"),
            Err(_) => tracing::debug!("the last replies were not sent in time"),
        }
    }

    fn take_reply(self: &Arc<Self>, message: Message, taken: &mut Taken) {
        if message.body == Carried::NoResponders {
            return self.nobody_there(&message);
        }
        let Some(frame) = self.authentic(message) else {
            return;
        };
        let lines = self.lines.load();
        let line = lines.get(frame.sender());
        if let Some(line) = line {
            line.heard();
        }
        if frame.kind() == Kind::Reply {
            let peer = line.map_or_else(|| token(frame.sender()), |line| line.token);
            let results = frame
                .envelopes()
                .filter_map(|envelope| self.result_in(envelope));
            // Read first: callers wait while the table is held.
            taken.results.extend(results);
            let Taken { results, callers } = taken;
            return self.pending.complete(peer, results, callers);
        }
        for envelope in frame.envelopes() {
            if let Err(error) = self.take_answer(frame.kind(), envelope) {
                self.refuse(&error.to_string());
            }
        }
    }

    fn result_in(&self, envelope: Bytes) -> Option<(u64, Outcome)> {
        match ReplyEnvelope::decode(envelope) {
            Ok(reply) => Some((reply.id, reply.outcome)),
            Err(error) => {
                self.refuse(&error.to_string());
                None
            }
        }
    }

    fn take_answer(&self, kind: Kind, envelope: Bytes) -> Result<(), EnvelopeError> {
        match kind {
            Kind::ProbeAck => {
                ProbeAck::decode(envelope)?;
            }
            Kind::Discovered => self.discovered(Discovered::decode(envelope)?),
            other => self.refuse(&format!("a frame of kind {other:?} among the replies")),
        }
        Ok(())
    }

    /// The bus says that a frame of ours reached nobody. Anyone on the bus can say so: it counts only for a frame that
    /// carries a call now, or for an unanswered probe, whose numbers a stranger would have to read off the bus.
    fn nobody_there(self: &Arc<Self>, message: &Message) {
        let Some((peer, frame)) = parse_reply(&message.subject) else {
            return;
        };
        if peer == QUESTION {
            return self.questions.nobody(frame);
        }
        let lines = self.lines.load();
        let Some(line) = lines.values().find(|line| line.token == peer) else {
            return;
        };
        let host = line.peer.host.clone();
        // What that very frame carried never arrived; what went before may have.
        let ended = self.pending.fail(Some(peer), |carried_by| {
            (carried_by == frame).then(|| CallError::HostGone { host: host.clone() })
        });
        if ended > 0 || line.asked(frame) {
            self.connection.presence.lost(&line.peer);
            self.peer_lost(&line.peer);
        }
    }

    async fn look_after(self: &Arc<Self>, line: &Arc<Line>, oldest: Option<Instant>, now: Instant) {
        match line.step(oldest, now) {
            Step::Nothing => {}
            Step::Probe(nonce) => {
                let subjects = &self.connection.subjects;
                let to = subjects.call(&line.peer.host, line.peer.epoch);
                let reply = subjects.reply(&self.origin.host, self.origin.epoch, line.token, nonce);
                let frame = self.lone_frame(Some(&line.peer), &Probe { nonce });
                let Ok(frame) = frame else { return };
                if let Err(error) = self.connection.bus.publish(to, Some(reply), frame).await {
                    tracing::debug!(%error, host = %line.peer.host, "a probe was not sent");
                }
            }
            Step::Lost => {
                self.connection.presence.lost(&line.peer);
                self.peer_lost(&line.peer);
            }
        }
    }

    /// Frames still here are dropped and did not run; frames handed over may have.
    fn bus_lost(&self) {
        for line in self.lines.load().values() {
            let left = line.withdraw(Then::GoOn);
            self.pending.fail(Some(line.token), |frame| {
                let ran = if left.has(frame) { Ran::Maybe } else { Ran::No };
                Some(CallError::Disconnected { ran })
            });
        }
    }
}

/// What the last beats said.
#[derive(Debug, Default)]
struct Said {
    beat: Option<Arc<Beat>>,
    pulses: u32,
}

/// How to say it again.
#[derive(Debug, PartialEq)]
enum Saying {
    Beat(Arc<Beat>),
    KeepAlive(KeepAlive),
}

impl Said {
    /// Among few hosts every beat says everything.
    fn again(&mut self, beat: Beat) -> Saying {
        let is_crowd = beat.interval() > Beat::interval_among(0);
        let repeats = self
            .beat
            .as_deref()
            .filter(|_| is_crowd && self.pulses < KeepAlive::BETWEEN_BEATS)
            .and_then(|last| KeepAlive::repeats(last, &beat));
        if let Some(pulse) = repeats {
            self.pulses += 1;
            return Saying::KeepAlive(pulse);
        }
        let beat = Arc::new(beat);
        self.beat = Some(beat.clone());
        self.pulses = 0;
        Saying::Beat(beat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_beats_slower() {
        let second = Duration::from_secs(1);
        assert_eq!(Beat::interval_among(0), second);
        assert_eq!(Beat::interval_among(200), second);
        assert_eq!(Beat::interval_among(1_000), second * 5);
    }

    fn beat(interval: Duration, revision: u64, labels: &[(&str, &str)]) -> Beat {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Beat {
            sent_ms: revision,
            interval_ms: interval.as_millis() as u32,
            versions: Versions::OURS,
            incarnation: crate::store::Incarnation(1),
            revision: crate::store::Revision(revision),
            labels: labels.iter().map(text).collect(),
            duty: Duty::Works,
            components: Vec::new(),
        }
    }

    #[test]
    fn in_a_crowd_what_is_the_same_is_said_shortly_and_now_and_then_in_full() {
        let (mut said, slow) = (Said::default(), Duration::from_secs(5));
        let mut say = |revision, labels: &[_]| match said.again(beat(slow, revision, labels)) {
            Saying::Beat(_) => "beat",
            Saying::KeepAlive(pulse) if pulse.revision.0 == revision => "pulse",
            Saying::KeepAlive(pulse) => panic!("{pulse:?}"),
        };
        for round in 0..3 {
            assert_eq!(say(10 * round, &[]), "beat");
            for number in 1..=u64::from(KeepAlive::BETWEEN_BEATS) {
                assert_eq!(say(10 * round + number, &[]), "pulse");
            }
        }
        assert_eq!(say(90, &[("zone", "eu")]), "beat", "something changed");
        assert_eq!(say(91, &[("zone", "eu")]), "pulse");

        let mut said = Said::default();
        for revision in 0..20 {
            let saying = said.again(beat(Duration::from_secs(1), revision, &[]));
            assert!(matches!(saying, Saying::Beat(_)), "among few");
        }
    }
}
