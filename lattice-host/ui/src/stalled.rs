//! Streams whose client has to take what is sent to it, whichever server sends them.
//!
//! A server asks for the next piece of a body when it has room for it. It doesn't while its client
//! reads nothing, and then nothing in the body itself runs. So a task takes the pieces, and ends
//! when one of them isn't asked for in time: what the stream holds is free then, although the
//! connection may stay open.

use axum::{
    body::{Body, BodyDataStream},
    response::Response,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use std::time::Duration;
use tokio::{
    sync::mpsc::{self, error::SendTimeoutError},
    task::JoinError,
};
use tokio_util::task::AbortOnDropHandle;

/// Why a body ended early. The server cuts off its response.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error("the client takes nothing of what is sent to it")]
    Stalled,
    #[error(transparent)]
    Broken(#[from] axum::Error),
    #[error("the task of the stream has ended")]
    Lost(#[from] JoinError),
}

/// Returns the response with a body that breaks if a piece of it isn't taken within `stall`.
pub(crate) fn limited(response: Response, stall: Duration) -> Response {
    let (parts, body) = response.into_parts();
    // The task holds one more piece, which waits to be taken.
    let (sender, pieces) = mpsc::channel(1);
    let task = tokio::spawn(offer(body.into_data_stream(), sender, stall));
    let state = (pieces, Some(AbortOnDropHandle::new(task)));
    let body = stream::unfold(state, async |(mut pieces, task)| {
        if let Some(piece) = pieces.recv().await {
            return Some((Ok(piece), (pieces, task)));
        }
        let ended = task?.await.map_err(Stopped::from).flatten();
        ended.err().map(|stopped| (Err(stopped), (pieces, None)))
    });
    Response::from_parts(parts, Body::from_stream(body))
}

/// Most bytes of a piece for which a client has the whole time.
const PIECE: usize = 32 * 1024;

/// Offers the pieces of a body, one after the other, and large ones in parts: a client that is slow
/// and reads all the time has the time for each of them.
async fn offer(
    mut body: BodyDataStream,
    sender: mpsc::Sender<Bytes>,
    stall: Duration,
) -> Result<(), Stopped> {
    while let Some(piece) = body.next().await {
        let mut piece = piece?;
        while !piece.is_empty() {
            let part = piece.split_to(piece.len().min(PIECE));
            match sender.send_timeout(part, stall).await {
                Ok(()) => {}
                Err(SendTimeoutError::Timeout(_)) => return Err(Stopped::Stalled),
                Err(SendTimeoutError::Closed(_)) => return Ok(()),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use std::convert::Infallible;
    use tokio::time::sleep;

    const STALL: Duration = Duration::from_secs(30);
    const ALMOST: Duration = Duration::from_secs(29);

    fn numbers() -> Body {
        let pieces = stream::iter(0..5_u8).map(|n| Ok::<_, Infallible>(vec![n]));
        limited(Response::new(Body::from_stream(pieces)), STALL).into_body()
    }

    /// Reads until the end, with a pause before each piece.
    async fn read(mut body: Body, pause: Duration) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        loop {
            sleep(pause).await;
            match body.frame().await {
                None => return (all, true),
                Some(Err(_)) => return (all, false),
                Some(Ok(frame)) => all.extend(frame.into_data().expect("data")),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_given_time_for_each_piece() {
        assert_eq!(read(numbers(), ALMOST).await, (vec![0, 1, 2, 3, 4], true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_of_one_large_piece_is_given_time_for_its_parts() {
        let large = vec![7; PIECE * 5 + 1];
        let pieces = stream::iter([large.clone()]).map(Ok::<_, Infallible>);
        let body = limited(Response::new(Body::from_stream(pieces)), STALL).into_body();
        assert_eq!(read(body, ALMOST).await, (large, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_not_read_breaks() {
        let (read, is_whole) = read(numbers(), STALL * 2).await;
        assert!(!is_whole, "{read:?}");
        assert!(read.len() < 5, "{read:?}");
    }
}
