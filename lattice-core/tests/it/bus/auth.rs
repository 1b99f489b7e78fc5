//! Every login method with right and wrong credentials, and missing permissions.

use super::{chain, error_of, fails, goes_round, jwt::Operator, nats::NatsConfig, subjects, works};
use lattice_core::{
    bus::{Bus, BusError},
    nats::{ConnectError, NatsOptions},
};
use nkeys::KeyPair;

async fn refused(options: &NatsOptions) {
    let error = fails(options).await;
    assert!(
        matches!(error, ConnectError::LoginRefused { .. }),
        "{error:?}"
    );
    let text = format!("{} {error:?}", chain(&error));
    assert!(!text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn login_with_a_token() {
    let server = NatsConfig::default()
        .text("authorization { token: s3cret }")
        .start()
        .await;
    works(&NatsOptions::new(server.url()).token("s3cret")).await;
    works(&NatsOptions::new(format!(
        "nats://s3cret@{}",
        server.address()
    )))
    .await;
    refused(&NatsOptions::new(server.url()).token("s3cret-not")).await;
    refused(&NatsOptions::new(server.url())).await;
}

#[tokio::test]
async fn login_with_user_and_password() {
    let server = NatsConfig::default()
        .text("authorization { user: joe, password: \"s3cret@:/\" }")
        .start()
        .await;
    works(&NatsOptions::new(server.url()).user("joe", "s3cret@:/")).await;
    works(&NatsOptions::new(format!(
        "nats://joe:s3cret%40%3A%2F@{}",
        server.address()
    )))
    .await;
    refused(&NatsOptions::new(server.url()).user("joe", "s3cret-not")).await;
    refused(&NatsOptions::new(server.url()).user("ann", "s3cret@:/")).await;
    refused(&NatsOptions::new(format!(
        "nats://joe:s3cret-not@{}",
        server.address()
    )))
    .await;
}

#[tokio::test]
async fn login_with_an_nkey() {
    let (known, unknown) = (KeyPair::new_user(), KeyPair::new_user());
    let server = NatsConfig::default()
        .text(&format!(
            "authorization {{ users: [ {{ nkey: {} }} ] }}",
            known.public_key()
        ))
        .start()
        .await;
    let seed = |pair: &KeyPair| pair.seed().expect("a seed");
    works(&NatsOptions::new(server.url()).nkey_seed(seed(&known))).await;
    refused(&NatsOptions::new(server.url()).nkey_seed(seed(&unknown))).await;
    let error = fails(&NatsOptions::new(server.url()).nkey_seed("SUs3cret")).await;
    assert!(matches!(error, ConnectError::BadNkeySeed), "{error:?}");
}

#[tokio::test]
async fn login_with_a_credentials_file() {
    let (ours, theirs) = (Operator::new(), Operator::new());
    let server = NatsConfig::default()
        .text(&ours.config)
        .file("ours.creds", &ours.credentials)
        .file("theirs.creds", &theirs.credentials)
        .file("broken.creds", "not credentials at all")
        .start()
        .await;
    let with = |file: &str| NatsOptions::new(server.url()).credentials_file(server.path(file));
    works(&with("ours.creds")).await;
    refused(&with("theirs.creds")).await;
    let content = |text: &str| NatsOptions::new(server.url()).credentials(text);
    works(&content(&ours.credentials)).await;
    refused(&content(&theirs.credentials)).await;
    let error = fails(&content("s3cret")).await;
    assert!(
        matches!(error, ConnectError::BadCredentials { .. }),
        "{error:?}"
    );
    assert!(!format!("{} {error:?}", chain(&error)).contains("s3cret"));
    refused(&NatsOptions::new(server.url())).await;
    let error = fails(&with("broken.creds")).await;
    assert!(
        matches!(error, ConnectError::BadFile { ref path, .. } if path.ends_with("broken.creds")),
        "{error:?}"
    );
    let error = fails(&with("missing.creds")).await;
    assert!(
        matches!(error, ConnectError::UnreadableFile { ref path, .. } if path.ends_with("missing.creds")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_subscription_without_permission_is_rejected() {
    let server = NatsConfig::default()
        .text("authorization { users: [ { user: joe, password: pw, permissions: { subscribe: { deny: \"lattice.prod.serves.*\" } } } ] }")
        .start()
        .await;
    let connection = works(&NatsOptions::new(server.url()).user("joe", "pw")).await;
    let bus = connection.bus();
    let secret = subjects().serves(&"secret".parse().expect("valid"));
    for _ in 0..20 {
        let plain = error_of(bus.subscribe(secret.clone(), 8).await);
        let grouped = error_of(bus.queue_subscribe(secret.clone(), "g", 8).await);
        for error in [plain, grouped] {
            assert!(
                matches!(error, BusError::Refused(ref why) if why.contains("lattice.prod.serves.secret")),
                "{error:?}"
            );
        }
    }
    goes_round(&connection).await;
}

#[tokio::test]
async fn a_user_without_permission_for_its_inbox_receives_an_error() {
    let server = NatsConfig::default()
        .text("authorization { users: [ { user: joe, password: pw, permissions: { publish: [\"lattice.>\", \"_PRIVATE.>\"], subscribe: [\"lattice.>\", \"_PRIVATE.>\"] } } ] }")
        .start()
        .await;
    let options = NatsOptions::new(server.url()).user("joe", "pw");
    let connection = options.connect().await.expect("connects");
    let error = error_of(connection.bus().subscribe(subjects().beat(), 8).await);
    assert!(
        matches!(error, BusError::Refused(ref why) if why.contains("inbox prefix")),
        "{error:?}"
    );
    works(&options.inbox_prefix("_PRIVATE")).await;
}
