//! What PostgreSQL does that not every database has to.

use super::super::{
    Database, PATIENCE, Settings, begin, commit, eventually, execute, query, rollback, served,
    text, within,
};
use futures_util::StreamExt;
use lattice_provider_sdk::{Broken, Link};
use lattice_providers::sql::{
    LinkConfig,
    database::{Date, Datetime, Error, Interval, Isolation, Time, Value},
    published::query::INTERFACE as PUBLISHED,
};
use lattice_test_servers::PostgresServer;
use std::time::Duration;

/// Types, and a value of each.
fn kinds() -> Vec<(&'static str, Value)> {
    let date = Date {
        year: -43,
        month: 3,
        day: 15,
    };
    let time = Time {
        hour: 23,
        minute: 59,
        second: 59,
        microsecond: 999_999,
    };
    let interval = Interval {
        months: -13,
        days: 40,
        microseconds: -1,
    };
    let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8".to_owned();
    vec![
        ("bool", Value::Boolean(true)),
        ("\"char\"", Value::Int8(65)),
        ("int2", Value::Int16(i16::MIN)),
        ("int4", Value::Int32(i32::MAX)),
        ("int8", Value::Int64(i64::MIN)),
        ("float4", Value::Floating32(1.0e-40)),
        ("float8", Value::Floating64(f64::MAX)),
        ("varchar", text("\u{e9}\t")),
        ("bytea", Value::Binary(vec![0, 1, 255].into())),
        ("date", Value::Date(date.clone())),
        ("time", Value::Time(time.clone())),
        ("timestamp", Value::Datetime(Datetime { date, time })),
        ("timestamptz", Value::Timestamp(1_769_864_709_000_001)),
        ("timestamptz", Value::Timestamp(-1)),
        ("interval", Value::Interval(interval)),
        ("uuid", Value::Uuid(uuid)),
        (
            "numeric",
            Value::Decimal("-12345678901234567890.000100".to_owned()),
        ),
        ("numeric", Value::Decimal("NaN".to_owned())),
        ("json", Value::Json("{\"a\": [1, null]}".to_owned())),
        ("jsonb", Value::Json("{\"a\": [1, null]}".to_owned())),
        ("bool[]", Value::ArrayBoolean(vec![Some(true), None])),
        ("int4[]", Value::ArrayInt32(vec![Some(-1), None])),
        ("int8[]", Value::ArrayInt64(vec![])),
        ("float8[]", Value::ArrayFloating64(vec![Some(0.5), None])),
        (
            "numeric[]",
            Value::ArrayDecimal(vec![Some("1.50".to_owned()), None]),
        ),
        (
            "text[]",
            Value::ArrayStr(vec![Some("a\",\\{}".to_owned()), None, Some(String::new())]),
        ),
    ]
}

pub(super) async fn every_type_comes_back_as_it_was(server: &PostgresServer) {
    let served = served(server.provider(Settings::default())).await;
    for (ty, value) in kinds() {
        // `"char"` is a byte, which has no number as text.
        let parameter = if ty == "\"char\"" {
            text("A")
        } else {
            value.clone()
        };
        let statement = format!("SELECT $1::{ty} AS v, NULL::{ty} AS n");
        let found = served.query(&statement, &[parameter]).await;
        let found = found.unwrap_or_else(|error| panic!("{ty}: {error}"));
        assert_eq!(found.rows, [[value, Value::Null]], "{ty}");
        assert!(found.columns[0].type_name.is_some());
    }
    let found = served
        .query("SELECT $1::text::inet::text", &[text("10.0.0.1")])
        .await;
    assert_eq!(found.expect("a row").rows, [[text("10.0.0.1/32")]]);
    for (ty, value) in [("int2", "70000"), ("uuid", "x"), ("date", "2026-02-30")] {
        let failed = served
            .query(&format!("SELECT $1::{ty}"), &[text(value)])
            .await;
        assert!(matches!(failed, Err(Error::Parameter(_))), "{failed:?}");
    }
    let nul = served.query("SELECT $1::text", &[text("a\0b")]).await;
    assert!(matches!(nul, Err(Error::Parameter(_))), "{nul:?}");
    for odd in ["'infinity'::date", "'24:00'::time", "'{{1},{2}}'::int4[]"] {
        let failed = served.query(&format!("SELECT {odd}"), &[]).await;
        assert!(
            matches!(failed, Err(Error::UnsupportedType(_))),
            "{odd}: {failed:?}"
        );
    }
}

pub(super) async fn a_column_of_another_type_is_refused_before_it_runs(server: &PostgresServer) {
    let served = served(server.provider(Settings::default())).await;
    served
        .execute("CREATE TABLE places (spot point)", &[])
        .await
        .expect("made");
    let insert = "INSERT INTO places VALUES ('(1,2)') RETURNING spot";
    let failed = served.query(insert, &[]).await;
    let Err(Error::UnsupportedType(reason)) = failed else {
        panic!("{failed:?}");
    };
    assert!(
        reason.contains("`spot`") && reason.contains("`point`"),
        "{reason}"
    );
    assert_eq!(
        served.value("SELECT count(*) FROM places").await,
        Value::Int64(0)
    );
    assert_eq!(
        served.execute(insert, &[]).await,
        Ok(1),
        "without the column"
    );
}

pub(super) async fn a_failed_statement_can_only_be_rolled_back(server: &PostgresServer) {
    let served = served(server.provider(Settings::default())).await;
    for is_rolled_back in [true, false] {
        let transaction = served.begin().await;
        let failed = within(&transaction, "SELECT 1 / 0", &[]).await;
        assert!(matches!(failed, Err(Error::Failed(_))), "{failed:?}");
        let failed = within(&transaction, "SELECT 1", &[]).await;
        assert!(
            matches!(failed, Err(Error::TransactionOver(_))),
            "{failed:?}"
        );
        if is_rolled_back {
            rollback(&transaction).await.expect("rolled back");
        } else {
            // The server itself would succeed here.
            let failed = commit(&transaction).await;
            assert!(
                matches!(failed, Err(Error::TransactionOver(_))),
                "{failed:?}"
            );
        }
    }
    assert!(served.query("SELECT 1", &[]).await.is_ok());
}

pub(super) async fn isolation_levels_differ(server: &PostgresServer) {
    let served = served(server.provider(Settings::default())).await;
    served
        .execute("CREATE TABLE marks (id BIGINT)", &[])
        .await
        .expect("made");
    let count = "SELECT count(*) FROM marks";
    for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead] {
        let transaction = begin(&served.connection, isolation)
            .await
            .expect("it begins");
        let before = within(&transaction, count, &[]).await.expect("a number");
        served
            .execute("INSERT INTO marks VALUES (1)", &[])
            .await
            .expect("inserted");
        let after = within(&transaction, count, &[]).await.expect("a number");
        let sees_it = before.rows != after.rows;
        assert_eq!(
            sees_it,
            isolation == Isolation::ReadCommitted,
            "{isolation:?}"
        );
    }
    // Each reads what the other writes: one after the other, one of them would have seen it.
    let isolation = Isolation::Serializable;
    let one = begin(&served.connection, isolation)
        .await
        .expect("it begins");
    let two = begin(&served.connection, isolation)
        .await
        .expect("it begins");
    let mut ends = Vec::new();
    for transaction in [&one, &two] {
        within(transaction, count, &[]).await.expect("a number");
    }
    for transaction in [&one, &two] {
        let insert = within(transaction, "INSERT INTO marks VALUES (2)", &[]).await;
        ends.push(insert.map(drop));
    }
    for transaction in [&one, &two] {
        ends.push(commit(transaction).await);
    }
    let conflicts = ends
        .iter()
        .filter(|end| matches!(end, Err(Error::Conflict(_))));
    assert_eq!(conflicts.count(), 1, "{ends:?}");
}

pub(super) async fn a_failure_among_rows_breaks_their_stream(server: &PostgresServer) {
    let served = served(server.provider(Settings::default())).await;
    let statement = "SELECT 10 / (500 - i) FROM generate_series(1, 1000) AS s(i)";
    let stream = served.stream(statement, &[]).await.expect("it begins");
    let rows: Vec<_> = stream.rows.collect().await;
    assert!(
        matches!(rows.last(), Some(Err(Broken::Failed { .. }))),
        "no clean end"
    );
    assert_eq!(rows.len(), 500);
    let outcome = stream.outcome.await.expect("it is told");
    assert!(matches!(outcome, Err(Error::Failed(_))), "{outcome:?}");
}

pub(super) async fn a_value_without_a_form_stops_its_statement(server: &PostgresServer) {
    let settings = Settings {
        pool_size: 1,
        ..Settings::default()
    };
    let served = served(server.provider(settings)).await;
    // The first row can't be expressed, and is too long to wait at the server for others, which
    // take longer than a statement may.
    let endless = "SELECT 'infinity'::date, repeat('x', 20000) \
                   FROM generate_series(1, 1000000) AS s(i) \
                   WHERE i = 1 OR pg_sleep(0.01) IS NOT NULL";
    let failed = served.query(endless, &[]).await;
    assert!(
        matches!(failed, Err(Error::UnsupportedType(_))),
        "{failed:?}"
    );
    let found = served.query("SELECT 1", &[]).await;
    assert!(found.is_ok(), "nothing runs on its connection: {found:?}");
    let stream = served.stream(endless, &[]).await.expect("it begins");
    let outcome = stream.outcome.await.expect("it is told");
    assert!(
        matches!(outcome, Err(Error::UnsupportedType(_))),
        "{outcome:?}"
    );
    let found = served.query("SELECT 1", &[]).await;
    assert!(found.is_ok(), "nothing runs on its connection: {found:?}");
    eventually("its end", async || {
        server
            .connections("query LIKE 'SELECT ''infinity''%' AND state = 'active'")
            .await
            == 0
    })
    .await;
}

pub(super) async fn statements_that_nothing_waits_for_are_cancelled(server: &PostgresServer) {
    let served = served(server.provider(Settings::default())).await;
    let sleep = "SELECT pg_sleep(600)";
    let short = Duration::from_millis(200);
    // The deadline passes; its caller goes; in a transaction.
    let late = served.connection.query(sleep, &[]).timeout(short).await;
    assert!(!matches!(late, Ok(Ok(_))), "{late:?}");
    let transaction = served.begin().await;
    let late = transaction.query(sleep, &[]).timeout(short).await;
    assert!(!matches!(late, Ok(Ok(_))), "{late:?}");
    eventually("the end of both", async || {
        server
            .connections("query LIKE 'SELECT pg_sleep%' AND state = 'active'")
            .await
            == 0
    })
    .await;
    // A reader that stops.
    let endless = "SELECT i, pg_sleep(0.001) IS NULL FROM generate_series(1, 1000000) AS s(i)";
    let mut stream = served.stream(endless, &[]).await.expect("it begins");
    assert!(stream.rows.next().await.is_some());
    drop(stream);
    eventually("its end", async || {
        server
            .connections("query LIKE 'SELECT i,%' AND state = 'active'")
            .await
            == 0
    })
    .await;
    drop(transaction);
    eventually("no open transaction", async || {
        server
            .connections("state LIKE 'idle in transaction%'")
            .await
            == 0
    })
    .await;
}

pub(super) async fn a_link_has_its_schema(server: &PostgresServer) {
    let made = "CREATE SCHEMA \"odd \"\" one\"; CREATE TABLE \"odd \"\" one\".notes (id BIGINT)";
    server.run(made).await;
    let served = served(server.provider(Settings::default())).await;
    let insert = "INSERT INTO notes VALUES (1)";
    let failed = served.execute(insert, &[]).await;
    assert!(matches!(failed, Err(Error::Syntax(_))), "{failed:?}");
    let config = LinkConfig {
        schema: Some("odd \" one".to_owned()),
        ..LinkConfig::default()
    };
    let odd = served.linked("odd", &config).await;
    assert_eq!(execute(&odd, insert, &[]).await, Ok(1));
}

pub(super) async fn a_read_only_link_cannot_be_talked_into_writing(server: &PostgresServer) {
    server.run("CREATE TABLE notes (id BIGINT)").await;
    let settings = Settings {
        pool_size: 1,
        ..Settings::default()
    };
    let served = served(server.provider(settings)).await;
    let config = LinkConfig {
        read_only: true,
        ..LinkConfig::default()
    };
    let reader = served.linked("reader", &config).await;
    for setting in ["default_transaction_read_only", "transaction_read_only"] {
        let set = format!("SELECT set_config('{setting}', 'off', false)");
        // One of them fails already.
        let _ = query(&reader, &set, &[]).await;
        let failed = execute(&reader, "INSERT INTO notes VALUES (1)", &[]).await;
        assert!(matches!(failed, Err(Error::ReadOnly(_))), "{failed:?}");
    }
    for statement in [
        "SET transaction_read_only = off",
        "DO $$ BEGIN COMMIT; END $$",
    ] {
        let failed = execute(&reader, statement, &[]).await;
        assert!(
            matches!(failed, Err(Error::Denied(_))),
            "{statement}: {failed:?}"
        );
    }
}

pub(super) async fn nothing_of_a_session_is_left_for_others(server: &PostgresServer) {
    server.run("CREATE TABLE notes (id BIGINT)").await;
    let settings = Settings {
        pool_size: 1,
        ..Settings::default()
    };
    let served = served(server.provider(settings)).await;
    for statement in [
        "CREATE TEMP TABLE notes AS SELECT 7::bigint AS id",
        "SELECT set_config('search_path', 'nowhere', false)",
        "SELECT pg_advisory_lock(7)",
        "DO $$ BEGIN CREATE TEMP TABLE notes AS SELECT 7::bigint AS id; END $$",
    ] {
        served.execute(statement, &[]).await.expect(statement);
        let count = served.value("SELECT count(*) FROM notes").await;
        assert_eq!(count, Value::Int64(0), "{statement}");
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
        assert_eq!(served.value(locks).await, Value::Int64(0), "{statement}");
    }
    // A transaction has its temporary tables until it ends.
    let transaction = served.begin().await;
    let temporary = "CREATE TEMP TABLE notes AS SELECT 7::bigint AS id";
    within(&transaction, temporary, &[]).await.expect("made");
    // Not the text from above: the server doesn't look up the names of one that is prepared again.
    let count = "SELECT count(id) FROM notes";
    let inside = within(&transaction, count, &[]).await.expect("a number");
    assert_eq!(inside.rows, [[Value::Int64(1)]]);
    commit(&transaction).await.expect("committed");
    assert_eq!(served.value(count).await, Value::Int64(0));
}

pub(super) async fn a_changed_table_is_noticed(server: &PostgresServer) {
    server.run("CREATE TABLE notes (id BIGINT)").await;
    let settings = Settings {
        pool_size: 1,
        ..Settings::default()
    };
    let served = served(server.provider(settings)).await;
    let all = "SELECT * FROM notes";
    assert_eq!(served.query(all, &[]).await.expect("none").columns.len(), 1);
    server.run("ALTER TABLE notes ADD COLUMN name TEXT").await;
    // The statement is prepared for what was; once it isn't, it is prepared again.
    let failed = served.query(all, &[]).await;
    assert!(matches!(failed, Err(Error::Conflict(_))), "{failed:?}");
    assert_eq!(served.query(all, &[]).await.expect("none").columns.len(), 2);
}

lattice_provider_sdk::client!({ inline: "
    package lattice:published-test;
    world asking { import wasmcloud:postgres/query@0.1.1-draft; }
" });

pub(super) async fn components_of_wasmcloud_find_their_interface(server: &PostgresServer) {
    use wasmcloud::postgres::query::{PgValue as Sent, QueryClient};
    let served = served(server.provider(Settings::default())).await;
    let link = Link::new("app", PUBLISHED.name(), "sql").expect("a link");
    served.lattice.links().put(link).await.expect("put");
    let client = QueryClient::new(served.lattice.caller("app").expect("an id"));
    let batch =
        "CREATE TABLE notes (id INT, name TEXT, spot POINT); INSERT INTO notes VALUES (1, 'a')";
    let done = client
        .query_batch(batch)
        .timeout(PATIENCE)
        .await
        .expect("the call");
    assert_eq!(done, Ok(()));
    let half = (1 << 52, -53, 1);
    let update = "UPDATE notes SET spot = $1 WHERE id = $2 RETURNING id, name, spot[0]";
    let parameters = [Sent::Point((half, half)), Sent::Int4(1)];
    let rows = client
        .query(update, &parameters)
        .timeout(PATIENCE)
        .await
        .expect("the call");
    let rows = rows.expect("a row");
    let values: Vec<_> = rows[0].iter().map(|entry| entry.value.clone()).collect();
    let expected = [
        Sent::Int4(1),
        Sent::Text("a".to_owned()),
        Sent::Float8(half),
    ];
    assert_eq!(values, expected);
    assert_eq!(rows[0][1].column_name, "name");
    for (statement, parameters) in [
        ("SELEC", &[][..]),
        ("SELECT $1::int", &[Sent::Text("x".to_owned())][..]),
    ] {
        let failed = client.query(statement, parameters).timeout(PATIENCE).await;
        assert!(matches!(failed, Ok(Err(_))), "{failed:?}");
    }
}
