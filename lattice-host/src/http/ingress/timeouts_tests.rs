use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

const TIMES: ConnectionTimes = ConnectionTimes {
    header: Duration::from_secs(5),
    idle: Duration::from_secs(60),
    stalled: Duration::from_secs(30),
};

impl Reset for DuplexStream {
    fn reset(&self) {}
}

fn connection() -> (DuplexStream, TimedIo<DuplexStream>, Arc<Activity>) {
    let (client, server) = duplex(64);
    let activity = Activity::new();
    (
        client,
        TimedIo::new(server, TIMES, activity.clone()),
        activity,
    )
}

/// Reads until that fails, and returns after how long.
async fn read_fails(io: &mut TimedIo<DuplexStream>) -> Duration {
    let begun = Instant::now();
    let mut buffer = [0; 64];
    loop {
        match io.read(&mut buffer).await {
            Ok(0) => panic!("the client is still there"),
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                return begun.elapsed();
            }
        }
    }
}

fn is_about(passed: Duration, expected: Duration) -> bool {
    passed >= expected && passed < expected + Duration::from_millis(100)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_head_is_cut_off() {
    let (_client, mut io, _) = connection();
    assert!(is_about(read_fails(&mut io).await, TIMES.header));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_trickles_its_first_head_is_cut_off() {
    let (mut client, mut io, _) = connection();
    let trickle = tokio::spawn(async move {
        while client.write_all(b"P").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    assert!(is_about(read_fails(&mut io).await, TIMES.header));
    trickle.abort();
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_has_longer_until_it_begins_a_head() {
    let (mut client, mut io, activity) = connection();
    drop(activity.begin(false));
    assert!(is_about(read_fails(&mut io).await, TIMES.idle));
    drop(activity.begin(false));
    client.write_all(b"G").await.expect("there is room");
    assert!(is_about(read_fails(&mut io).await, TIMES.header));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_runs_is_not_idle() {
    let (_client, mut io, activity) = connection();
    let running = activity.begin(false);
    let serves = tokio::spawn(async move {
        tokio::time::sleep(TIMES.idle * 3).await;
        drop(running);
    });
    let passed = read_fails(&mut io).await;
    assert!(
        passed >= TIMES.idle * 4 && passed <= TIMES.idle * 5,
        "{passed:?}"
    );
    serves.await.expect("it doesn't panic");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_of_http2_is_told_to_end_first() {
    let (mut client, mut io, activity) = connection();
    drop(activity.begin(true));
    let pings = tokio::spawn(async move {
        while client.write_all(b"ping").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
    });
    let begun = Instant::now();
    let told = async {
        activity.is_idle.notified().await;
        begun.elapsed()
    };
    let (told, cut) = tokio::join!(told, read_fails(&mut io));
    assert!(is_about(told, TIMES.idle), "{told:?}");
    assert!(is_about(cut, TIMES.idle * 2), "{cut:?}");
    pings.abort();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_cut_off() {
    let (mut client, mut io, activity) = connection();
    let _running = activity.begin(false);
    io.write_all(&[1; 64]).await.expect("there is room");
    let begun = Instant::now();
    let late = io.write_all(&[2; 64]).await.expect_err("there is none");
    assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    assert!(is_about(begun.elapsed(), TIMES.stalled));
    let mut buffer = [0; 64];
    client.read_exact(&mut buffer).await.expect("what was sent");
    io.write_all(&[3; 64]).await.expect("there is room again");
}
