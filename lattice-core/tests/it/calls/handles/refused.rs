//! Handles that nobody takes.

use super::*;
use futures_util::poll;

#[tokio::test(start_paused = true)]
async fn a_handle_in_a_result_whose_caller_is_gone_is_dropped() {
    let pair = Pair::new().await;
    // From here on, the route is known.
    drop(make(&pair.caller).await);
    within(SOON, "it is dropped", || pair.shelf.held() == 0).await;
    let mut call = Box::pin(pass(&pair.caller, "make", Vec::new()));
    while pair.shelf.held() == 0 {
        assert!(poll!(&mut call).is_pending());
        sleep(Duration::from_millis(10)).await;
    }
    // The result has come meanwhile. The deadline of the call is far.
    drop(call);
    let soon = Duration::from_secs(5);
    within(soon, "it is dropped", || pair.shelf.held() == 0).await;
    pair.holds_nothing().await;
}
