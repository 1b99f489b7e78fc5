use super::*;
use lattice_core::{constellation::StoreView, store::Revision};

/// A change that differs from that of every other number.
fn change(number: u64) -> Vec<Delta> {
    let mut store = StoreView::default();
    store.revision = Revision(number);
    vec![Delta::Store(store)]
}

/// A history with this many batches.
fn history(batches: u64) -> History {
    let history = History::new();
    for number in 1..=batches {
        history.publish(change(number), &PortChanges::new());
    }
    history
}

fn text(piece: Option<(u64, Bytes)>) -> (u64, String) {
    let (number, piece) = piece.expect("a piece");
    (number, String::from_utf8(piece.to_vec()).expect("text"))
}

#[test]
fn a_reader_gets_the_whole_first_and_then_what_is_new() {
    let history = history(0);
    assert!(history.next(None).is_none(), "nothing is known yet");
    history.publish(Vec::new(), &PortChanges::new());
    let (number, whole) = text(history.next(None));
    assert_eq!(number, 1, "an empty lattice is news at first");
    let id = format!("{}.1", history.name);
    assert!(
        whole.starts_with(&format!("event: snapshot\nid: {id}\ndata: {{\"view\":{{")),
        "{whole}"
    );
    assert!(
        whole.ends_with("}\n\n") && whole.contains("\"ports\":{}"),
        "{whole}"
    );
    assert!(history.next(Some(1)).is_none());
    history.publish(Vec::new(), &PortChanges::new());
    assert!(history.next(Some(1)).is_none(), "nothing has changed");
    history.publish(change(7), &PortChanges::new());
    history.publish(change(8), &PortChanges::new());
    let (number, changes) = text(history.next(Some(1)));
    assert_eq!((number, changes.matches("event: changes").count()), (3, 2));
    assert!(changes.contains("\"deltas\":[{\"store\":{\"state\":\"lost\",\"incarnation\":0,\"revision\":7}}],\"ports\":{}"), "{changes}");
}

#[test]
fn an_id_is_one_of_this_log_or_none() {
    let history = history(3);
    let id = format!("{}.2", history.name);
    assert_eq!(history.number(&id), Some(2));
    assert_eq!(text(history.next(history.number(&id))).0, 3);
    for foreign in ["", "2", "other.2", &format!("{}.x", history.name)] {
        assert_eq!(history.number(foreign), None, "{foreign}");
    }
    let (_, whole) = text(history.next(Some(9)));
    assert!(
        whole.starts_with("event: snapshot"),
        "from a later history of the same name"
    );
    assert_ne!(history.name, History::new().name);
}

#[test]
fn a_reader_that_is_left_behind_gets_the_whole() {
    let many = BATCHES as u64 + 10;
    let history = history(many);
    let (number, whole) = text(history.next(Some(9)));
    assert!(
        number == many && whole.starts_with("event: snapshot"),
        "{number}"
    );
    let (number, changes) = text(history.next(Some(10)));
    assert!(
        number == many && changes.starts_with("event: changes"),
        "{number}"
    );
    assert_eq!(changes.matches("event: changes").count(), BATCHES);
}

#[test]
fn the_log_and_its_pieces_are_bounded_in_bytes() {
    let history = history(1);
    let large: lattice_core::constellation::UnreadableView = serde_json::from_value(
        serde_json::json!({ "key": "config.a", "reason": "x".repeat(BYTES / 8) }),
    )
    .expect("an item");
    let large = Arc::new(large);
    for _ in 0..20 {
        let is = lattice_core::constellation::ItemChange::Is(large.clone());
        history.publish(vec![Delta::Unreadable(is)], &PortChanges::new());
    }
    let contents = history.contents.lock();
    assert!(contents.bytes <= BYTES && contents.batches.len() < 8);
    assert_eq!(
        contents.bytes,
        contents.batches.iter().map(Bytes::len).sum::<usize>()
    );
    drop(contents);
    let (number, piece) = text(history.next(Some(15)));
    assert_eq!(
        (number, piece.matches("event: changes").count()),
        (16, 1),
        "one at a time"
    );
}

#[test]
fn a_snapshot_in_a_batch_becomes_changes() {
    let history = history(1);
    let mut view = View::default();
    view.store.revision = Revision(9);
    history.publish(vec![Delta::Snapshot(Arc::new(view))], &PortChanges::new());
    let (_, changes) = text(history.next(Some(1)));
    assert!(
        changes.starts_with("event: changes") && changes.contains("\"revision\":9"),
        "{changes}"
    );
}
