//! Log lines of components reach each reader once and in order, and are sent to no other process.

use futures_util::{Stream, StreamExt as _};
use lattice_core::{
    Lattice,
    logs::LogEvent,
    name::ComponentId,
    node::{Node, NodeOptions},
    wire::LogLevel,
};
use std::{pin::Pin, time::Duration};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

type Logs = Pin<Box<dyn Stream<Item = LogEvent> + Send>>;

fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("an id")
}

async fn host(lattice: &Lattice, name: &str) -> Node {
    let options = NodeOptions::default().host(name).expect("an id");
    let node = lattice.node(options).await;
    node.expect("joins")
}

fn say(node: &Node, component: &str, text: &str) {
    node.log_sink().say(&id(component), LogLevel::Info, text);
}

async fn read(lattice: &Lattice, component: Option<&str>, recent: u32) -> Logs {
    let logs = lattice.logs(component.map(id), recent).await;
    Box::pin(logs.expect("reads"))
}

/// Returns the next line, as `host component text`.
async fn line(logs: &mut Logs) -> String {
    let event = timeout(PATIENCE, logs.next()).await.expect("in time");
    match event.expect("not closed") {
        LogEvent::Line { host, line } => format!("{host} {} {}", line.component, line.text),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn lines_arrive_once_and_in_order_with_several_readers() {
    let lattice = Lattice::in_memory("dev").await.expect("in memory");
    let one = host(&lattice, "one").await;
    say(&one, "a", "1");
    say(&one, "b", "2");
    say(&one, "a", "3");

    let mut all = read(&lattice, None, 100).await;
    assert_eq!(line(&mut all).await, "one a 1");
    assert_eq!(line(&mut all).await, "one b 2");
    assert_eq!(line(&mut all).await, "one a 3");
    say(&one, "a", "4");
    let mut last = read(&lattice, Some("a"), 1).await;
    assert_eq!(line(&mut last).await, "one a 4");
    say(&one, "b", "5");
    say(&one, "a", "6");
    assert_eq!(line(&mut last).await, "one a 6");
    for expected in ["one a 4", "one b 5", "one a 6"] {
        assert_eq!(line(&mut all).await, expected);
    }

    // A host that joins later receives a request soon, and sends its earlier lines.
    let two = host(&lattice, "two").await;
    say(&two, "a", "first");
    assert_eq!(line(&mut all).await, "two a first");
    assert_eq!(line(&mut last).await, "two a first");
    say(&two, "a", "second");
    assert_eq!(line(&mut all).await, "two a second");
}

#[tokio::test]
async fn without_earlier_lines_only_new_ones_arrive() {
    let lattice = Lattice::in_memory("dev").await.expect("in memory");
    let one = host(&lattice, "one").await;
    say(&one, "a", "old");
    let mut probe = read(&lattice, None, 1).await;
    let mut new = read(&lattice, None, 0).await;
    // When this line arrives, both requests have been received: hosts handle requests in order.
    assert_eq!(line(&mut probe).await, "one a old");
    let heard = async {
        let mut said = 0;
        loop {
            said += 1;
            say(&one, "a", &format!("new {said}"));
            if let Ok(line) = timeout(Duration::from_millis(200), line(&mut new)).await {
                return line;
            }
        }
    };
    let first = timeout(PATIENCE, heard).await.expect("in time");
    assert!(first.starts_with("one a new "), "{first}");
}

#[tokio::test]
async fn a_flood_of_lines_is_sent_in_part_and_the_rest_is_counted() {
    let lattice = Lattice::in_memory("dev").await.expect("in memory");
    let one = host(&lattice, "one").await;
    say(&one, "a", "0");
    let mut logs = read(&lattice, None, 1).await;
    assert_eq!(line(&mut logs).await, "one a 0");
    for at in 1..=5_000 {
        say(&one, "a", &at.to_string());
    }
    let (mut lines, mut dropped) = (0, 0);
    while lines + dropped < 5_000 {
        let event = timeout(PATIENCE, logs.next()).await.expect("in time");
        match event.expect("not closed") {
            LogEvent::Line { .. } => lines += 1,
            LogEvent::Dropped { lines, .. } => dropped += lines,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(lines + dropped, 5_000);
    assert!(dropped > 0 && lines > 0, "{dropped} of {lines}");
}
