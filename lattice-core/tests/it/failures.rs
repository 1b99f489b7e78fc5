//! Hosts keep the calls that have failed, and tell whoever holds the key which ones they were.

use crate::support::*;
use bytes::Bytes;
use lattice_core::{Lattice, call::Context, failures::FailedCall};
use std::time::Duration;

const SECRET: &str = "enigma-4711";

/// Returns the hosts that know failed calls of a component, with these calls.
async fn failed(lattice: &Lattice, component: Option<&str>) -> Vec<(String, Vec<FailedCall>)> {
    let answers = lattice.failed_calls(component.map(id)).await;
    let answers = answers.expect("it joins").into_iter();
    answers
        .map(|answer| (answer.host.to_string(), answer.calls.expect("an answer")))
        .filter(|(_, calls)| !calls.is_empty())
        .collect()
}

#[tokio::test]
async fn failed_calls_are_told_by_the_host_of_the_callee_although_nobody_asked_before() {
    let two = two().await;
    let (panics, echo) = (function("panic", "func()"), echo());
    for _ in 0..3 {
        let call = two.call(&panics, Bytes::new(), Context::default());
        call.await.expect_err("it panics");
    }
    let late = Context::new(Duration::from_millis(20));
    let waits = two.call(&wait(), Bytes::new(), late).await;
    waits.expect_err("nothing releases it");
    let said = two.call(&echo, text(SECRET), Context::default()).await;
    said.expect("it echoes");

    let mut all = Vec::new();
    // The caller has given up first. Its host's own deadline ends the call there.
    eventually("both failures are known", async || {
        all = failed(&two.lattice, Some("callee")).await;
        all.first().is_some_and(|(_, calls)| calls.len() == 2)
    })
    .await;
    let [(host, calls)] = &all[..] else {
        panic!("not of one host: {all:?}");
    };
    assert_eq!(host, "b");
    let panicked = &calls[0];
    assert_eq!(panicked.function, "test:calls/api/panic");
    assert_eq!(panicked.caller, "component `caller`");
    assert_eq!((&*panicked.error, panicked.times), ("callee-failed", 3));
    assert!(panicked.message.contains("panicked"), "{panicked:?}");
    let late = &calls[1];
    assert_eq!((&*late.error, late.times), ("deadline-exceeded", 1));
    assert!(late.took_us >= 1_000, "{late:?}");
    assert!(!format!("{calls:?}").contains(SECRET));

    assert_eq!(failed(&two.lattice, None).await, all);
    assert!(failed(&two.lattice, Some("other")).await.is_empty());
}

#[tokio::test]
async fn failed_calls_in_one_process_are_told_too() {
    let lattice = lattice().await;
    let only = host(&lattice, "only").await;
    let (_api, _serving) = serve(&only, "callee").await;
    link(&lattice, "caller", "callee").await;
    let caller = only.caller("caller").expect("valid");
    let panics = function("panic", "func()");
    let call = call(&caller, &panics, Bytes::new(), Context::default());
    call.await.expect_err("it panics");
    eventually("the host is known", async || {
        let failed = failed(&lattice, Some("callee")).await;
        failed.first().is_some_and(|(host, _)| host == "only")
    })
    .await;
}
