//! How many sessions a component may have.

use super::*;
use std::sync::Mutex;

/// Most sessions of one component on one host.
const MOST: usize = 1_024;

/// Passes a stream that nothing is written to, over this link.
async fn pass_stream(
    caller: &Caller,
    link: &str,
    writers: &mut Vec<Writer>,
) -> Result<(), CallError> {
    let (writer, reader) = channel();
    let options = (CallerInstance::Here, Context::new(SOON));
    let link = LinkName::new(link).expect("a name");
    let passed = body(Handle::Stream(reader));
    let call = caller.pass_via(&pass(), &link, passed, options).await;
    writers.push(writer);
    call.map(drop)
}

/// Each stream is one session of its caller and one of its callee, for as long as it is open.
#[tokio::test]
async fn a_component_with_many_streams_leaves_sessions_to_its_neighbours() {
    let kept = Arc::<Mutex<Handles>>::default();
    let keep = || {
        let kept = kept.clone();
        move |request: Request| {
            kept.lock().expect("not poisoned").extend(request.handles);
            async { Ok(nothing()) }
        }
    };
    let hosts = hosts(keep()).await;
    let keep = keep();
    let handler: Handler = Arc::new(move |request| Box::pin(keep(request)));
    let _serving = serve_as(&hosts.b, "neighbour", Passing(handler)).await;
    link(&hosts.here, "other", "callee").await;
    for source in ["caller", "other"] {
        let to_neighbour = grant(source, "neighbour").named("neighbour");
        let links = hosts.here.links();
        let put = links.put(to_neighbour.expect("a name")).await;
        put.expect("it is put");
    }
    let (greedy, other) = (&hosts.caller, hosts.a.caller("other").expect("valid"));
    let mut writers = Vec::new();
    for _ in 0..MOST - 24 {
        let passed = pass_stream(greedy, "default", &mut writers).await;
        passed.expect("it has room");
    }
    for _ in 0..24 {
        let passed = pass_stream(&other, "default", &mut writers).await;
        passed.expect("its callee has room");
    }
    // The callee has all of its sessions, and neither its callers nor its neighbour.
    let refused = pass_stream(&other, "default", &mut writers).await;
    let refused = refused.expect_err("the callee has no room");
    assert!(
        matches!(&refused, CallError::Overloaded { component } if component.as_str() == "callee"),
        "{refused}"
    );
    for _ in 0..24 {
        let passed = pass_stream(greedy, "neighbour", &mut writers).await;
        passed.expect("the neighbour has room");
    }
    let refused = pass_stream(greedy, "neighbour", &mut writers).await;
    let refused = refused.expect_err("the caller has no room");
    let CallError::TooManySessions { component, limit } = &refused else {
        panic!("{refused}")
    };
    assert_eq!((component.as_str(), *limit), ("caller", MOST as u64));
    assert!(refused.to_string().contains("end streams"), "{refused}");
    let passed = pass_stream(&other, "neighbour", &mut writers).await;
    passed.expect("another caller has room");
    assert_eq!(kept.lock().expect("not poisoned").len(), MOST + 25);

    // The places are free again when the streams are over.
    let over = std::mem::take(&mut *kept.lock().expect("not poisoned"));
    drop(over);
    drop(writers);
    let mut writers = Vec::new();
    for link in ["default", "neighbour"] {
        eventually("there is room again", async || {
            let passed = pass_stream(greedy, link, &mut writers).await;
            passed.is_ok()
        })
        .await;
    }
}
