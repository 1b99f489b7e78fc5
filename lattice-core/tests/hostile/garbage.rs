//! Bytes that mean nothing, on every subject and in store keys.

use crate::*;
use lattice_core::{
    call::CallError,
    store::{Expect, Op, StoreKey},
};

impl Scene {
    /// Subjects that someone listens on.
    fn subjects(&self) -> Vec<Subject> {
        let (a, b) = (self.two.a.origin(), self.two.b.origin());
        vec![
            self.inbox(),
            self.subjects.call(&a.host, a.epoch),
            self.subjects.reply(&a.host, a.epoch, 1, 1),
            self.subjects.reply(&b.host, b.epoch, 1, 1),
            self.subjects.beat(),
            self.subjects.serves(&id("callee")),
        ]
    }
}

#[tokio::test]
async fn garbage_on_every_subject_harms_nothing() {
    let scene = Scene::set().await;
    let mut tap = scene.tap(scene.inbox()).await;
    assert_eq!(scene.two.say().await, Ok(text("x")));
    let (_, real) = next(&mut tap).await;
    for subject in scene.subjects() {
        for cut in 0..real.len() {
            scene.send(subject.clone(), real.slice(..cut)).await;
        }
        for bit in 0..real.len() * 8 {
            let mut bytes = real.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            scene.send(subject.clone(), bytes.into()).await;
        }
        for size in [0, 1, 80, 4_096, 1 << 20] {
            scene.send(subject.clone(), vec![0xa5; size].into()).await;
        }
    }
    scene.still_works().await;
    assert_eq!(scene.two.api.calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn garbage_in_store_keys_harms_nothing() {
    let scene = Scene::set().await;
    let put = async |key: StoreKey, bytes: &[u8]| {
        let op = Op::put(key, bytes.to_vec(), Expect::Any);
        scene.store.commit(vec![op]).await.expect("taken");
    };
    let link = grant("victim", "callee");
    let of = |key: fn(&_, &_, &_) -> StoreKey| key(&link.source, &link.interface, &link.name);
    for bytes in [&b""[..], b"\0", b"garbage", &[0xff; 4_096]] {
        put(StoreKey::for_test("foreign"), bytes).await;
        put(of(StoreKey::link), bytes).await;
        put(of(StoreKey::link_status), bytes).await;
        put(StoreKey::component(&id("victim")), bytes).await;
        put(StoreKey::types(&"0".repeat(64)), bytes).await;
    }
    scene.still_works().await;
    let victim = scene.two.a.caller(id("victim"));
    let answer = say(&victim).await;
    assert!(
        matches!(answer, Err(CallError::NotLinked { .. })),
        "{answer:?}"
    );
    let links = scene.two.lattice.links();
    links
        .replace(link)
        .await
        .expect("a good link replaces the garbage");
    say(&victim).await.expect("and grants");
}
