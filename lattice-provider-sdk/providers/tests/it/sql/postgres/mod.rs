//! PostgreSQL, at a real server.

use super::{
    Database, PATIENCE, Settings, commit, eventually, rows, served, statements, transactions,
};
use crate::servers;
use lattice_provider_sdk::{IntoService, Provider, Secret};
use lattice_providers::sql::{Postgres, PostgresConfig, database::Error};
use lattice_test_servers::{LOCKED, PostgresServer};
use std::num::NonZeroUsize;
use tokio::{io::AsyncWriteExt, net::TcpListener};

impl Database for PostgresServer {
    fn provider(&self, settings: Settings) -> impl IntoService {
        Postgres::new(config(self, settings))
    }
}

fn config(server: &PostgresServer, settings: Settings) -> PostgresConfig {
    PostgresConfig {
        host: Some(server.host()),
        user: Some("postgres".to_owned()),
        pool_size: NonZeroUsize::new(settings.pool_size).expect("it isn't 0"),
        idle_timeout_ms: settings.idle_timeout.as_millis() as u64,
        max_rows: settings.max_rows,
        max_bytes: settings.max_bytes,
        ..PostgresConfig::default()
    }
}

super::conformance!(servers::postgres());

super::suite! { servers::postgres() =>
    own:
        every_type_comes_back_as_it_was,
        a_column_of_another_type_is_refused_before_it_runs,
        a_failed_statement_can_only_be_rolled_back,
        isolation_levels_differ,
        a_failure_among_rows_breaks_their_stream,
        a_value_without_a_form_stops_its_statement,
        statements_that_nothing_waits_for_are_cancelled,
        a_link_has_its_schema,
        a_read_only_link_cannot_be_talked_into_writing,
        nothing_of_a_session_is_left_for_others,
        a_changed_table_is_noticed,
        components_of_wasmcloud_find_their_interface;
}

mod own;

#[tokio::test]
async fn a_server_may_be_down_go_and_come_back() {
    let Some(mut server) = servers::postgres().await else {
        return;
    };
    server.stop();
    let served = served(server.provider(Settings::default())).await;
    let failed = served.query("SELECT 1", &[]).await;
    assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
    server.restart().await;
    assert!(served.query("SELECT 1", &[]).await.is_ok());
    let transaction = served.begin().await;
    server.stop();
    let failed = commit(&transaction).await;
    assert!(matches!(failed, Err(Error::Lost(_))), "{failed:?}");
    let failed = served.query("SELECT 1", &[]).await;
    assert!(
        matches!(failed, Err(Error::Unavailable(_) | Error::Lost(_))),
        "{failed:?}"
    );
    server.restart().await;
    eventually("an answer", async || {
        served.query("SELECT 1", &[]).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn refused_credentials_are_told_without_the_password() {
    let Some(server) = servers::postgres().await else {
        return;
    };
    let role = format!("CREATE ROLE {LOCKED} LOGIN PASSWORD 's3cret'");
    server.run(&role).await;
    for (password, is_right) in [("wr0ng", false), ("s3cret", true)] {
        let config = PostgresConfig {
            user: Some(LOCKED.to_owned()),
            password: Some(Secret::new(password.to_owned())),
            database: Some("postgres".to_owned()),
            ..config(&server, Settings::default())
        };
        assert!(!format!("{config:?}").contains(password));
        let provider = Postgres::new(config);
        let health = provider.health().await;
        assert_eq!(health.is_ok(), is_right, "{health:?}");
        let served = served(provider).await;
        let result = served.query("SELECT 1", &[]).await;
        assert_eq!(result.is_ok(), is_right, "{result:?}");
        if let Err(error) = result {
            assert!(matches!(error, Error::Unavailable(_)), "{error}");
            let told = format!("{error} {health:?}");
            assert!(told.contains("password authentication failed"), "{told}");
            assert!(!told.contains(password), "{told}");
        }
    }
}

#[tokio::test]
async fn a_server_that_answers_garbage_or_nothing_is_unavailable() {
    for answer in [Some(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]), None] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let answering = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                if let Some(answer) = answer {
                    // It may be gone already.
                    let _ = stream.write_all(answer).await;
                }
                open.push(stream);
            }
        });
        let served = served(Postgres::new(PostgresConfig {
            host: Some("127.0.0.1".to_owned()),
            port: Some(port),
            user: Some("app".to_owned()),
            connect_timeout_ms: 200,
            ..PostgresConfig::default()
        }))
        .await;
        let failed = served
            .connection
            .query("SELECT 1", &[])
            .timeout(PATIENCE)
            .await;
        let failed = failed.expect("the call");
        assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
        answering.abort();
    }
}
