//! Secrets: sealed in the store, opened by processes with the lattice's key.

use lattice_core::{
    Lattice,
    auth::LatticeKey,
    bus::memory::MemoryNetwork,
    name::SecretName,
    secrets::{MAX_SECRET, SecretError, Secrets},
    store::{Expect, MemoryStore, Op, Store as _, StoreKey},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// A store, and the key of the lattice that uses it.
struct Shared {
    store: MemoryStore,
    network: MemoryNetwork,
    key: LatticeKey,
}

impl Shared {
    fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            network: MemoryNetwork::new(),
            key: LatticeKey::generate(),
        }
    }

    /// Returns the secrets of another process.
    async fn process(&self) -> (Lattice, Secrets) {
        let bus = Arc::new(self.network.connect());
        let lattice = Lattice::on(bus, Arc::new(self.store.clone()), "dev");
        let lattice = lattice.key(self.key.clone()).await.expect("joins");
        let secrets = lattice.secrets();
        (lattice, secrets)
    }

    /// Returns what the store has of a secret.
    async fn stored(&self, name: &str) -> Vec<u8> {
        let entry = self.store.read(at(name)).await.expect("in reach");
        entry.expect("it is there").value.to_vec()
    }

    /// Writes something over a secret, as a client of the store without the key can.
    async fn spoil(&self, name: &str, value: impl Into<bytes::Bytes>) {
        let op = Op::put(at(name), value, Expect::Any);
        self.store.commit(vec![op]).await.expect("in reach");
    }
}

fn at(name: &str) -> StoreKey {
    StoreKey::secret(&SecretName::new(name).expect("a name"))
}

async fn until(holds: impl Fn() -> bool) {
    let waits = async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = timeout(Duration::from_mins(1), waits).await;
    waited.expect("it holds in time");
}

fn value(secrets: &Secrets, name: &str) -> Option<String> {
    match secrets.open(name) {
        Ok(value) => Some(String::from_utf8_lossy(value.expose()).into_owned()),
        Err(SecretError::NotFound { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Returns what is wrong with a secret, as it is listed.
fn trouble(secrets: &Secrets, name: &str) -> Option<String> {
    let listed = secrets.list();
    let found = listed.iter().find(|entry| entry.name.as_str() == name);
    found.and_then(|entry| entry.unreadable.as_deref().map(ToOwned::to_owned))
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_seen_by_every_process_changed_and_deleted() {
    let shared = Shared::new();
    let ((_here, here), (_there, there)) = (shared.process().await, shared.process().await);
    here.set("db.password", b"enigma").await.expect("set");
    assert_eq!(
        value(&here, "db.password").as_deref(),
        Some("enigma"),
        "at once"
    );
    until(|| value(&there, "db.password").as_deref() == Some("enigma")).await;
    there.set("db.password", b"changed").await.expect("set");
    until(|| value(&here, "db.password").as_deref() == Some("changed")).await;
    here.set("API_KEY", b"\xff\n").await.expect("set");
    let names: Vec<String> = here.list().iter().map(|one| one.name.to_string()).collect();
    assert_eq!(names, ["API_KEY", "db.password"]);
    here.delete("db.password").await.expect("deleted");
    assert_eq!(value(&here, "db.password"), None);
    until(|| value(&there, "db.password").is_none()).await;
    let again = here.delete("db.password").await.expect_err("it is gone");
    assert!(matches!(again, SecretError::NotFound { .. }), "{again}");
    here.set("db.password", b"").await.expect("set");
    assert_eq!(value(&here, "db.password").as_deref(), Some(""));
}

#[tokio::test(start_paused = true)]
async fn the_store_has_a_secret_only_sealed() {
    let shared = Shared::new();
    let (_lattice, secrets) = shared.process().await;
    secrets
        .set("one", b"a rather long enigma")
        .await
        .expect("set");
    let stored = shared.stored("one").await;
    let shows = |part: &[u8]| stored.windows(part.len()).any(|window| window == part);
    assert!(!shows(b"enigma"));
    secrets
        .set("one", b"a rather long enigma")
        .await
        .expect("set");
    assert_ne!(shared.stored("one").await, stored, "each write is another");
    for shown in [
        format!("{secrets:?}"),
        format!("{:?}", secrets.list()),
        format!("{:?}", secrets.open("one")),
    ] {
        assert!(!shown.contains("enigma"), "{shown}");
    }
    // What is sealed for one name isn't opened as another.
    shared.spoil("other", stored).await;
    until(|| trouble(&secrets, "other").is_some()).await;
    let refused = secrets.open("other").expect_err("it isn't its own");
    assert!(
        matches!(refused, SecretError::Unreadable { .. }),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_frozen() {
    let shared = Shared::new();
    let (_here, here) = shared.process().await;
    here.set("one", b"enigma").await.expect("set");
    assert_eq!(value(&here, "one").as_deref(), Some("enigma"));
    shared.spoil("one", "garbage").await;
    until(|| trouble(&here, "one").is_some()).await;
    assert_eq!(
        value(&here, "one").as_deref(),
        Some("enigma"),
        "the last one"
    );
    let (_there, there) = shared.process().await;
    let unread = there.open("one").expect_err("it was never read here");
    assert!(matches!(unread, SecretError::Unreadable { .. }), "{unread}");
    assert!(unread.to_string().contains("write it again"), "{unread}");
    there
        .set("one", b"again")
        .await
        .expect("garbage is replaced");
    until(|| value(&here, "one").as_deref() == Some("again")).await;
    assert_eq!(trouble(&here, "one"), None);
    // A client without the key can remove it, but not delete it.
    let removal = Op::delete(at("one"), Expect::Any);
    shared.store.commit(vec![removal]).await.expect("in reach");
    until(|| trouble(&here, "one").is_some()).await;
    assert_eq!(value(&here, "one").as_deref(), Some("again"));
    here.delete("one").await.expect("deleted");
    assert_eq!(value(&here, "one"), None);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_secret_does_not_come_back() {
    let shared = Shared::new();
    let (_lattice, secrets) = shared.process().await;
    secrets.set("one", b"enigma").await.expect("set");
    let recorded = shared.stored("one").await;
    secrets.delete("one").await.expect("deleted");
    shared.spoil("one", recorded).await;
    until(|| trouble(&secrets, "one").is_some()).await;
    let refused = secrets.open("one").expect_err("it was replayed");
    assert!(
        matches!(refused, SecretError::Unreadable { .. }),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_a_secret_is_refused_without_being_repeated() {
    let shared = Shared::new();
    let (_lattice, secrets) = shared.process().await;
    let most = vec![b'x'; MAX_SECRET.as_usize()];
    secrets.set("large", &most).await.expect("it fits");
    let error = secrets.set("large", &[&*most, b"x"].concat()).await;
    let error = error.expect_err("it is too large");
    assert!(matches!(error, SecretError::TooLarge { .. }), "{error}");
    let error = secrets.set("a/b", b"enigma").await.expect_err("no name");
    assert!(matches!(error, SecretError::Name(_)), "{error}");
    let lattice = Lattice::in_memory("dev").await.expect("opens");
    let secrets = lattice.secrets();
    for error in [
        secrets.set("one", b"enigma").await.expect_err("no key"),
        secrets.open("one").expect_err("no key"),
    ] {
        assert!(matches!(error, SecretError::NoKey), "{error}");
        assert!(!format!("{error} {error:?}").contains("enigma"));
    }
}
