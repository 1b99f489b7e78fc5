//! Log lines as they come.

use super::*;
use lattice_core::{logs::LogLevel, node::NodeOptions};

#[tokio::test(start_paused = true)]
async fn lines_of_a_component_arrive_and_those_of_others_and_lower_levels_do_not() {
    let page = Page::new().await;
    let options = NodeOptions::default().host("one").expect("an id");
    let node = page.lattice.node(options).await.expect("joins");
    let say = |component: &str, level, text: &str| node.log_sink().say(&id(component), level, text);
    say("greeter", LogLevel::Warn, "first");
    say("other", LogLevel::Error, "not this one");
    say("greeter", LogLevel::Info, "too low");
    say("greeter", LogLevel::Error, "second\nline");
    let path = "/api/logs?component=greeter&level=warn&recent=10";
    let response = page.ask(Method::GET, path, Body::empty()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    let mut body = response.into_body();
    let read = event(&mut body, "second").await;
    assert!(read.contains("event: line"), "{read}");
    assert!(
        read.contains("\"host\":\"one\"") && read.contains("first"),
        "{read}"
    );
    assert!(
        !read.contains("not this one") && !read.contains("too low"),
        "{read}"
    );
    say("greeter", LogLevel::Warn, "third");
    event(&mut body, "third").await;
    // Every stream ends with the service.
    page.service.stop();
    event(&mut body, "event: end").await;
}

#[tokio::test(start_paused = true)]
async fn streams_of_log_lines_are_bounded() {
    let page = Page::new().await;
    let mut open = Vec::new();
    for _ in 0..16 {
        let response = page.ask(Method::GET, "/api/logs", Body::empty()).await;
        assert_eq!(response.status(), 200);
        open.push(response);
    }
    page.denied("/api/logs", "busy").await;
    open.pop();
    // The task of that stream ends soon after it.
    let again = async {
        let status = async || {
            let response = page.ask(Method::GET, "/api/logs", Body::empty());
            response.await.status()
        };
        while status().await != 200 {
            tokio::task::yield_now().await;
        }
    };
    let again = tokio::time::timeout(Duration::from_secs(10), again);
    again.await.expect("there is room for another one");
    page.denied("/api/logs?recent=1001", "bad-field").await;
    page.denied("/api/logs?recent=-1", "bad-field").await;
    page.denied("/api/logs?level=loud", "bad-field").await;
    page.denied("/api/logs?component=No!", "bad-name").await;
}
