//! What is too large, too slow, or too much.

use crate::{
    PATIENCE,
    client::{Events, allowed, ask, exchange, head},
    lattice, serve,
};
use lattice_core::link::Link;
use lattice_ui::{Ui, UiLimits};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

/// Limits with which a stream that is not read is ended soon.
fn impatient() -> UiLimits {
    UiLimits::default()
        .stall(Duration::from_millis(300))
        .streams(2)
}

/// Reads until the server closes the connection.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = stream.read_to_end(&mut read);
    // A reset is an end, too.
    let _ = timeout(PATIENCE, reading).await.expect("it is closed");
    read
}

#[tokio::test]
async fn a_head_that_does_not_arrive_ends_its_connection() {
    let page = serve(
        Ui::new(&lattice().await).limits(UiLimits::default().arrival(Duration::from_millis(200))),
    )
    .await;
    for begun in ["", "GET /api/config HTTP/1.1\r\nHost: a"] {
        let mut stream = TcpStream::connect(page.address())
            .await
            .expect("it listens");
        stream.write_all(begun.as_bytes()).await.expect("it reads");
        let read = closed(&mut stream).await;
        assert!(!read.starts_with(b"HTTP/1.1 200"), "{begun:?}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let page = serve(Ui::new(&lattice().await)).await;
    let mut lines = allowed(&page);
    lines.push(format!("X-Long: {}", "a".repeat(128 * 1024)));
    let large = crate::client::request("GET /api/config", &lines, "");
    assert_eq!(exchange(page.address(), &large).await.status, 431);
}

#[tokio::test]
async fn connections_wait_for_room() {
    let page = serve(Ui::new(&lattice().await).limits(UiLimits::default().connections(1))).await;
    let holder = TcpStream::connect(page.address())
        .await
        .expect("it listens");
    let waiting = ask(&page, "GET /api/config", "");
    let mut waiting = Box::pin(waiting);
    assert!(
        timeout(Duration::from_millis(100), waiting.as_mut())
            .await
            .is_err(),
        "there is no room"
    );
    drop(holder);
    assert_eq!(waiting.await.status, 200);
}

#[tokio::test]
async fn streams_are_bounded_and_their_room_is_used_again() {
    let page = serve(Ui::new(&lattice().await).limits(UiLimits::default().streams(2))).await;
    let (one, two) = (
        Events::open(&page, None).await,
        Events::open(&page, None).await,
    );
    assert_eq!((one.status, two.status), (200, 200));
    let refused = ask(&page, "GET /api/stream", "").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "too-many-streams")
    );
    drop(one);
    let begun = Instant::now();
    // The server hears of the end when it next writes or reads.
    while Events::open(&page, None).await.status != 200 {
        assert!(begun.elapsed() < PATIENCE);
    }
}

/// A link with long names, so that changes of it have many bytes.
fn long_link(n: u32) -> Link {
    let long = |name: &str| format!("{name}-{}", "x".repeat(50));
    let part = |name: &str| format!("{name}-{}", "x".repeat(30));
    let interface = format!("{}:{}/{}@0.1.0", part("a"), part("b"), part("c"));
    let link = Link::new(
        long("front").as_str(),
        interface.as_str(),
        long("back").as_str(),
    );
    let link = link.and_then(|link| link.named(format!("{n}-{}", "x".repeat(50)).as_str()));
    link.expect("valid")
}

#[tokio::test]
async fn a_stream_that_is_not_read_is_ended_and_holds_nobody_up() {
    let lattice = lattice().await;
    let page = serve(Ui::new(&lattice).limits(impatient())).await;
    let mut read = Events::open(&page, None).await;
    let reader = tokio::spawn(async move {
        let mut count = 0_u32;
        while read.next().await.is_some_and(|event| event.name != "bye") {
            count += 1;
        }
        count
    });
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a size");
    let mut stuck = socket.connect(page.address()).await.expect("it listens");
    let lines = head(&allowed(&page));
    let request = format!("GET /api/stream HTTP/1.1\r\n{lines}\r\n");
    stuck.write_all(request.as_bytes()).await.expect("it reads");
    // Changes, until the connection that is not read is full and its time is over.
    let begun = Instant::now();
    for n in 0_u32.. {
        lattice.links().put(long_link(n)).await.expect("it is put");
        if n % 200 == 199 && Events::open(&page, None).await.status == 200 {
            break;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "the stream that is not read was not ended after {n} changes"
        );
    }
    let rest = closed(&mut stuck).await;
    assert!(
        !rest.ends_with(b"0\r\n\r\n"),
        "it was cut off, and doesn't look whole"
    );
    timeout(PATIENCE, page.shutdown()).await.expect("it ends");
    let count = timeout(PATIENCE, reader)
        .await
        .expect("it ends")
        .expect("no panic");
    assert!(count > 1, "the other one was told of changes");
}

#[tokio::test]
async fn an_end_is_orderly() {
    let page = serve(Ui::new(&lattice().await)).await;
    let address = page.address();
    let mut events = Events::open(&page, None).await;
    assert_eq!(events.next().await.expect("an event").name, "snapshot");
    let mut idle = TcpStream::connect(address).await.expect("it listens");
    let begun = Instant::now();
    timeout(PATIENCE, page.shutdown()).await.expect("it ends");
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "nothing had to be cut off"
    );
    let bye = loop {
        match events.next().await {
            Some(event) if event.name == "bye" => break event,
            Some(_) => {}
            None => panic!("it ended without a word"),
        }
    };
    assert!(bye.data["why"].is_string(), "{bye:?}");
    assert!(events.next().await.is_none());
    closed(&mut idle).await;
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nothing listens"
    );
}

#[tokio::test]
async fn a_page_that_is_dropped_ends_at_once() {
    let page = serve(Ui::new(&lattice().await)).await;
    let (address, mut events) = (page.address(), Events::open(&page, None).await);
    drop(page);
    while events.next().await.is_some() {}
    let begun = Instant::now();
    while TcpStream::connect(address).await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "something listens");
    }
}
