//! Readers see an app as it is after a commit, never a part of a commit.

use super::*;
use std::collections::BTreeSet;

/// More changes than a reader takes in before it publishes.
const ACTORS: usize = 400;
const VERSIONS: usize = 20;

fn version(number: usize) -> App {
    let actor = |n| format!("[actors.a{n}]\nimage = \"registry.example/a:{number}\"\n");
    let actors: String = (0..ACTORS).map(actor).collect();
    app(&format!("name = \"large\"\n{actors}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_never_see_a_part_of_a_large_commit() {
    let store = MemoryStore::new();
    let (writer, reader) = (join(&store).await, join(&store).await);
    // It looks all the time, and not only when it is notified.
    let follow = tokio::task::spawn_blocking(move || {
        loop {
            let desired = reader.desired();
            let images = desired.actors.values();
            let images: BTreeSet<String> = images.map(|a| a.spec.image.to_string()).collect();
            assert!(images.len() <= 1, "a part of a commit: {images:?}");
            let count = desired.actors.len();
            assert!(count == 0 || count == ACTORS, "{count}");
            if images
                .iter()
                .any(|image| image.ends_with(&format!(":{VERSIONS}")))
            {
                return;
            }
        }
    });
    for number in 1..=VERSIONS {
        in_the_end(&writer, &version(number)).await;
    }
    follow.await.expect("every state is whole");
}
