//! Series: each step is taken once, whatever happens to the processes that take them.

use lattice_core::{
    Lattice,
    bus::memory::MemoryNetwork,
    series::{Series, SeriesError, Taken},
    store::{Expect, MemoryStore, Op, Store, StoreKey},
};
use lattice_sim::fault::{FaultStore, StoreFaults};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const DAY: Duration = Duration::from_hours(24);

/// Returns a process of the lattice that reaches the store through `way`.
async fn process(way: Arc<dyn Store>) -> Lattice {
    let bus = Arc::new(MemoryNetwork::new().connect());
    let lattice = Lattice::on(bus, way, "dev").trust_bus();
    lattice.await.expect("joins")
}

async fn series(store: &MemoryStore) -> Series {
    let lattice = process(Arc::new(store.clone())).await;
    lattice.series("clock", "minutes").expect("a valid name")
}

#[tokio::test(start_paused = true)]
async fn each_step_is_taken_by_one_of_many_processes() {
    const STEPS: u64 = 100;
    let store = MemoryStore::new();
    let mut processes = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let mut series = series(&store).await;
        processes.spawn(async move {
            let mut taken = Vec::new();
            for step in 1..=STEPS {
                if series.take(step, DAY).await.expect("the store is there") == Taken::Here {
                    taken.push(step);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            taken
        });
    }
    let mut times = BTreeMap::new();
    for step in processes.join_all().await.into_iter().flatten() {
        *times.entry(step).or_insert(0) += 1;
    }
    assert_eq!(times, (1..=STEPS).map(|step| (step, 1)).collect());
}

#[tokio::test(start_paused = true)]
async fn steps_rise_and_a_new_process_goes_on_after_the_last() {
    let store = MemoryStore::new();
    let mut one = series(&store).await;
    assert_eq!(one.last().await.expect("reads"), None);
    assert_eq!(one.take(7, DAY).await.expect("takes"), Taken::Here);
    let again = one.take(7, DAY).await.expect("reads");
    assert_eq!(again, Taken::Passed { last: 7 }, "its own step, too");
    drop(one);
    let mut other = series(&store).await;
    let earlier = other.take(6, DAY).await.expect("reads");
    assert_eq!(earlier, Taken::Passed { last: 7 });
    assert_eq!(other.last().await.expect("reads"), Some(7));
    assert_eq!(other.take(u64::MAX, DAY).await.expect("takes"), Taken::Here);
}

#[tokio::test(start_paused = true)]
async fn a_series_is_forgotten_after_its_term() {
    let store = MemoryStore::new();
    let mut one = series(&store).await;
    let term = Duration::from_millis(1_500);
    assert_eq!(one.take(1, term).await.expect("takes"), Taken::Here);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut other = series(&store).await;
    assert_eq!(other.last().await.expect("reads"), None);
    assert_eq!(other.take(1, term).await.expect("takes"), Taken::Here);
    let known = one.take(1, term).await.expect("reads");
    assert_eq!(known, Taken::Passed { last: 1 }, "it took that step itself");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_settled_by_reading() {
    let store = MemoryStore::new();
    let fault = FaultStore::new(Arc::new(store.clone()), 1);
    let lattice = process(Arc::new(fault.clone())).await;
    let mut one = lattice.series("clock", "minutes").expect("valid");
    fault.set(StoreFaults::none().losing_answers(1.0));
    assert_eq!(one.take(1, DAY).await.expect("settled"), Taken::Here);

    fault.set(StoreFaults::none().failing(1.0));
    let failed = one.take(2, DAY).await;
    assert!(matches!(failed, Err(SeriesError::Store(_))), "{failed:?}");
    fault.set(StoreFaults::none());
    assert_eq!(one.take(2, DAY).await.expect("takes"), Taken::Here);
    let mut other = series(&store).await;
    let passed = other.take(2, DAY).await.expect("reads");
    assert_eq!(passed, Taken::Passed { last: 2 });
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_store_never_give_a_step_to_two() {
    let store = MemoryStore::new();
    let mut processes = tokio::task::JoinSet::new();
    for seed in 0..4 {
        let fault = FaultStore::new(Arc::new(store.clone()), seed);
        let lattice = process(Arc::new(fault.clone())).await;
        fault.set(StoreFaults::none().losing_answers(0.3).failing(0.2));
        processes.spawn(async move {
            let mut series = lattice.series("clock", "minutes").expect("valid");
            let mut taken = Vec::new();
            for step in 1..=50 {
                // A failed attempt is made again with the same handle, as the error says.
                for _ in 0..10 {
                    match series.take(step, DAY).await {
                        Ok(Taken::Here) => taken.push(step),
                        Ok(Taken::Passed { .. }) => break,
                        Err(_) => {}
                    }
                }
                // The others take their turns.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            taken
        });
    }
    let mut taken: Vec<u64> = processes.join_all().await.into_iter().flatten().collect();
    let all = taken.len();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), all, "a step was taken twice");
    // A step whose answer was lost may be taken by no one. Not all are.
    assert!(all > 10, "only {all} steps were taken");
}

#[tokio::test(start_paused = true)]
async fn a_handle_refuses_steps_that_it_has_seen_also_when_the_record_was_removed() {
    let store = MemoryStore::new();
    let (mut one, mut other) = (series(&store).await, series(&store).await);
    assert_eq!(one.take(3, DAY).await.expect("takes"), Taken::Here);
    let passed = other.take(3, DAY).await.expect("reads");
    assert_eq!(passed, Taken::Passed { last: 3 });
    let component = "clock".parse().expect("valid");
    let removal = Op::delete(StoreKey::series(&component, "minutes"), Expect::Any);
    store.commit(vec![removal]).await.expect("removed");
    for series in [&mut one, &mut other] {
        let known = series.take(3, DAY).await.expect("known");
        assert_eq!(known, Taken::Passed { last: 3 });
    }
}
