use super::*;
use futures_util::FutureExt as _;
use lattice_core::{
    constellation::{Delta, View},
    link::Link,
};
use serde_json::Value;
use tokio::time::{Instant, advance, timeout};

const KEEP_ALIVE: Duration = Duration::from_secs(15);

async fn events() -> (Lattice, Events, CancellationToken) {
    let lattice = Lattice::in_memory("test").await.expect("it opens");
    let stop = CancellationToken::new();
    let events = Events::new(lattice.clone(), KEEP_ALIVE, stop.clone());
    (lattice, events, stop)
}

/// One event: its name, its id, and its data.
#[derive(Debug)]
struct Event(String, String, Value);

/// Returns the events of a piece. Comments and `retry` aren't events.
fn events_in(piece: &[u8]) -> Vec<Event> {
    let text = std::str::from_utf8(piece).expect("text");
    let blocks = text
        .split("\n\n")
        .filter(|block| block.starts_with("event: "));
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().to_owned()
    };
    blocks
        .map(|block| {
            let data = serde_json::from_str(&field(block, "data: ")).expect("JSON");
            Event(field(block, "event: "), field(block, "id: "), data)
        })
        .collect()
}

/// Applies what a page would apply.
fn fold(view: &mut View, event: &Event) {
    match event.0.as_str() {
        "snapshot" => *view = serde_json::from_value(event.2["view"].clone()).expect("a view"),
        "changes" => {
            let deltas: Vec<Delta> =
                serde_json::from_value(event.2["deltas"].clone()).expect("deltas");
            for delta in deltas {
                view.apply(delta);
            }
        }
        other => panic!("{other}"),
    }
}

/// Reads until `done`, with a deadline.
async fn read_until(
    reader: &mut Reader,
    view: &mut View,
    done: impl Fn(&View) -> bool,
) -> Vec<Event> {
    let mut all = Vec::new();
    let reading = async {
        while !done(view) {
            let piece = reader.next().await.expect("the stream goes on");
            for event in events_in(&piece) {
                fold(view, &event);
                all.push(event);
            }
        }
    };
    timeout(Duration::from_secs(60), reading)
        .await
        .expect("in time");
    all
}

async fn link(lattice: &Lattice, name: &str) {
    let link = Link::new("front", "a:b/c@0.1.0", "back").and_then(|link| link.named(name));
    lattice
        .links()
        .put(link.expect("valid"))
        .await
        .expect("it is put");
}

#[tokio::test(start_paused = true)]
async fn what_a_page_folds_is_the_view() {
    let (lattice, events, _stop) = events().await;
    let (mut reader, mut view) = (events.read(None), View::default());
    for n in 0..20 {
        link(&lattice, &format!("l{n}")).await;
    }
    let events = read_until(&mut reader, &mut view, |view| view.links.len() == 20).await;
    assert_eq!(events[0].0, "snapshot");
    assert!(
        events[1..].iter().all(|event| event.0 == "changes"),
        "{events:?}"
    );
    let json = |view: &View| serde_json::to_value(view).expect("JSON");
    let now = lattice.constellation().snapshot();
    assert_eq!(json(&view)["links"], json(&now)["links"]);
}

#[tokio::test(start_paused = true)]
async fn changes_are_coalesced() {
    let (lattice, events, _stop) = events().await;
    let (mut reader, mut view) = (events.read(None), View::default());
    link(&lattice, "first").await;
    read_until(&mut reader, &mut view, |view| view.links.len() == 1).await;
    let began = Instant::now();
    for n in 0..50 {
        link(&lattice, &format!("l{n}")).await;
        advance(Duration::from_millis(2)).await;
    }
    let events = read_until(&mut reader, &mut view, |view| view.links.len() == 51).await;
    let most = began.elapsed().as_millis() / PACE.as_millis() + 2;
    assert!(
        (events.len() as u128) <= most,
        "{} events in {:?}",
        events.len(),
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_goes_on_after_the_last_event_that_it_has() {
    let (lattice, events, _stop) = events().await;
    let (mut reader, mut view) = (events.read(None), View::default());
    link(&lattice, "one").await;
    let seen = read_until(&mut reader, &mut view, |view| view.links.len() == 1).await;
    let last = seen.last().expect("an event").1.clone();
    drop(reader);
    link(&lattice, "two").await;
    let mut again = events.read(Some(&last));
    let missed = read_until(&mut again, &mut view, |view| view.links.len() == 2).await;
    assert!(
        missed.iter().all(|event| event.0 == "changes"),
        "{missed:?}"
    );
    let mut foreign = events.read(Some("other.7"));
    let all = read_until(&mut foreign, &mut View::default(), |view| {
        view.links.len() == 2
    })
    .await;
    assert_eq!(all[0].0, "snapshot");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_shows_that_it_lives_and_ends_when_the_service_stops() {
    let (_lattice, events, stop) = events().await;
    let (mut reader, mut view) = (events.read(None), View::default());
    read_until(&mut reader, &mut view, |_| true).await;
    let alive = async {
        loop {
            match reader.next().await {
                Some(piece) if piece.starts_with(b":") => return,
                Some(_) => {}
                None => panic!("it has ended"),
            }
        }
    };
    let began = Instant::now();
    timeout(KEEP_ALIVE * 3, alive)
        .await
        .expect("a sign of life");
    assert!(began.elapsed() >= KEEP_ALIVE);
    stop.cancel();
    let bye = reader.next().now_or_never().flatten().expect("at once");
    assert!(bye.starts_with(b"event: bye\n"), "{bye:?}");
    assert!(reader.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_followed_without_readers() {
    let (_lattice, events, _stop) = events().await;
    let (mut reader, mut view) = (events.read(None), View::default());
    read_until(&mut reader, &mut view, |_| true).await;
    drop(reader);
    let is_followed = || events.0.follower.lock().is_some();
    assert!(is_followed(), "a page that is reloaded finds it");
    let ended = async {
        while is_followed() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(Duration::from_secs(120), ended)
        .await
        .expect("it ends");
    let mut reader = events.read(None);
    let whole = async {
        while !reader
            .next()
            .await
            .expect("it goes on")
            .starts_with(b"event: snapshot")
        {}
    };
    timeout(Duration::from_secs(5), whole)
        .await
        .expect("a new one begins");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_can_be_had_once() {
    let (lattice, events, _stop) = events().await;
    link(&lattice, "one").await;
    let json: Value = serde_json::from_str(&events.snapshot().await).expect("JSON");
    assert_eq!(json["view"]["links"][0]["name"], "one");
    assert!(json["ports"].is_object());
}
