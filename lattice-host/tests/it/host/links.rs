//! Links of an actor: choosing among several, and deletion.

use super::{
    flow::{Flow, STORE, borrow, next},
    support::*,
};
use bytes::Bytes;
use lattice_core::{
    Lattice,
    link::Link,
    serve::Answer,
    stream::{Handle, Handles},
    value::from_bytes,
};
use lattice_host::{Host, Instances};
use std::{num::NonZeroUsize, sync::Arc};
use tokio::sync::Barrier;

/// What `giver` exports to choose links with, and what it calls over them.
const CHOICE: &str = "lattice-test:flow/choice@0.1.0";
const NAMING: &str = "lattice-test:flow/naming@0.1.0";

/// A provider that returns its own name.
fn named(name: &'static str) -> Native {
    Native::peer(move |_| Answer::Ready(answer(name.as_bytes())))
}

/// A provider that returns its own name when as many calls wait as `together` takes.
fn naming(name: &'static str, together: &Arc<Barrier>) -> Native {
    let together = together.clone();
    let signature = "async func() -> result<string, string>";
    Native::default().function(NAMING, "name", signature, move |_| {
        let together = together.clone();
        Answer::Later(Box::pin(async move {
            together.wait().await;
            Ok(encoded(&Ok::<_, String>(name)))
        }))
    })
}

/// Links the actor to `first`, and under the name `spare` to `second`.
async fn link_both(lattice: &Lattice, source: &str, interface: &str) {
    link(lattice, source, interface, "first").await;
    let second = Link::new(source, interface, "second")
        .and_then(|link| link.named("spare"))
        .expect("a link");
    lattice.links().put(second).await.expect("the link is put");
}

/// Returns a lattice with `giver`, linked to two providers whose calls wait for one another.
async fn choosing(together: usize) -> Flow {
    let lattice = lattice().await;
    let together = Arc::new(Barrier::new(together));
    let host = Host::builder(&lattice)
        .actor("giver", actor("giver"))
        .provider("first", naming("first", &together).serve())
        .provider("second", naming("second", &together).serve());
    let host = started(host).await;
    link_both(&lattice, "giver", NAMING).await;
    Flow::on(lattice, host).await
}

#[tokio::test]
async fn an_actor_that_passes_handles_chooses_links_for_each_of_its_calls() {
    let flow = choosing(2).await;
    let bucket = flow.open("b").await;
    // All of these calls are in the instance of the bucket.
    let name_over = async |link: Option<&str>| {
        let lent = vec![borrow(bucket.resource())];
        let arguments = encoded(&(0_u8, link));
        let named = flow.give((CHOICE, "name-over"), arguments, lent).await;
        let named = named.expect("answered");
        from_bytes::<Result<String, String>>(&named.bytes).expect("a result")
    };
    let (chosen, other) = tokio::join!(name_over(Some("spare")), name_over(None));
    assert_eq!(chosen.as_deref(), Ok("second"));
    assert_eq!(other.as_deref(), Ok("first"), "the choice of another call");
    // The choice ends with the call.
    let (one, two) = tokio::join!(name_over(None), name_over(None));
    assert_eq!((one.as_deref(), two.as_deref()), (Ok("first"), Ok("first")));
    let refused = name_over(Some("none")).await.expect_err("no such link");
    assert!(refused.contains("`none`"), "{refused}");
}

#[tokio::test]
async fn a_call_keeps_its_link_for_what_goes_on_when_it_has_ended() {
    let flow = choosing(1).await;
    let arguments = encoded(&("spare",));
    let later = flow.give((CHOICE, "name-later"), arguments, Handles::new());
    let mut later = later.await.expect("a future");
    let Some(Handle::Future(mut name)) = later.handles.pop() else {
        panic!("not a future: {later:?}")
    };
    name.ask(1);
    let name = next(&mut name).await.expect("it is written");
    let name = name.expect("a value").bytes;
    let name: Result<String, String> = from_bytes(&name).expect("a result");
    assert_eq!(name.as_deref(), Ok("second"));
}

#[tokio::test]
async fn a_destructor_chooses_no_link_and_is_told_why() {
    let flow = choosing(1).await;
    let bucket = flow.open("chooser").await;
    let arguments = encoded(&(0_u8, 2_u32));
    let split = flow.give((STORE, "split"), arguments, vec![Handle::Own(bucket)]);
    let mut split = split.await.expect("two buckets");
    let Some(Handle::Own(stays)) = split.handles.pop() else {
        panic!("not a resource: {split:?}")
    };
    drop(split);
    let lent = vec![borrow(stays.resource())];
    let refused = flow.give((CHOICE, "refused"), encoded(&(0_u8,)), lent);
    let refused = refused.await.expect("answered").bytes;
    let refused: Option<String> = from_bytes(&refused).expect("a reason");
    let refused = refused.expect("it is refused");
    assert!(
        refused.contains("choose the link in the function that is called"),
        "{refused}"
    );
}

#[tokio::test]
async fn calls_that_overlap_in_a_warm_instance_choose_links_for_themselves() {
    let lattice = lattice().await;
    let together = Arc::new(Barrier::new(2));
    let named = |name: &'static str| {
        let together = together.clone();
        Native::peer(move |_| {
            let together = together.clone();
            Answer::Later(Box::pin(async move {
                together.wait().await;
                answer(name.as_bytes())
            }))
        })
    };
    let instances = Instances::Warm {
        most: NonZeroUsize::MIN,
        idle: PATIENCE,
    };
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief").instances(instances))
        .provider("first", named("first").serve())
        .provider("second", named("second").serve());
    let _host = started(host).await;
    link_both(&lattice, "mischief", PEER).await;
    let name_over = async |link: Option<&'static str>| {
        let arguments = (link, Bytes::new());
        let named = act::<Result<Bytes, String>>(&lattice, "use-link-async", arguments);
        named.await.expect("answered")
    };
    let (chosen, other) = tokio::join!(name_over(Some("spare")), name_over(None));
    assert_eq!(chosen, Ok(Bytes::from("second")));
    assert_eq!(
        other,
        Ok(Bytes::from("first")),
        "the choice of another call"
    );
}

#[tokio::test]
async fn an_actor_chooses_among_its_links_for_one_call() {
    let lattice = lattice().await;
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief").instances(Instances::warm()))
        .provider("first", named("first").serve())
        .provider("second", named("second").serve());
    let _host = started(host).await;
    link_both(&lattice, "mischief", PEER).await;
    let use_link = |interface: &'static str, name: &'static str| {
        act::<Result<Bytes, String>>(&lattice, "use-link", (interface, name, Bytes::new()))
    };
    assert_eq!(
        use_link(PEER, "spare").await.expect("answered"),
        Ok(Bytes::from("second"))
    );
    assert_eq!(
        use_link(PEER, "default").await.expect("answered"),
        Ok(Bytes::from("first"))
    );
    // The choice ends with the call, also in a warm instance.
    assert_eq!(
        use_link(PEER, "spare").await.expect("answered"),
        Ok(Bytes::from("second"))
    );
    let back: Result<Bytes, RpcError> = act(&lattice, "call-out", (Bytes::new(),))
        .await
        .expect("answered");
    assert_eq!(back, Ok(Bytes::from("first")));
    let refused = use_link(PEER, "none")
        .await
        .expect("answered")
        .expect_err("no such link");
    assert!(refused.contains("`none`"), "{refused}");
    let refused = use_link("acme:orders/store@1.0.0", "spare")
        .await
        .expect("answered")
        .expect_err("not imported");
    assert!(refused.contains("does not import"), "{refused}");
    let refused = use_link("nonsense", "spare")
        .await
        .expect("answered")
        .expect_err("not an interface");
    assert!(refused.contains("namespace:package/interface"), "{refused}");
}

#[tokio::test]
async fn deleting_a_link_during_calls_ends_only_its_grant() {
    let lattice = lattice().await;
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief"))
        .provider("peer", named("peer").serve());
    let _host = started(host).await;
    link(&lattice, "mischief", PEER, "peer").await;
    let calls = {
        let lattice = lattice.clone();
        tokio::spawn(async move {
            let mut succeeded = 0;
            loop {
                match act::<Result<Bytes, RpcError>>(&lattice, "call-out", (Bytes::new(),))
                    .await
                    .expect("a value")
                {
                    Ok(_) => succeeded += 1,
                    Err(error) => return (succeeded, error),
                }
            }
        })
    };
    let key = Link::new("mischief", PEER, "peer").expect("a link").key();
    tokio::time::timeout(PATIENCE, async {
        let _: Result<Bytes, RpcError> = act(&lattice, "call-out", (Bytes::new(),))
            .await
            .expect("a value");
        lattice.links().delete(&key).await.expect("it is deleted");
    })
    .await
    .expect("in time");
    let (succeeded, (kind, ran, _, message)) = calls.await.expect("no panic");
    assert!(succeeded > 0);
    assert_eq!((kind, ran), (0, 0), "{message}");
}
