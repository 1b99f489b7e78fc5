//! Transactions: their effects, and their ends.

use super::{Database, PATIENCE, Settings, begin, commit, eventually, rollback, served, within};
use lattice_provider_sdk::{CallError, serve};
use lattice_providers::sql::database::{ConnectionClient, Error, Isolation, Value};
use std::time::Duration;

const COUNT: &str = "SELECT count(*) FROM notes";
const INSERT: &str = "INSERT INTO notes VALUES ($1)";

async fn with_notes(database: &impl Database, settings: Settings) -> super::Served {
    let served = served(database.provider(settings)).await;
    let create = "CREATE TABLE notes (id BIGINT)";
    served.execute(create, &[]).await.expect("made");
    served
}

pub(super) async fn a_transaction_takes_effect_when_it_is_committed(database: &impl Database) {
    let served = with_notes(database, Settings::default()).await;
    for (end, expected) in [("commit", 1), ("rollback", 1), ("drop", 1)] {
        let before = served.value(COUNT).await;
        let transaction = served.begin().await;
        within(&transaction, INSERT, &[Value::Int64(7)])
            .await
            .expect("inserted");
        let inside = within(&transaction, COUNT, &[])
            .await
            .expect("a number")
            .rows;
        assert_ne!(inside, [[before.clone()]], "it sees its own effects");
        assert_eq!(served.value(COUNT).await, before, "others don't");
        match end {
            "commit" => commit(&transaction).await.expect("committed"),
            "rollback" => rollback(&transaction).await.expect("rolled back"),
            _ => drop(transaction),
        }
        assert_eq!(
            served.value(COUNT).await,
            Value::Int64(expected),
            "after {end}"
        );
    }
    // What was dropped doesn't hold anything up.
    let inserted = served.execute(INSERT, &[Value::Int64(8)]).await;
    assert_eq!(inserted, Ok(1));
}

pub(super) async fn a_transaction_that_is_over_takes_no_statements(database: &impl Database) {
    let served = with_notes(database, Settings::default()).await;
    for is_committed in [true, false] {
        let transaction = served.begin().await;
        if is_committed {
            commit(&transaction).await.expect("committed");
        } else {
            rollback(&transaction).await.expect("rolled back");
        }
        let failed = within(&transaction, COUNT, &[]).await;
        assert!(
            matches!(failed, Err(Error::TransactionOver(_))),
            "{failed:?}"
        );
        let failed = commit(&transaction).await;
        assert!(
            matches!(failed, Err(Error::TransactionOver(_))),
            "{failed:?}"
        );
    }
    // A statement that doesn't end in time ends its transaction.
    let transaction = served.begin().await;
    within(&transaction, INSERT, &[Value::Int64(1)])
        .await
        .expect("inserted");
    let endless = transaction.query(super::statements::ENDLESS, &[]);
    let ended = endless.timeout(Duration::from_millis(300)).await;
    assert!(!matches!(ended, Ok(Ok(_))), "{ended:?}");
    let failed = commit(&transaction).await;
    assert!(
        matches!(failed, Err(Error::TransactionOver(_))),
        "{failed:?}"
    );
    // Where writers take turns, this one waits until the transaction has ended.
    let inserted = served.execute(INSERT, &[Value::Int64(2)]).await;
    assert_eq!(inserted, Ok(1));
    assert_eq!(served.value(COUNT).await, Value::Int64(1));
}

pub(super) async fn increments_in_transactions_are_not_lost(database: &impl Database) {
    const TASKS: i64 = 4;
    const EACH: i64 = 5;
    let served = served(database.provider(Settings::default())).await;
    served
        .execute("CREATE TABLE counter (n BIGINT)", &[])
        .await
        .expect("made");
    served
        .execute("INSERT INTO counter VALUES (0)", &[])
        .await
        .expect("inserted");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let caller = served.lattice.caller("app").expect("an id");
        let connection = super::connected(caller).await;
        tasks.spawn(async move {
            for _ in 0..EACH {
                while let Err(error) = increment(&connection).await {
                    assert!(
                        matches!(error, Error::Conflict(_) | Error::TransactionOver(_)),
                        "{error}"
                    );
                }
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.expect("no panic");
    }
    let expected = Value::Int64(TASKS * EACH);
    assert_eq!(served.value("SELECT n FROM counter").await, expected);
}

/// Reads a number and writes the next one, in a transaction.
async fn increment(connection: &ConnectionClient) -> Result<(), Error> {
    let transaction = begin(connection, Isolation::Serializable).await?;
    let found = within(&transaction, "SELECT n FROM counter", &[]).await?;
    let Value::Int64(n) = found.rows[0][0] else {
        panic!("{found:?}");
    };
    within(
        &transaction,
        "UPDATE counter SET n = $1",
        &[Value::Int64(n + 1)],
    )
    .await?;
    commit(&transaction).await
}

pub(super) async fn an_idle_transaction_is_rolled_back(database: &impl Database) {
    let settings = Settings {
        pool_size: 1,
        idle_timeout: Duration::from_millis(200),
        ..Settings::default()
    };
    let served = with_notes(database, settings).await;
    let transaction = served.begin().await;
    // On a very busy machine, it may be over already.
    let _ = within(&transaction, INSERT, &[Value::Int64(1)]).await;
    // It has the only connection until then.
    assert_eq!(served.value(COUNT).await, Value::Int64(0));
    let failed = commit(&transaction).await;
    let Err(Error::TransactionOver(reason)) = failed else {
        panic!("{failed:?}");
    };
    assert!(reason.contains("idle for 200 ms"), "{reason}");
}

pub(super) async fn a_transaction_ends_with_its_provider(database: &impl Database) {
    let mut served = with_notes(database, Settings::default()).await;
    let transaction = served.begin().await;
    within(&transaction, INSERT, &[Value::Int64(1)])
        .await
        .expect("inserted");
    served.stop().await;
    let provider = database.provider(Settings::default());
    served.serving = Some(
        serve(&served.lattice, "sql", provider)
            .await
            .expect("served"),
    );
    // The component is served again, but what it had is gone.
    let failed = transaction.commit().timeout(PATIENCE).await;
    assert!(
        matches!(failed, Err(CallError::StaleHandle { .. })),
        "{failed:?}"
    );
    let other = super::served(database.provider(Settings::default())).await;
    assert_eq!(
        other.value(COUNT).await,
        Value::Int64(0),
        "it was rolled back"
    );
    // And it holds nothing up.
    eventually("an insert", async || {
        other.execute(INSERT, &[Value::Int64(2)]).await.is_ok()
    })
    .await;
}

pub(super) async fn what_was_committed_outlives_its_provider(database: &impl Database) {
    let mut served = with_notes(database, Settings::default()).await;
    let inserted = served.execute(INSERT, &[Value::Int64(1)]).await;
    assert_eq!(inserted, Ok(1));
    let transaction = served.begin().await;
    within(&transaction, INSERT, &[Value::Int64(2)])
        .await
        .expect("inserted");
    commit(&transaction).await.expect("committed");
    served.stop().await;
    let provider = database.provider(Settings::default());
    served.serving = Some(
        serve(&served.lattice, "sql", provider)
            .await
            .expect("served"),
    );
    let again = super::connected(served.lattice.caller("app").expect("an id")).await;
    let found = super::query(&again, "SELECT id FROM notes ORDER BY id", &[]).await;
    assert_eq!(
        found.expect("rows").rows,
        [[Value::Int64(1)], [Value::Int64(2)]],
        "what was committed is there"
    );
}
