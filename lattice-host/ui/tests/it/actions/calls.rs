//! Trying calls: the form, the call, its result or its error, and what failed.

use super::*;

fn greet(arguments: Value) -> Value {
    json!({ "component": "greeter", "interface": GREETER, "function": "greet", "arguments": arguments })
}

#[tokio::test(start_paused = true)]
async fn the_form_describes_every_function_and_names_what_cannot_be_called() {
    let page = Page::new().await;
    let _serving = page.serve().await;
    let form = page.get("/api/call/form?component=greeter").await;
    let functions = form["interfaces"][0]["functions"]
        .as_array()
        .expect("a list")
        .clone();
    let of = |name: &str| {
        let mut found = functions.iter().filter(|function| function["name"] == name);
        found.next().expect("it is there").clone()
    };
    let greet = of("greet");
    assert_eq!(greet["callable"], true);
    assert_eq!(
        greet["params"][0],
        json!({ "name": "name", "type": { "kind": "string" } })
    );
    assert_eq!(greet["params"][1]["type"]["some"]["max"], "255");
    assert_eq!(greet["result"]["kind"], "string");
    let open = of("open");
    assert_eq!(open["callable"], false);
    assert!(
        open["why"]
            .as_str()
            .is_some_and(|why| why.contains("`own<example:hello/greeter/door>`")),
        "{open}"
    );
    page.denied("/api/call/form?component=never", "no-such-component")
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_returns_its_result_or_the_error_of_the_function() {
    let page = Page::new().await;
    let _serving = page.serve().await;
    for arguments in [
        json!({ "name": "Ada" }),
        json!(["Ada"]),
        json!(["Ada", null]),
    ] {
        let answer = page.post("/api/call", greet(arguments)).await;
        assert_eq!(answer["outcome"], "ok");
        assert_eq!(answer["result"], "Hello, Ada!");
        assert_eq!(answer["text"], "\"Hello, Ada!\"");
        assert!(answer["took_ms"].is_u64());
    }
    let find = |id: u64| json!({ "component": "greeter", "interface": GREETER, "function": "find", "arguments": [id] });
    let found = page.post("/api/call", find(7)).await;
    assert_eq!(found["outcome"], "ok");
    assert_eq!(found["result"], json!({ "ok": { "id": 7, "tags": ["a"] } }));
    let none = page.post("/api/call", find(0)).await;
    assert_eq!(none["outcome"], "err");
    assert_eq!(none["result"], json!({ "err": "there is none" }));
    // A compatible version is the same interface, and arguments may be left out if there are none.
    let count = json!({ "component": "counter", "interface": "example:hello/counter@1.0.0", "function": "count" });
    assert_eq!(
        page.post("/api/call", count).await["text"],
        u64::MAX.to_string()
    );
}

#[tokio::test(start_paused = true)]
async fn wrong_arguments_are_named_and_nothing_is_called() {
    let page = Page::new().await;
    let _serving = page.serve().await;
    for (arguments, at) in [
        (json!({}), "arguments"),
        (json!({ "name": 7 }), "arguments.name"),
        (json!({ "name": "Ada", "times": 256 }), "arguments.times"),
        (json!(["Ada", -1]), "arguments[1]"),
        (json!(["Ada", 1, 2]), "arguments"),
        (json!({ "name": "Ada", "tmies": 1 }), "arguments"),
        (json!("Ada"), "arguments"),
    ] {
        let refused = page
            .refused("/api/call", greet(arguments), "bad-arguments")
            .await;
        assert_eq!(refused["details"]["at"], at, "{refused}");
    }
    for (field, value, code) in [
        ("component", "never", "no-such-component"),
        ("component", "Never!", "bad-name"),
        ("interface", "example:hello/none@0.1.0", "no-such-function"),
        ("interface", "hello", "bad-name"),
        ("function", "gret", "no-such-function"),
        ("function", "open", "not-callable"),
    ] {
        let mut call = greet(json!(["Ada"]));
        call[field] = value.into();
        page.refused("/api/call", call, code).await;
    }
    for timeout in [0, 50_001] {
        let mut call = greet(json!(["Ada"]));
        call["timeout_ms"] = timeout.into();
        page.refused("/api/call", call, "bad-field").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_among_the_failures() {
    let page = Page::new().await;
    let serving = page.serve().await;
    let slow = Functions::new().export(
        GREETER,
        "greet",
        "func(name: string)",
        async |_: (String,)| {
            std::future::pending::<()>().await;
        },
    );
    let _slow = page
        .lattice
        .serve("slow", slow.expect("valid"))
        .await
        .expect("served");
    let mut call = greet(json!(["Ada"]));
    call["component"] = "slow".into();
    call["timeout_ms"] = 100.into();
    let answer = page.post("/api/call", call).await;
    assert_eq!(answer["outcome"], "failed");
    assert_eq!(answer["error"]["code"], "deadline-exceeded");
    assert_eq!(answer["error"]["ran"], "maybe");
    assert_eq!(answer["error"]["retryable"], true);

    let failures = page.get("/api/failures?component=slow").await;
    let failures = failures["failures"].as_array().expect("a list");
    let tried = failures.iter().find(|failure| failure["kind"] == "tried");
    let tried = tried.expect("it was tried here");
    assert_eq!(tried["code"], "deadline-exceeded");
    assert_eq!(tried["function"], "greet");
    assert_eq!(
        page.get("/api/failures?component=greeter").await["failures"],
        json!([])
    );
    page.denied("/api/failures?component=No!", "bad-name").await;
    drop(serving);
}

#[tokio::test(start_paused = true)]
async fn calls_that_failed_before_somebody_looked_are_among_the_failures() {
    let page = Page::new().await;
    let greet = async |(name,): (String,)| assert!(name.is_empty(), "on purpose");
    let fails = Functions::new().export(GREETER, "greet", "func(name: string)", greet);
    let _fails = page
        .lattice
        .serve("fails", fails.expect("valid"))
        .await
        .expect("served");
    for _ in 0..2 {
        let operator = page.lattice.operator();
        let failed = operator
            .call::<()>("fails", GREETER, "greet", (SECRET,))
            .await;
        failed.expect_err("it panics");
    }
    let answer = page.get("/api/failures?component=fails").await;
    assert_eq!(answer["unknown"], json!([]));
    let failures = answer["failures"].as_array().expect("a list");
    assert_eq!(failures.len(), 1, "{answer}");
    let failure = &failures[0];
    assert_eq!(failure["kind"], "served");
    assert_eq!(failure["function"], "example:hello/greeter/greet");
    assert_eq!(failure["caller"], "the operator");
    assert_eq!(failure["code"], "callee-failed");
    assert_eq!(failure["times"], 2);
    let message = failure["message"].as_str().expect("a text");
    assert!(message.contains("on purpose"), "{message}");
    assert!(failure["at_ms"].is_u64() && failure["took_ms"].is_u64());
    assert!(failure["host"].is_string());
    assert_eq!(
        page.get("/api/failures").await["failures"],
        answer["failures"]
    );
}
