//! SQLite.

use super::{Database, PATIENCE, Settings, rows, served, statements, text, transactions};
use futures_util::StreamExt;
use lattice_core::quantity::ByteSize;
use lattice_provider_sdk::{IntoService, Lattice, Link, serve};
use lattice_providers::sql::{
    LinkConfig, Sqlite, SqliteConfig,
    database::{Date, Datetime, Error, INTERFACE, Interval, Isolation, Time, Value},
};
use std::{
    future::{Ready, ready},
    num::NonZeroUsize,
    path::PathBuf,
};
use tempfile::TempDir;

/// A database in a file.
struct InFile(TempDir);

fn in_file() -> Ready<Option<InFile>> {
    ready(Some(InFile(tempfile::tempdir().expect("a folder"))))
}

impl InFile {
    fn path(&self) -> PathBuf {
        self.0.path().join("app.db")
    }
}

impl Database for InFile {
    fn provider(&self, settings: Settings) -> impl IntoService {
        Sqlite::new(config(Some(self.path()), settings))
    }
}

fn config(path: Option<PathBuf>, settings: Settings) -> SqliteConfig {
    SqliteConfig {
        path: path.map(Into::into),
        pool_size: NonZeroUsize::new(settings.pool_size).expect("it isn't 0"),
        idle_timeout_ms: settings.idle_timeout.as_millis() as u64,
        max_rows: settings.max_rows,
        max_bytes: settings.max_bytes,
        ..SqliteConfig::default()
    }
}

super::conformance!(in_file());

/// Returns a provider of a database in memory.
fn in_memory() -> Sqlite {
    Sqlite::new(config(None, Settings::default()))
}

#[tokio::test]
async fn tools_learn_what_the_config_of_a_link_may_have() {
    let lattice = Lattice::in_memory("test").await.expect("in memory");
    let _serving = serve(&lattice, "db", in_memory()).await.expect("served");
    let asked = (INTERFACE.name().to_owned(),);
    let operator = lattice.operator();
    let told =
        operator.call::<Option<String>>("db", "lattice:config/schema@0.1.0", "link-config", asked);
    let told = told.await.expect("it is told").expect("there is one");
    assert!(told.contains(r#""read-only""#), "{told}");
}

#[tokio::test]
async fn a_database_in_memory_has_one_connection() {
    let served = served(in_memory()).await;
    served
        .execute("CREATE TABLE notes (id BIGINT)", &[])
        .await
        .expect("made");
    let transaction = served.begin().await;
    super::within(&transaction, "INSERT INTO notes VALUES (1)", &[])
        .await
        .expect("inserted");
    let short = std::time::Duration::from_millis(300);
    let waited = served
        .connection
        .query("SELECT 1", &[])
        .timeout(short)
        .await;
    assert!(
        !matches!(waited, Ok(Ok(_))),
        "the transaction has it: {waited:?}"
    );
    super::commit(&transaction).await.expect("committed");
    assert_eq!(
        served.value("SELECT count(*) FROM notes").await,
        Value::Int64(1)
    );
}

#[tokio::test]
async fn other_files_and_settings_are_out_of_reach() {
    let folder = tempfile::tempdir().expect("a folder");
    let served = served(in_memory()).await;
    let path = folder.path().join("other.db");
    let path = path.to_str().expect("UTF-8");
    for statement in [
        format!("ATTACH '{path}' AS other"),
        format!("VACUUM INTO '{path}'"),
        "PRAGMA writable_schema = ON".to_owned(),
        "PRAGMA journal_mode".to_owned(),
        "SELECT load_extension('x')".to_owned(),
        "CREATE TEMP TABLE left_behind (id)".to_owned(),
        "CREATE VIRTUAL TABLE temp.left_behind USING dbstat".to_owned(),
        "DETACH main".to_owned(),
    ] {
        let failed = served.query(&statement, &[]).await;
        assert!(failed.is_err(), "{statement}");
        if !statement.starts_with("SELECT") && !statement.starts_with("VACUUM") {
            assert!(
                matches!(failed, Err(Error::Denied(_))),
                "{statement}: {failed:?}"
            );
        }
    }
    let files = std::fs::read_dir(folder.path()).expect("readable").count();
    assert_eq!(files, 0, "none was made");
}

#[tokio::test]
async fn a_database_is_not_larger_than_it_may_be() {
    let served = served(Sqlite::new(SqliteConfig {
        max_size: Some(ByteSize::kib(256)),
        busy_timeout_ms: u64::MAX,
        ..config(None, Settings::default())
    }))
    .await;
    let create = "CREATE TABLE notes (body BLOB)";
    served.execute(create, &[]).await.expect("made");
    let insert = "INSERT INTO notes VALUES (zeroblob(100000))";
    for _ in 0..2 {
        assert_eq!(served.execute(insert, &[]).await, Ok(1));
    }
    let failed = served.execute(insert, &[]).await;
    let is_full =
        matches!(&failed, Err(Error::Failed(failure)) if failure.code.as_deref() == Some("13"));
    assert!(is_full, "{failed:?}");
    // What is there can be read and deleted.
    let deleted = served.execute("DELETE FROM notes", &[]).await;
    assert_eq!(deleted, Ok(2));
    assert_eq!(served.execute(insert, &[]).await, Ok(1));
}

#[tokio::test]
async fn types_that_it_lacks_are_texts_or_refused() {
    let served = served(in_memory()).await;
    let date = Date {
        year: 2026,
        month: 1,
        day: 31,
    };
    let time = Time {
        hour: 1,
        minute: 2,
        second: 3,
        microsecond: 4,
    };
    for (value, expected) in [
        (Value::Boolean(true), Value::Int64(1)),
        (Value::Floating32(0.5), Value::Floating64(0.5)),
        (Value::Date(date.clone()), text("2026-01-31")),
        (Value::Time(time.clone()), text("01:02:03.000004")),
        (
            Value::Datetime(Datetime { date, time }),
            text("2026-01-31 01:02:03.000004"),
        ),
        (
            Value::Timestamp(-1),
            text("1969-12-31 23:59:59.999999+00:00"),
        ),
        (Value::Decimal("1.50".to_owned()), text("1.50")),
        (Value::Json("{}".to_owned()), text("{}")),
    ] {
        let found = served.query("SELECT $1", &[value]).await.expect("a row");
        assert_eq!(found.rows, [[expected]]);
        assert_eq!(found.columns[0].type_name, None);
    }
    let interval = Interval {
        months: 1,
        days: 0,
        microseconds: 0,
    };
    for value in [
        Value::Interval(interval),
        Value::ArrayInt32(vec![Some(1)]),
        Value::Floating64(f64::NAN),
    ] {
        let failed = served.query("SELECT $1", &[value]).await;
        assert!(
            matches!(failed, Err(Error::UnsupportedType(_))),
            "{failed:?}"
        );
    }
    let failed = served.query("SELECT CAST(x'ff' AS TEXT)", &[]).await;
    assert!(
        matches!(failed, Err(Error::UnsupportedType(_))),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_transaction_goes_on_after_a_failed_statement_and_a_stream_that_was_not_read() {
    let served = served(in_memory()).await;
    served
        .execute("CREATE TABLE notes (id BIGINT UNIQUE)", &[])
        .await
        .expect("made");
    let transaction = served.begin().await;
    let insert = "INSERT INTO notes VALUES (1)";
    super::within(&transaction, insert, &[])
        .await
        .expect("inserted");
    let failed = super::within(&transaction, insert, &[]).await;
    assert!(matches!(failed, Err(Error::Constraint(_))), "{failed:?}");
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT i FROM n";
    let call = transaction.stream(endless, &[]).timeout(PATIENCE);
    let mut stream = call.await.expect("the call").expect("a stream");
    assert!(stream.rows.next().await.is_some());
    drop(stream);
    super::commit(&transaction).await.expect("committed");
    assert_eq!(
        served.value("SELECT count(*) FROM notes").await,
        Value::Int64(1)
    );
}

#[tokio::test]
async fn what_cannot_be_is_told_when_it_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let path = folder.path().join("none/app.db");
    let refused = serve(
        &lattice,
        "sql",
        Sqlite::new(config(Some(path), Settings::default())),
    );
    let Err(error) = refused.await else {
        panic!("it is served without its folder");
    };
    let error = lattice_core::error::chain(&error);
    assert!(error.contains("can't be opened"), "{error}");
    // A file that isn't a database.
    let path = folder.path().join("text");
    std::fs::write(
        &path,
        "not a database, but longer than its head of a hundred bytes".repeat(9),
    )
    .expect("written");
    let refused = serve(
        &lattice,
        "sql",
        Sqlite::new(config(Some(path), Settings::default())),
    );
    assert!(refused.await.is_err());

    let served = served(in_memory()).await;
    let config = LinkConfig {
        schema: Some("app".to_owned()),
        ..LinkConfig::default()
    };
    let link = Link::new("other", INTERFACE.name(), "sql").expect("a link");
    let link = link.config(&config).expect("JSON");
    served.lattice.links().put(link).await.expect("put");
    let caller = served.lattice.caller("other").expect("an id");
    let database = lattice_providers::sql::database::DatabaseClient::new(caller);
    let refused = database.new_connection().timeout(PATIENCE).await;
    let Err(error) = refused else {
        panic!("SQLite has no schemas");
    };
    let error = error.to_string();
    assert!(error.contains("schema"), "{error}");
}

#[tokio::test]
async fn a_transaction_that_waits_too_long_for_another_one_conflicts() {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = Sqlite::new(SqliteConfig {
        busy_timeout_ms: 50,
        ..config(Some(folder.path().join("app.db")), Settings::default())
    });
    let served = served(provider).await;
    let one = served.begin().await;
    let two = super::begin(&served.connection, Isolation::Serializable).await;
    assert!(matches!(two, Err(Error::Conflict(_))), "{:?}", two.err());
    super::commit(&one).await.expect("committed");
    served.begin().await;
}

#[tokio::test]
async fn a_transaction_that_the_database_rolled_back_is_over() {
    let served = served(in_memory()).await;
    let create = "CREATE TABLE notes (id BIGINT UNIQUE)";
    served.execute(create, &[]).await.expect("made");
    for end in ["commit", "rollback"] {
        let transaction = served.begin().await;
        let insert = "INSERT INTO notes VALUES (1)";
        super::within(&transaction, insert, &[])
            .await
            .expect("inserted");
        let insert = "INSERT OR ROLLBACK INTO notes VALUES (1)";
        let failed = super::within(&transaction, insert, &[]).await;
        assert!(matches!(failed, Err(Error::Constraint(_))), "{failed:?}");
        let ended = match end {
            "commit" => super::commit(&transaction).await,
            _ => super::rollback(&transaction).await,
        };
        assert!(
            matches!(ended, Err(Error::TransactionOver(_))),
            "{end}: {ended:?}"
        );
        let failed = super::commit(&transaction).await;
        let Err(Error::TransactionOver(reason)) = failed else {
            panic!("{failed:?}");
        };
        assert!(!reason.contains("committed"), "{reason}");
        assert_eq!(
            served.value("SELECT count(*) FROM notes").await,
            Value::Int64(0)
        );
    }
}
