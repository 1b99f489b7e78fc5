//! Handles in the elements of streams.

use super::*;

const WAY: Holder = Holder::OnTheWay;

impl Side {
    /// Sends a handle in an element of a stream.
    fn send_in_stream(&self, handle: Handle, to: &Self) -> Departed {
        let way = Way {
            by: None,
            ..self.way(to)
        };
        let left = depart(&self.ledger, vec![handle], &WAY, &way);
        match left.expect("it is on its way").pop() {
            Some(Leaving::Resource(departed)) => departed,
            other => panic!("not a resource: {other:?}"),
        }
    }

    /// Asks the holders of handles for some seconds, and returns how often.
    async fn ask_for(&self, seconds: u64, holder: &Self) -> usize {
        let mut asked = 0;
        for _ in 0..seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let work = self.ledger.work(&self.node, |_| Life::Live);
            for (of, ids) in work.questions {
                asked += 1;
                let held = holder.ledger.holds(&holder.node, &self.node, &ids);
                self.ledger.answered(&self.node, &of, &ids, Some(&held));
            }
        }
        asked
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_in_an_element_that_was_taken_is_the_receivers() {
    let [x, b] = sides();
    let (shelf, resource) = Shelf::new(&x, &WAY);
    let sent = x.send_in_stream(own(&resource), &b);
    let arrived = b.receive(sent.name(), true, &x, &WAY).await;
    sent.taken();
    assert_eq!(x.ask_for(1_000, &b).await, 0, "there is no doubt");
    assert_eq!(shelf.holder(), Some(host(&b)));
    drop(arrived);
    assert_eq!(b.flush(&x), 1);
    assert_eq!(shelf.holder(), None);
}

#[tokio::test(start_paused = true)]
async fn a_handle_in_an_element_that_was_not_taken_is_dropped_at_once() {
    let [x, b, c] = sides();
    let (shelf, resource) = Shelf::new(&x, &WAY);
    x.send_in_stream(own(&resource), &b).failed(Ran::No);
    assert_eq!(shelf.holder(), None);

    let (shelf, resource) = Shelf::new(&x, &WAY);
    let owned = x.give(own(&resource), &WAY, &b, &WAY).await;
    let sent = b.send_in_stream(Handle::Own(owned), &c);
    sent.failed(Ran::No);
    assert_eq!(b.flush(&x), 1);
    assert_eq!(shelf.holder(), None);
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_waits_for_its_reader_is_kept_until_its_stream_is_cut_off() {
    let [x, b] = sides();
    let (shelf, resource) = Shelf::new(&x, &WAY);
    let sent = x.send_in_stream(own(&resource), &b);
    assert_eq!(x.ask_for(3_600, &b).await, 0, "the reader is slow");
    assert_eq!(shelf.holder(), Some(host(&b)));
    sent.cut_off();
    assert_eq!(x.ask_for(14, &b).await, 0, "it may still be taken");
    assert_eq!(x.ask_for(10, &b).await, 2);
    assert_eq!(shelf.holder(), None);
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_was_taken_before_its_stream_was_cut_off_is_kept() {
    let [x, b] = sides();
    let (shelf, resource) = Shelf::new(&x, &WAY);
    let sent = x.send_in_stream(own(&resource), &b);
    let _arrived = b.receive(sent.name(), true, &x, &WAY).await;
    // The task of the stream is gone without any word.
    drop(sent);
    assert_eq!(x.ask_for(100, &b).await, 1);
    assert_eq!(shelf.holder(), Some(host(&b)));
}

#[tokio::test(start_paused = true)]
async fn a_host_in_the_middle_gives_up_what_its_receiver_has_claimed_or_may_have() {
    let [x, b, c] = sides();
    for is_claimed in [true, false] {
        let (shelf, resource) = Shelf::new(&x, &WAY);
        let owned = x.give(own(&resource), &WAY, &b, &WAY).await;
        let sent = b.send_in_stream(Handle::Own(owned), &c);
        let name = sent.name().clone();
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(b.flush(&x), 0, "the reader is slow");
        let claimed = if is_claimed {
            let claimed = c.receive(&name, true, &b, &WAY).await;
            sent.taken();
            Some(claimed.expect("it is claimed"))
        } else {
            sent.cut_off();
            tokio::time::sleep(Duration::from_secs(16)).await;
            None
        };
        assert_eq!(b.flush(&x), 1);
        assert_eq!(b.ledger.counts(&b.node), (0, 0));
        assert_eq!(shelf.holder(), is_claimed.then(|| host(&c)));
        drop(claimed);
        c.flush(&x);
        assert_eq!(shelf.holder(), None);
    }
}
