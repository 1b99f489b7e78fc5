//! Opening a bucket: problems of a server or a bucket, and the resulting errors.

use super::{
    key,
    nats::{connect, lattice, open, raw_client},
    put,
    server::NatsConfig,
    soon,
};
use async_nats::jetstream::{kv, stream};
use lattice_core::{
    nats::{NatsOptions, NatsStore, NatsStoreOptions, OpenError},
    quantity::ByteSize,
    store::{CommitError, Expect, Op, Store, StoreError},
};
use std::{num::NonZeroUsize, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

async fn try_open(url: &str) -> Result<NatsStore, OpenError> {
    let options = NatsStoreOptions::new(&lattice("prod"));
    let connection = connect(url).await;
    soon("opening", NatsStore::open(&connection, options)).await
}

#[tokio::test]
async fn without_jetstream() {
    let server = NatsConfig::default().start().await;
    let refused = try_open(&server.url()).await.expect_err("no JetStream");
    assert!(matches!(refused, OpenError::JetStreamOff), "{refused:?}");
    assert!(refused.to_string().contains("start it with `-js`"));
    let store_error = StoreError::from(refused);
    assert!(matches!(store_error, StoreError::Unsupported(_)));
}

#[tokio::test]
async fn in_an_account_without_jetstream() {
    let accounts = "accounts {
        plain { users: [{user: p, password: p}] }
        rich { users: [{user: r, password: r}], jetstream: enabled }
    }";
    let server = NatsConfig::default()
        .jetstream()
        .text(accounts)
        .start()
        .await;
    let as_user = |user: &'static str| NatsOptions::new(server.url()).user(user, user);
    let options = || NatsStoreOptions::new(&lattice("prod"));
    let rich = as_user("r").connect().await.expect("a server");
    NatsStore::open(&rich, options()).await.expect("a bucket");
    let plain = as_user("p").connect().await.expect("a server");
    let refused = NatsStore::open(&plain, options()).await;
    let refused = refused.expect_err("no JetStream for it");
    assert!(
        matches!(refused, OpenError::AccountWithoutJetStream),
        "{refused:?}"
    );
}

#[tokio::test]
async fn in_an_unknown_domain() {
    let server = NatsConfig::default().jetstream().start().await;
    for (domain, wanted) in [("nowhere", "domain `nowhere`"), ("no where", "`no where`")] {
        let options = NatsOptions::new(server.url()).jetstream_domain(domain);
        let connection = options.connect().await.expect("a server");
        let options = NatsStoreOptions::new(&lattice("prod"));
        let refused = NatsStore::open(&connection, options).await;
        let refused = refused.expect_err("no such domain");
        assert!(refused.to_string().contains(wanted), "{refused}");
    }
}

#[tokio::test]
async fn a_bucket_created_by_a_tool() {
    let server = NatsConfig::default().jetstream().start().await;
    let (_, context) = raw_client(&server.url()).await;
    let bucket = kv::Config {
        bucket: "LATTICE_prod".to_owned(),
        ..kv::Config::default()
    };
    context.create_key_value(bucket).await.expect("a bucket");
    let refused = try_open(&server.url()).await.expect_err("wrong settings");
    let OpenError::WrongConfig { stream, problems } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(stream, "KV_LATTICE_prod");
    let problems = problems.join("; ");
    for word in ["allow_atomic", "allow_msg_ttl", "subject_delete_marker_ttl"] {
        assert!(problems.contains(word), "{word}: {problems}");
    }
    assert!(!problems.contains("allow_direct"), "{problems}");
}

#[tokio::test]
async fn a_bucket_enlarged_by_an_operator_is_accepted() {
    let server = NatsConfig::default().jetstream().start().await;
    drop(open(&server.url(), "prod").await);
    let (_, context) = raw_client(&server.url()).await;
    let there = context.get_stream("KV_LATTICE_prod").await.expect("there");
    let larger = stream::Config {
        max_bytes: 1 << 30,
        description: Some("ours".to_owned()),
        ..there.cached_info().config.clone()
    };
    context.update_stream(larger).await.expect("updated");
    try_open(&server.url()).await.expect("still good");
}

#[tokio::test]
async fn more_replicas_than_servers() {
    let server = NatsConfig::default().jetstream().start().await;
    let options = NatsStoreOptions::new(&lattice("prod"));
    let options = options.replicas(NonZeroUsize::new(3).expect("not zero"));
    let refused = NatsStore::open(&connect(&server.url()).await, options).await;
    let refused = refused.expect_err("one server");
    assert!(matches!(refused, OpenError::Refused { .. }), "{refused:?}");
    assert!(refused.to_string().contains("replicas"), "{refused}");
}

#[tokio::test]
async fn without_permissions() {
    let users = "authorization { users: [
        {user: none, password: p, permissions: {publish: [\"other\"], subscribe: [\"_INBOX.>\"]}}
        {user: reader, password: p, permissions: {publish: {deny: [\"$KV.>\"]}}}
        {user: all, password: p}
    ]}";
    let server = NatsConfig::default().jetstream().text(users).start().await;
    let open = async |user: &str| {
        let options = NatsOptions::new(server.url()).user(user, "p");
        let connection = options.connect().await.expect("a server");
        NatsStore::open(&connection, NatsStoreOptions::new(&lattice("prod"))).await
    };
    let refused = soon("opening", open("none"))
        .await
        .expect_err("not allowed");
    assert!(matches!(refused, OpenError::Refused { .. }), "{refused:?}");
    assert!(refused.to_string().contains("$JS.API"), "{refused}");

    let writer = open("all").await.expect("allowed");
    writer
        .commit(put("a", "1", Expect::Any))
        .await
        .expect("allowed");
    let reader = open("reader").await.expect("allowed");
    assert!(reader.read(key("a")).await.expect("allowed").is_some());
    let mut two = put("a", "2", Expect::Any);
    two.extend(put("b", "2", Expect::Any));
    for ops in [put("a", "2", Expect::Any), two] {
        let refused = soon("a commit", reader.commit(ops)).await;
        assert!(
            matches!(&refused, Err(CommitError::Store(StoreError::Forbidden(why))) if why.contains("$KV.LATTICE_prod")),
            "{refused:?}"
        );
    }
    assert_eq!(super::value(&writer, "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn without_its_inbox() {
    let users = "authorization { users: [
        {user: own, password: p, permissions: {publish: [\">\"], subscribe: [\"lattice.>\", \"_OWN.>\"]}}
    ]}";
    let server = NatsConfig::default().jetstream().text(users).start().await;
    let options = NatsOptions::new(server.url()).user("own", "p");
    let connection = options.connect().await.expect("a server");
    let opening = NatsStore::open(&connection, NatsStoreOptions::new(&lattice("prod")));
    let refused = soon("opening", opening).await.expect_err("no replies");
    assert!(matches!(refused, OpenError::Refused { .. }), "{refused:?}");
    assert!(refused.to_string().contains("inbox prefix"), "{refused}");
    let options = options.inbox_prefix("_OWN");
    let connection = options.connect().await.expect("a server");
    let opened = NatsStore::open(&connection, NatsStoreOptions::new(&lattice("prod"))).await;
    opened.expect("replies arrive");
}

#[tokio::test]
async fn an_account_that_requires_a_size() {
    let accounts = "accounts {
        sized { users: [{user: s, password: p}], jetstream: { max_bytes_required: true, max_file: 100M } }
    }";
    let server = NatsConfig::default()
        .jetstream()
        .text(accounts)
        .start()
        .await;
    let options = NatsOptions::new(server.url()).user("s", "p");
    let connection = options.connect().await.expect("a server");
    let bucket = NatsStoreOptions::new(&lattice("prod"));
    let refused = NatsStore::open(&connection, bucket.clone()).await;
    let refused = refused.expect_err("no size");
    assert!(matches!(refused, OpenError::NeedsSize), "{refused:?}");
    let large = bucket.clone().max_bytes(ByteSize::gib(1));
    let refused = NatsStore::open(&connection, large).await;
    let refused = refused.expect_err("more than there is");
    assert!(matches!(refused, OpenError::Limit { .. }), "{refused:?}");
    let opened = NatsStore::open(&connection, bucket.max_bytes(ByteSize::mib(8))).await;
    opened.expect("a size");
}

#[tokio::test]
async fn a_full_store_and_too_many_readers_are_limits_and_not_outages() {
    let accounts = "accounts {
        small { users: [{user: s, password: p}], jetstream: { max_consumers: 1 } }
    }";
    let server = NatsConfig::default()
        .jetstream()
        .text(accounts)
        .start()
        .await;
    let options = NatsOptions::new(server.url()).user("s", "p");
    let connection = options.connect().await.expect("a server");
    let bucket = NatsStoreOptions::new(&lattice("prod")).max_bytes(ByteSize::kib(64));
    let store = NatsStore::open(&connection, bucket).await.expect("opens");
    let large = |name| vec![Op::put(key(name), vec![b'x'; 40 * 1024], Expect::Any)];
    store.commit(large("a")).await.expect("fits");
    let mut two = large("b");
    two.extend(large("c"));
    for ops in [large("b"), two] {
        let refused = soon("a commit", store.commit(ops)).await;
        assert!(
            matches!(&refused, Err(CommitError::Store(StoreError::Limit(why))) if why.contains("--max-bytes")),
            "{refused:?}"
        );
    }
    assert!(store.read(key("a")).await.expect("in reach").is_some());
    let _first = store.watch().await.expect("may be read once");
    let refused = soon("a watch", store.watch()).await;
    assert!(
        matches!(&refused, Err(StoreError::Limit(why)) if why.contains("max_consumers")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_server_from_before_atomic_commits() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("nats://{}", listener.local_addr().expect("bound"));
    let old = tokio::spawn(imitation(listener, level_one));
    let refused = try_open(&url).await.expect_err("too old");
    assert!(
        matches!(&refused, OpenError::ServerTooOld { found, needed: "2.12" } if found == "2.11.9"),
        "{refused:?}"
    );
    old.abort();
}

/// Some servers don't even import the account request into an account without JetStream.
#[tokio::test]
async fn in_an_account_where_no_jetstream_responds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("nats://{}", listener.local_addr().expect("bound"));
    let server = tokio::spawn(imitation(listener, no_responders));
    let refused = try_open(&url).await.expect_err("no responders");
    assert!(
        matches!(refused, OpenError::AccountWithoutJetStream),
        "{refused:?}"
    );
    server.abort();
}

/// Returns the message with level 1 of the API, for a reply subject and a subscription.
fn level_one(reply: &str, sid: &str) -> String {
    let account = r#"{"type":"io.nats.jetstream.api.v1.account_info_response","memory":0,"storage":0,"reserved_memory":0,"reserved_storage":0,"streams":0,"consumers":0,"limits":{"max_memory":-1,"max_storage":-1,"max_streams":-1,"max_consumers":-1,"max_ack_pending":-1,"memory_max_stream_bytes":-1,"storage_max_stream_bytes":-1,"max_bytes_required":false},"api":{"level":1,"total":1,"errors":0}}"#;
    format!("MSG {reply} {sid} {}\r\n{account}\r\n", account.len())
}

/// Returns the notice that no one received the request.
fn no_responders(reply: &str, sid: &str) -> String {
    format!("HMSG {reply} {sid} 16 16\r\nNATS/1.0 503\r\n\r\n\r\n")
}

/// Imitates enough of nats-server 2.11 with JetStream for the account request, which it answers
/// with what `answer` returns for a reply subject and a subscription.
async fn imitation(listener: TcpListener, answer: fn(&str, &str) -> String) {
    let info = r#"INFO {"server_id":"OLD","server_name":"old","version":"2.11.9","proto":1,"headers":true,"jetstream":true,"max_payload":1048576,"client_id":1}"#;
    let (socket, _) = listener.accept().await.expect("a client");
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read);
    let mut inboxes: Vec<(String, String)> = Vec::new();
    write
        .write_all(format!("{info}\r\n").as_bytes())
        .await
        .expect("a client");
    let mut line = String::new();
    while let Ok(1..) = lines.read_line(&mut line).await {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        line.clear();
        match words.first().map(String::as_str) {
            Some("PING") => write.write_all(b"PONG\r\n").await.expect("a client"),
            Some("SUB") => inboxes.push((
                words[1].trim_end_matches('*').to_owned(),
                words.last().expect("a number").clone(),
            )),
            Some("PUB" | "HPUB") => {
                let size: usize = words.last().and_then(|n| n.parse().ok()).expect("a size");
                let mut body = vec![0; size + 2];
                lines.read_exact(&mut body).await.expect("a body");
                if words[1] != "$JS.API.INFO" {
                    continue;
                }
                let reply = &words[2];
                let (_, sid) = inboxes
                    .iter()
                    .find(|(prefix, _)| reply.starts_with(prefix))
                    .expect("an inbox");
                let answer = answer(reply, sid);
                write.write_all(answer.as_bytes()).await.expect("a client");
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_closed_connection_ends_its_stores() {
    let server = NatsConfig::default().jetstream().start().await;
    let connection = connect(&server.url()).await;
    let options = NatsStoreOptions::new(&lattice("prod"));
    let store = NatsStore::open(&connection, options).await.expect("opens");
    let mut watch = store.watch().await.expect("in reach");
    super::snapshot(&mut watch).await;
    connection.close().await;
    assert!(matches!(
        soon("a read", store.read(key("a"))).await,
        Err(StoreError::Closed)
    ));
    let end = async { while futures_util::StreamExt::next(&mut watch).await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), end)
        .await
        .expect("the watch ends");
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_named_with_its_server() {
    let config = NatsConfig::default().jetstream().text("server_name: hub-1");
    let server = config.start().await;
    let connection = connect(&server.url()).await;
    let options = NatsStoreOptions::new(&lattice("prod")).timeout(Duration::from_millis(500));
    server.signal("STOP");
    let opened = soon("opening", NatsStore::open(&connection, options)).await;
    server.signal("CONT");
    let error = opened.expect_err("it does not answer");
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
    let text = error.to_string();
    for part in ["stream `KV_LATTICE_prod`", "NATS server `hub-1`"] {
        assert!(text.contains(part), "{text}");
    }
}
