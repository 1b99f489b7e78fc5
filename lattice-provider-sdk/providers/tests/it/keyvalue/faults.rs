//! Servers that are down, slow, full, strangers, or that refuse the provider.

use super::{
    Kind, Stage,
    draft::wasi::keyvalue::store::{BucketClient, Error, INTERFACE, StoreClient},
    draft2::wasi::keyvalue::store::Error as Error2,
    stage::PATIENCE,
    suite::{ok, open, open2},
};
use crate::{
    nats::{NatsConfig as ServerConfig, NatsServer},
    servers,
};
use lattice_provider_sdk::{
    Caller, IntoService, Lattice, Link, Provider as _, Secret, ServeHandle, serve,
};
use lattice_providers::{
    keyvalue::{NatsConfig, NatsKeyValue, RedisConfig, RedisKeyValue},
    nats::NatsLogin,
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::{Instant, timeout},
};

/// A provider on a lattice of its own, and an open bucket.
struct Served {
    store: StoreClient<Caller>,
    bucket: BucketClient,
    _serving: ServeHandle,
    _lattice: Lattice,
}

impl Served {
    async fn new(provider: impl IntoService) -> Self {
        let lattice = Lattice::in_memory("test").await.expect("a lattice");
        let serving = serve(&lattice, "kv", provider).await;
        let serving = serving.expect("it starts, whatever the server does");
        let link = Link::new("app", INTERFACE.name(), "kv").expect("valid");
        lattice.links().put(link).await.expect("it is put");
        let store = StoreClient::new(lattice.caller("app").expect("an id"));
        let bucket = ok(store.open("a").await);
        Self {
            store,
            bucket,
            _serving: serving,
            _lattice: lattice,
        }
    }

    async fn redis(config: RedisConfig) -> Self {
        Self::new(RedisKeyValue::new(config)).await
    }

    async fn nats(config: NatsConfig) -> Self {
        Self::new(NatsKeyValue::new(config)).await
    }

    /// Returns the text of the error of a write.
    async fn error(&self) -> String {
        let set = self.bucket.set("key", b"value").await.expect("called");
        match set {
            Err(Error::Other(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until a write succeeds, which it does by itself once the server is well.
    async fn recovers(&self) {
        let well = async {
            while !matches!(self.bucket.set("key", b"value").await, Ok(Ok(()))) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, well).await.expect("it recovers");
        let value = ok(self.bucket.get("key").timeout(PATIENCE).await);
        assert_eq!(value.as_deref(), Some(&b"value"[..]));
    }
}

/// A server that answers everything with bytes of another protocol.
async fn stranger() -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 1_024];
                while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n\xff\xfe";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, serving)
}

#[tokio::test]
async fn a_redis_that_is_down_is_told_and_waited_for() {
    let Some(mut server) = servers::redis(&[]).await else {
        return;
    };
    server.stop();
    let config = RedisConfig::new(server.url());
    let provider = RedisKeyValue::new(config.clone());
    let served = Served::redis(config).await;
    let text = served.error().await;
    assert!(text.contains("keyvalue-redis can't be used now"), "{text}");
    let health = provider.health().await.expect_err("it is down");
    assert!(health.reason().contains("keyvalue-redis"), "{health}");
    server.restart().await;
    served.recovers().await;
    let well = async {
        while provider.health().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, well).await.expect("it is well");

    // It goes while it is used, and comes back with what it had.
    server.stop();
    served.error().await;
    server.restart().await;
    let back = async {
        loop {
            if let Ok(Ok(value)) = served.bucket.get("key").await {
                break value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let value = timeout(PATIENCE, back).await.expect("it is back");
    assert_eq!(value.as_deref(), Some(&b"value"[..]));
}

#[tokio::test]
async fn a_redis_that_is_slow_fails_calls_before_their_deadline() {
    let Some(server) = servers::redis(&[]).await else {
        return;
    };
    let served = Served::redis(RedisConfig::new(server.url())).await;
    served.recovers().await;
    server.signal("STOP");
    let began = Instant::now();
    let get = served.bucket.get("key").timeout(Duration::from_secs(1));
    let failed = get.await.expect("it is answered");
    let is_told = matches!(&failed, Err(Error::Other(text)) if text.contains("no reply"));
    assert!(is_told, "{failed:?}");
    assert!(began.elapsed() >= Duration::from_millis(900), "{failed:?}");
    server.signal("CONT");
    served.recovers().await;
}

#[tokio::test]
async fn a_redis_that_refuses_the_credentials_is_told_without_them() {
    let Some(server) = servers::redis(&["--requirepass", "enigma"]).await else {
        return;
    };
    let served = Served::redis(RedisConfig::new(server.url())).await;
    let text = served.error().await;
    assert!(
        text.contains("refuses the provider's credentials"),
        "{text}"
    );
    let mut config = RedisConfig::new(server.url());
    config.password = Some(Secret::new("s3cret".to_owned()));
    let served = Served::redis(config.clone()).await;
    let text = served.error().await;
    assert!(
        text.contains("refuses the provider's credentials"),
        "{text}"
    );
    assert!(!text.contains("s3cret"), "{text}");
    // The server learns the password: the provider recovers by itself.
    let done = server.run(&["-a", "enigma", "CONFIG", "SET", "requirepass", "s3cret"]);
    assert!(done.contains("OK"), "{done}");
    served.recovers().await;
}

#[tokio::test]
async fn a_redis_that_is_full_still_reads() {
    let Some(server) = servers::redis(&[]).await else {
        return;
    };
    let served = Served::redis(RedisConfig::new(server.url())).await;
    served.recovers().await;
    assert_eq!(server.run(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    let text = served.error().await;
    assert!(text.contains("keyvalue-redis is full"), "{text}");
    assert!(ok(served.bucket.exists("key").await));
    assert_eq!(server.run(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    served.recovers().await;
}

#[tokio::test]
async fn data_of_others_and_servers_of_others_fail_typed() {
    let (port, _stranger) = stranger().await;
    let url = format!("redis://127.0.0.1:{port}/0");
    let served = Served::redis(RedisConfig::new(url)).await;
    let text = served.error().await;
    assert!(text.contains("keyvalue-redis"), "{text}");
    let servers = format!("nats://127.0.0.1:{port}");
    // It waits for the other side to begin, which it never does.
    let mut config = NatsConfig::new(servers);
    config.connection.timeout = Duration::from_millis(300);
    let served = Served::nats(config).await;
    let text = served.error().await;
    assert!(
        text.contains("keyvalue-nats") || text.contains("no reply"),
        "{text}"
    );

    let Some(server) = servers::redis(&[]).await else {
        return;
    };
    let served = Served::redis(RedisConfig::new(server.url())).await;
    assert_eq!(server.run(&["SET", "lattice:{kv:a}:values", "text"]), "OK");
    let text = served.error().await;
    assert!(text.contains("can't read"), "{text}");
    // Other buckets aren't concerned.
    let other = ok(served.store.open("b").await);
    ok(other.set("key", b"value").await);
}

#[tokio::test]
async fn a_nats_that_is_down_is_told_and_waited_for() {
    let mut server = ServerConfig::default().jetstream().start().await;
    server.kill();
    let served = Served::nats(NatsConfig::new(server.url())).await;
    let text = served.error().await;
    assert!(text.contains("keyvalue-nats can't be used now"), "{text}");
    server.restart().await;
    served.recovers().await;
    server.kill();
    let text = served.error().await;
    assert!(
        text.contains("can't be used now") || text.contains("no reply"),
        "{text}"
    );
    server.restart().await;
    served.recovers().await;
}

#[tokio::test]
async fn a_bucket_of_nats_that_is_full_still_reads() {
    let server = ServerConfig::default().jetstream().start().await;
    let client = async_nats::connect(server.url()).await.expect("connects");
    let streams = async_nats::jetstream::new(client);
    let config = async_nats::jetstream::kv::Config {
        bucket: "kv-a".to_owned(),
        history: 1,
        max_bytes: 1_000,
        ..async_nats::jetstream::kv::Config::default()
    };
    let made = streams.create_key_value(config).await;
    made.expect("the bucket that the provider uses");
    let served = Served::nats(NatsConfig::new(server.url())).await;
    served.recovers().await;
    let large = vec![7; 2_000];
    let set = served.bucket.set("large", &large).timeout(PATIENCE).await;
    let set = set.expect("called");
    let is_told = matches!(
        &set,
        Err(Error::Other(text)) if text.contains("keyvalue-nats is full")
    );
    assert!(is_told, "{set:?}");
    let value = ok(served.bucket.get("key").timeout(PATIENCE).await);
    assert_eq!(value.as_deref(), Some(&b"value"[..]));

    let stream = streams.get_stream("KV_kv-a").await.expect("its stream");
    let mut config = stream.cached_info().config.clone();
    config.max_bytes = -1;
    streams.update_stream(config).await.expect("it has room");
    ok(served.bucket.set("large", &large).timeout(PATIENCE).await);
}

#[tokio::test]
async fn a_nats_that_refuses_the_credentials_or_has_no_store_is_told() {
    let server = ServerConfig::default()
        .jetstream()
        .text("authorization { user: ada, password: enigma }")
        .start()
        .await;
    let login = |password: &str| NatsLogin::Password {
        user: "ada".to_owned(),
        password: Secret::new(password.to_owned()),
    };
    let mut config = NatsConfig::new(server.url());
    config.connection.login = login("s3cret");
    let served = Served::nats(config.clone()).await;
    let text = served.error().await;
    assert!(
        text.contains("refuses the provider's credentials"),
        "{text}"
    );
    assert!(!text.contains("s3cret"), "{text}");
    config.connection.login = login("enigma");
    Served::nats(config).await.recovers().await;

    let server = NatsServer::start().await;
    let served = Served::nats(NatsConfig::new(server.url())).await;
    let text = served.error().await;
    assert!(text.contains("keyvalue-nats"), "{text}");
}

#[tokio::test]
async fn open_buckets_survive_their_host_where_the_backend_is_shared() {
    for kind in [Kind::Redis, Kind::Nats] {
        let Some(mut stage) = Stage::start(kind).await else {
            continue;
        };
        let clients = stage.clients("app");
        let bucket = open(&clients, "a").await;
        ok(bucket.set("key", b"value").await);
        stage.link("reader", r#"{"read-only": true}"#).await;
        let readers = open(&stage.clients("reader"), "a").await;
        stage.serve_again().await;
        let first = stage.serving.remove(0);
        assert!(first.shutdown(PATIENCE).await.is_clean());
        let value = ok(bucket.get("key").timeout(PATIENCE).await);
        assert_eq!(value.as_deref(), Some(&b"value"[..]), "{kind:?}");
        ok(bucket.set("key", b"again").timeout(PATIENCE).await);
        let read = ok(readers.get("key").timeout(PATIENCE).await);
        assert_eq!(read.as_deref(), Some(&b"again"[..]), "{kind:?}");
        let written = readers.set("key", b"x").timeout(PATIENCE).await;
        let is_denied = |written: &Result<_, _>| matches!(written, Ok(Err(Error::AccessDenied)));
        assert!(is_denied(&written), "{written:?}");
        // It is read-only itself, and not only because of the link that it was opened over.
        let writer = Link::new("reader", INTERFACE.name(), "kv").expect("valid");
        let writer = writer.named("writer").expect("a name");
        stage.app.links().put(writer).await.expect("it is put");
        let caller = stage.app.caller("reader").expect("an id");
        let readers = readers.via(caller.via("writer").expect("a name"));
        let written = readers.set("key", b"x").timeout(PATIENCE).await;
        assert!(is_denied(&written), "{kind:?}: {written:?}");
    }
}

#[tokio::test]
async fn configs_that_cannot_work_are_refused_at_the_start() {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let provider = RedisKeyValue::new(RedisConfig::new("http://joe:s3cret@host"));
    let error = serve(&lattice, "redis", provider).await.err();
    let error = lattice_core::error::chain(&error.expect("no such scheme"));
    assert!(
        error.contains("`url`") && !error.contains("s3cret"),
        "{error}"
    );
    let mut config = NatsConfig::new("nats://host");
    config.buckets.prefix = "a.b".to_owned();
    let error = serve(&lattice, "nats", NatsKeyValue::new(config))
        .await
        .err();
    let error = lattice_core::error::chain(&error.expect("no such prefix"));
    assert!(error.contains("`prefix`"), "{error}");
}

#[tokio::test]
async fn values_to_be_swapped_take_a_bounded_amount_of_memory() {
    let stage = Stage::start(Kind::Memory)
        .await
        .expect("no server is needed");
    let clients = stage.clients("app");
    let bucket = open2(&clients, "s").await;
    let value = vec![7; 1_024 * 1_024];
    ok(bucket.set("key", &value).await);
    let mut held = Vec::new();
    let error = loop {
        let seen = clients.atomics2.cas_new(&bucket, "key").await;
        match seen.expect("called") {
            Ok(cas) => held.push(cas),
            Err(error) => break error,
        }
        assert!(held.len() < 100, "it is bounded");
    };
    assert!(
        matches!(&error, Error2::Other(text) if text.contains("too much memory")),
        "{error:?}"
    );
    // One that is swapped makes room.
    let cas = held.pop().expect("some were made");
    ok(clients.atomics2.swap(cas, b"small").await);
    ok(clients.atomics2.cas_new(&bucket, "key").await);
}
