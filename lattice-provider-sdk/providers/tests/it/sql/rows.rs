//! Rows: streams of them, and limits.

use super::{
    Database, PATIENCE, Settings, begin, commit, eventually, execute, next, query, served, within,
};
use futures_util::StreamExt;
use lattice_provider_sdk::Broken;
use lattice_providers::sql::{
    LinkConfig,
    database::{Error, Isolation, Value},
};
use std::time::Duration;
use tokio::time::timeout;

/// The numbers up to one.
const NUMBERS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
                       SELECT i FROM n";
/// Rows without an end.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT i FROM n";

fn number(value: &Value) -> i64 {
    match value {
        Value::Int32(number) => i64::from(*number),
        Value::Int64(number) => *number,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn a_hundred_thousand_rows_are_streamed(database: &impl Database) {
    const COUNT: i64 = 100_000;
    let served = served(database.provider(Settings::default())).await;
    let stream = served.stream(NUMBERS, &[Value::Int32(COUNT as i32)]).await;
    let mut stream = stream.expect("a stream");
    let mut expected = 1;
    while let Some(row) = timeout(PATIENCE, stream.rows.next()).await.expect("soon") {
        assert_eq!(number(&row.expect("whole")[0]), expected);
        expected += 1;
        if expected % 25_000 == 0 {
            // A slow reader.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(expected, COUNT + 1);
    assert_eq!(stream.outcome.await, Ok(Ok(COUNT as u64)));
}

pub(super) async fn a_reader_that_stops_stops_the_statement(database: &impl Database) {
    let settings = Settings {
        pool_size: 1,
        ..Settings::default()
    };
    let served = served(database.provider(settings)).await;
    let mut stream = served.stream(ENDLESS, &[]).await.expect("a stream");
    for _ in 0..1_000 {
        assert_eq!(number(&next(&mut stream).await[0]), 1);
    }
    drop(stream);
    // It had the only connection.
    assert!(served.query("SELECT 1", &[]).await.is_ok());
}

pub(super) async fn a_reader_that_takes_nothing_loses_the_stream(database: &impl Database) {
    let settings = Settings {
        pool_size: 1,
        idle_timeout: Duration::from_millis(200),
        ..Settings::default()
    };
    let served = served(database.provider(settings)).await;
    let mut stream = served.stream(ENDLESS, &[]).await.expect("a stream");
    next(&mut stream).await;
    // The statement's connection is the only one, so it has ended then.
    assert!(served.query("SELECT 1", &[]).await.is_ok());
    // What was sent still comes, and then no end, but an error.
    let end = async {
        loop {
            match stream.rows.next().await {
                Some(Ok(_)) => {}
                end => return end,
            }
        }
    };
    let end = timeout(PATIENCE, end).await.expect("soon");
    assert!(matches!(end, Some(Err(Broken::Failed { .. }))), "{end:?}");
    let outcome = stream.outcome.await.expect("it is told");
    assert!(matches!(outcome, Err(Error::Timeout(_))), "{outcome:?}");
}

pub(super) async fn a_result_over_the_limits_is_refused(database: &impl Database) {
    let settings = Settings {
        max_rows: 10,
        ..Settings::default()
    };
    let served = served(database.provider(settings)).await;
    let rows = async |count| served.query(NUMBERS, &[Value::Int32(count)]).await;
    assert_eq!(rows(10).await.expect("as many as allowed").rows.len(), 10);
    let failed = rows(11).await;
    assert!(matches!(failed, Err(Error::TooLarge(_))), "{failed:?}");
    let stream = served
        .stream(NUMBERS, &[Value::Int32(11)])
        .await
        .expect("a stream");
    assert_eq!(
        stream.rows.count().await,
        11,
        "of a stream there may be more"
    );

    let config = LinkConfig {
        max_rows: Some(2),
        max_bytes: Some(1_000),
        ..LinkConfig::default()
    };
    let narrow = served.linked("narrow", &config).await;
    let failed = query(&narrow, NUMBERS, &[Value::Int32(3)]).await;
    assert!(matches!(failed, Err(Error::TooLarge(_))), "{failed:?}");
    execute(&narrow, "CREATE TABLE texts (t TEXT)", &[])
        .await
        .expect("made");
    for size in [900, 1_100] {
        let value = Value::Str("x".repeat(size));
        let insert = "INSERT INTO texts VALUES ($1)";
        execute(&narrow, insert, &[value]).await.expect("inserted");
    }
    let small = query(&narrow, "SELECT t FROM texts WHERE length(t) < 1000", &[]).await;
    assert_eq!(small.expect("it fits").rows.len(), 1);
    let failed = query(&narrow, "SELECT t FROM texts", &[]).await;
    assert!(matches!(failed, Err(Error::TooLarge(_))), "{failed:?}");
}

pub(super) async fn a_row_over_the_limit_breaks_the_stream(database: &impl Database) {
    let settings = Settings {
        max_bytes: 1_000,
        ..Settings::default()
    };
    let served = served(database.provider(settings)).await;
    served
        .execute("CREATE TABLE texts (id BIGINT, t TEXT)", &[])
        .await
        .expect("made");
    for (id, size) in [(1, 10), (2, 2_000), (3, 10)] {
        let row = [Value::Int64(id), Value::Str("x".repeat(size))];
        let inserted = served
            .execute("INSERT INTO texts VALUES ($1, $2)", &row)
            .await;
        assert_eq!(inserted, Ok(1));
    }
    let stream = served.stream("SELECT t FROM texts ORDER BY id", &[]).await;
    let mut stream = stream.expect("a stream");
    next(&mut stream).await;
    let end = stream.rows.next().await;
    assert!(matches!(end, Some(Err(Broken::Failed { .. }))), "{end:?}");
    let outcome = stream.outcome.await.expect("it is told");
    assert!(matches!(outcome, Err(Error::TooLarge(_))), "{outcome:?}");
}

pub(super) async fn a_stream_of_a_transaction_comes_before_its_next_statement(
    database: &impl Database,
) {
    let served = served(database.provider(Settings::default())).await;
    served
        .execute("CREATE TABLE seen (n BIGINT)", &[])
        .await
        .expect("made");
    let transaction = begin(&served.connection, Isolation::RepeatableRead).await;
    let transaction = transaction.expect("it begins");
    let call = transaction
        .stream(NUMBERS, &[Value::Int32(1_000)])
        .timeout(PATIENCE);
    let mut stream = call.await.expect("the call").expect("a stream");
    next(&mut stream).await;
    let insert = within(&transaction, "INSERT INTO seen VALUES (1)", &[]);
    let (rest, inserted) = tokio::join!(stream.rows.count(), insert);
    assert_eq!(rest, 999);
    inserted.expect("inserted");
    assert_eq!(stream.outcome.await, Ok(Ok(1_000)));
    commit(&transaction).await.expect("committed");
    eventually("the row", async || {
        served.value("SELECT count(*) FROM seen").await == Value::Int64(1)
    })
    .await;
}
