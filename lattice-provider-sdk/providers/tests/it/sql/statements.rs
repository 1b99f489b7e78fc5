//! Statements: values, errors, and what is allowed.

use super::{Database, PATIENCE, Settings, begin, eventually, execute, next, query, served, text};
use lattice_provider_sdk::CallError;
use lattice_providers::sql::{
    LinkConfig,
    database::{Access, ConstraintKind, Error, Isolation, Value},
};
use std::time::Duration;

pub(super) async fn values_come_back_as_they_were(database: &impl Database) {
    let served = served(database.provider(Settings::default())).await;
    let create = "CREATE TABLE kinds (id BIGINT, name TEXT, ratio DOUBLE PRECISION, data BYTEA, small SMALLINT)";
    assert_eq!(served.execute(create, &[]).await, Ok(0));
    let insert = "INSERT INTO kinds VALUES ($1, $2, $3, $4, $5)";
    let rows = [
        (i64::MIN, "", f64::MIN_POSITIVE, vec![]),
        (
            i64::MAX,
            "'\"\\%_$1;--\u{1F980}\n",
            -1e300,
            vec![0, 255, 39],
        ),
        (0, "x", f64::INFINITY, (0..=255).collect()),
    ];
    for (id, name, ratio, data) in rows {
        let row = vec![
            Value::Int64(id),
            text(name),
            Value::Floating64(ratio),
            Value::Binary(data.into()),
            Value::Null,
        ];
        assert_eq!(served.execute(insert, &row).await, Ok(1));
        let select = "SELECT id, name, ratio, data, small FROM kinds WHERE id = $1";
        let found = served
            .query(select, &[Value::Int64(id)])
            .await
            .expect("a row");
        assert_eq!(found.rows, [row]);
        let names: Vec<_> = found
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(names, ["id", "name", "ratio", "data", "small"]);
    }
    // A parameter can be used twice, and in any order.
    let twice = "SELECT name FROM kinds WHERE name = $2 AND id = $1 AND name = $2";
    let found = served.query(twice, &[Value::Int64(0), text("x")]).await;
    assert_eq!(found.expect("a row").rows, [[text("x")]]);
    let update = "UPDATE kinds SET small = $1";
    assert_eq!(served.execute(update, &[Value::Int16(7)]).await, Ok(3));
    let delete = "DELETE FROM kinds WHERE id > $1";
    assert_eq!(served.execute(delete, &[Value::Int32(-5)]).await, Ok(2));
}

pub(super) async fn parameters_never_become_statements(database: &impl Database) {
    let served = served(database.provider(Settings::default())).await;
    served
        .execute("CREATE TABLE users (name TEXT)", &[])
        .await
        .expect("made");
    let attacks = [
        "'; DROP TABLE users; --",
        "' OR '1'='1",
        "\\'; DELETE FROM users; --",
        "$1",
        "NULL",
        "x'); DROP TABLE users; /*",
    ];
    for attack in attacks {
        let inserted = served
            .execute("INSERT INTO users VALUES ($1)", &[text(attack)])
            .await;
        assert_eq!(inserted, Ok(1), "{attack}");
    }
    for attack in attacks {
        let found = served
            .query("SELECT name FROM users WHERE name = $1", &[text(attack)])
            .await;
        assert_eq!(
            found.expect("a row").rows,
            [[text(attack)]],
            "it matches itself alone"
        );
    }
    let count = served.value("SELECT count(*) FROM users").await;
    assert_eq!(count, Value::Int64(6));
}

pub(super) async fn errors_say_what_is_wrong(database: &impl Database) {
    let served = served(database.provider(Settings::default())).await;
    for statement in [
        "CREATE TABLE owners (id BIGINT PRIMARY KEY)",
        "CREATE TABLE things (id BIGINT UNIQUE, name TEXT NOT NULL, size BIGINT CHECK (size > 0), \
         owner BIGINT REFERENCES owners (id))",
        "INSERT INTO things VALUES (1, 'a', 1, NULL)",
    ] {
        served.execute(statement, &[]).await.expect(statement);
    }
    for (statement, expected) in [
        (
            "INSERT INTO things VALUES (1, 'b', 1, NULL)",
            ConstraintKind::Unique,
        ),
        (
            "INSERT INTO things VALUES (2, NULL, 1, NULL)",
            ConstraintKind::NotNull,
        ),
        (
            "INSERT INTO things VALUES (2, 'b', 0, NULL)",
            ConstraintKind::Check,
        ),
        (
            "INSERT INTO things VALUES (2, 'b', 1, 9)",
            ConstraintKind::ForeignKey,
        ),
    ] {
        let failed = served.execute(statement, &[]).await;
        let Err(Error::Constraint(violation)) = failed else {
            panic!("{statement}: {failed:?}");
        };
        assert_eq!(violation.kind, expected, "{violation:?}");
    }
    for statement in [
        "SELEC 1",
        "SELECT * FROM nowhere",
        "SELECT absent FROM things",
    ] {
        let failed = served.query(statement, &[]).await;
        assert!(
            matches!(failed, Err(Error::Syntax(_))),
            "{statement}: {failed:?}"
        );
    }
    for parameters in [&[][..], &[Value::Int64(1), Value::Int64(2)]] {
        let failed = served
            .query("SELECT name FROM things WHERE id = $1", parameters)
            .await;
        assert!(matches!(failed, Err(Error::Parameter(_))), "{failed:?}");
    }
    let many = vec![Value::Null; 40_000];
    let failed = served.query("SELECT 1", &many).await;
    assert!(matches!(failed, Err(Error::Parameter(_))), "{failed:?}");
    assert_eq!(
        served.value("SELECT count(*) FROM things").await,
        Value::Int64(1)
    );
}

pub(super) async fn only_single_statements_that_leave_transactions_alone_are_allowed(
    database: &impl Database,
) {
    let served = served(database.provider(Settings::default())).await;
    for statement in ["BEGIN", "commit", "/* */ ROLLBACK", "SAVEPOINT a"] {
        let failed = served.execute(statement, &[]).await;
        assert!(
            matches!(failed, Err(Error::Denied(_))),
            "{statement}: {failed:?}"
        );
    }
    let transaction = served.begin().await;
    let failed = super::within(&transaction, "COMMIT", &[]).await;
    assert!(matches!(failed, Err(Error::Denied(_))), "{failed:?}");
    drop(transaction);
    let failed = served.execute("SELECT 1; SELECT 2", &[]).await;
    assert!(matches!(failed, Err(Error::Syntax(_))), "{failed:?}");
    // One that ends with a semicolon is one.
    assert!(served.query("SELECT 1;", &[]).await.is_ok());
}

pub(super) async fn a_read_only_link_only_reads(database: &impl Database) {
    let served = served(database.provider(Settings::default())).await;
    served
        .execute("CREATE TABLE notes (id BIGINT)", &[])
        .await
        .expect("made");
    let config = LinkConfig {
        read_only: true,
        ..LinkConfig::default()
    };
    let reader = served.linked("reader", &config).await;
    for statement in [
        "INSERT INTO notes VALUES (1)",
        "DROP TABLE notes",
        "DELETE FROM notes",
    ] {
        let failed = execute(&reader, statement, &[]).await;
        assert!(
            matches!(failed, Err(Error::ReadOnly(_))),
            "{statement}: {failed:?}"
        );
    }
    assert!(query(&reader, "SELECT id FROM notes", &[]).await.is_ok());
    let refused = begin(&reader, Isolation::ReadCommitted).await;
    assert!(matches!(refused, Err(Error::ReadOnly(_))));
    for connection in [&reader, &served.connection] {
        let begun = connection
            .begin(Isolation::ReadCommitted, Access::ReadOnly)
            .timeout(PATIENCE);
        let transaction = begun.await.expect("the call").expect("it begins");
        let failed = super::within(&transaction, "INSERT INTO notes VALUES (1)", &[]).await;
        assert!(matches!(failed, Err(Error::ReadOnly(_))), "{failed:?}");
    }
    assert_eq!(
        served.execute("INSERT INTO notes VALUES (1)", &[]).await,
        Ok(1)
    );
}

pub(super) async fn a_result_has_columns_without_rows_too(database: &impl Database) {
    let served = served(database.provider(Settings::default())).await;
    let empty = served
        .query("SELECT 1 AS one, 'x' AS two WHERE 1 = 0", &[])
        .await;
    let empty = empty.expect("no rows");
    assert!(empty.rows.is_empty());
    assert_eq!(
        [&*empty.columns[0].name, &empty.columns[1].name],
        ["one", "two"]
    );
    let mut empty = served
        .stream("SELECT 1 AS one WHERE 1 = 0", &[])
        .await
        .expect("no rows");
    assert_eq!(empty.columns[0].name, "one");
    assert!(
        futures_util::StreamExt::next(&mut empty.rows)
            .await
            .is_none()
    );
    assert_eq!(empty.outcome.await, Ok(Ok(0)));
    // A statement without a result has neither.
    let created = served
        .query("CREATE TABLE blank (id BIGINT)", &[])
        .await
        .expect("made");
    assert!(created.columns.is_empty() && created.rows.is_empty());
    let mut one = served
        .stream("SELECT 'x' AS one", &[])
        .await
        .expect("a row");
    assert_eq!(next(&mut one).await, [text("x")]);
}

/// A statement that never ends.
pub(super) const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n";

pub(super) async fn a_statement_ends_with_its_call(database: &impl Database) {
    let served = served(database.provider(Settings {
        pool_size: 1,
        ..Settings::default()
    }))
    .await;
    let short = Duration::from_millis(300);
    let ended = served.connection.query(ENDLESS, &[]).timeout(short).await;
    let is_late = matches!(
        ended,
        Ok(Err(Error::Timeout(_) | Error::Unavailable(_)))
            | Err(CallError::DeadlineExceeded { .. })
    );
    assert!(is_late, "{ended:?}");
    // Also when its caller goes away.
    let call = served.connection.query(ENDLESS, &[]).timeout(PATIENCE);
    let gone = tokio::time::timeout(short, call.into_future()).await;
    assert!(gone.is_err(), "it runs");
    // The only connection is free again.
    eventually("a free connection", async || {
        served.query("SELECT 1", &[]).await.is_ok()
    })
    .await;
}
