//! A store in a file: the contract, and the data that outlives a process, in whatever way it ends.

use super::{key, next, put, snapshot, soon, value};
use lattice_core::{
    name::LatticeName,
    store::{
        Expect, MAX_OPS, Op, Store, WatchEvent,
        disk::{DiskStore, OpenError},
    },
};
use lattice_sim::conformance;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

/// The variable that contains the path of a child's file.
const FILE: &str = "LATTICE_TEST_STORE";

pub(crate) fn lattice() -> LatticeName {
    LatticeName::new("dev").expect("a name")
}

pub(crate) async fn open(path: &Path) -> DiskStore {
    match soon("opening", DiskStore::open(path, &lattice())).await {
        Ok(store) => store,
        Err(error) => panic!("{error}: {error:?}"),
    }
}

/// Runs a test of this module in its own process, with its file.
pub(crate) fn child(test: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command
        .args(["--exact", test, "--nocapture", "--ignored"])
        .env(FILE, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Returns the file of a child, or `None` if this process isn't a child.
pub(crate) fn file() -> Option<std::path::PathBuf> {
    std::env::var_os(FILE).map(Into::into)
}

#[tokio::test]
async fn keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let count = std::cell::Cell::new(0);
    conformance::store::run(async || {
        count.set(count.get() + 1);
        let store = open(&folder.path().join(count.get().to_string())).await;
        (Arc::new(store.clone()) as _, Arc::new(store) as _)
    })
    .await;
}

#[tokio::test]
async fn writes_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = open(&path).await;
    let life = store.incarnation().await.expect("in reach");
    let ops = (0..MAX_OPS).map(|n| Op::put(key(&format!("k{n}")), vec![7; n], Expect::Absent));
    let full = store.commit(ops.collect()).await.expect("a full commit");
    let gone = store.commit(vec![Op::delete(key("k7"), Expect::Any)]).await;
    let gone = gone.expect("deleted");
    let last = store.commit(put("a", "1", Expect::Absent)).await;
    let last = last.expect("written");
    let mut before = snapshot(&mut store.watch().await.expect("in reach")).await;
    drop(store);

    for _ in 0..3 {
        let store = open(&path).await;
        assert_eq!(store.incarnation().await.expect("in reach"), life);
        let after = snapshot(&mut store.watch().await.expect("in reach")).await;
        assert!(after.1 >= before.1, "revisions never decrease");
        assert_eq!(
            after.2, before.2,
            "values and revisions stay as they were written"
        );
        before = after;
    }
    let store = open(&path).await;
    assert_eq!(value(&store, "k7").await, None);
    let again = store.commit(put("k7", "2", Expect::At(gone))).await;
    let again = again.expect("the revision of a deletion counts after a restart too");
    assert!(again > last && last > full);
    let stale = store.commit(put("a", "2", Expect::At(full))).await;
    stale.expect_err("it was written later");
    store
        .commit(put("a", "2", Expect::At(last)))
        .await
        .expect("its revision");
}

#[tokio::test]
async fn leases_survive_a_restart_and_end_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = open(&path).await;
    let lease = async |store: &DiskStore, name: &str, secs, expect| {
        store
            .lease(key(name), "A".into(), Duration::from_secs(secs), expect)
            .await
    };
    let long = lease(&store, "long", 600, Expect::Absent)
        .await
        .expect("free");
    // Long enough that even a slow machine opens the file again within it.
    lease(&store, "short", 6, Expect::Absent)
        .await
        .expect("free");
    drop(store);

    let store = open(&path).await;
    let mut watch = store.watch().await.expect("in reach");
    let (_, revision, entries) = snapshot(&mut watch).await;
    assert_eq!(
        entries.len(),
        2,
        "a restart within the term changes nothing"
    );
    let WatchEvent::Delete { key: gone, .. } = next(&mut watch).await else {
        panic!("the short lease ends");
    };
    assert_eq!(gone, key("short"));
    drop((store, watch));

    let store = open(&path).await;
    assert_eq!(value(&store, "short").await, None, "it stays deleted");
    lease(&store, "long", 600, Expect::Absent)
        .await
        .expect_err("still held");
    let renewed = lease(&store, "long", 600, Expect::At(long)).await;
    assert!(renewed.expect("renewed with its revision") > revision);
}

/// Not a test: the program of the child of the tests below, until it is killed.
#[tokio::test]
#[ignore = "the child of another test"]
async fn writer() {
    let Some(path) = file() else { return };
    let store = open(&path).await;
    let begun: usize = value(&store, "k0")
        .await
        .map_or(0, |text| text.parse().expect("a round"));
    println!("open {begun}");
    for round in begun + 1.. {
        let mut ops: Vec<Op> = (0..20)
            .map(|n| Op::put(key(&format!("k{n}")), round.to_string(), Expect::Any))
            .collect();
        // Rows are written and deleted, so that pages of the file are reused.
        let filler = key(&format!("filler{}", round % 10));
        ops.push(if round % 3 == 0 {
            Op::delete(filler, Expect::Any)
        } else {
            Op::put(filler, vec![round as u8; round * 997 % 20_000], Expect::Any)
        });
        store.commit(ops).await.expect("written");
        println!("round {round}");
        std::io::stdout().flush().expect("the parent reads");
    }
}

/// A child that writes. It is killed when the test ends in any way.
struct Writer {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Writer {
    fn start(path: &Path) -> Self {
        let mut child = child("store::disk::writer", path).spawn().expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// Returns the number in the next line that begins with `word`, or `None` when the child has
    /// ended.
    fn next_number(&mut self, word: &str) -> Option<usize> {
        loop {
            let line = self.lines.next()?.ok()?;
            // Output of the test runner may precede ours.
            if let Some((_, number)) = line.split_once(&format!("{word} ")) {
                return number.trim().parse().ok();
            }
        }
    }

    fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().expect("its end");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test]
async fn a_killed_process_leaves_every_confirmed_commit_and_no_partial_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut last = (None, 0);
    for life in 0..8 {
        let mut writer = Writer::start(&path);
        assert_eq!(
            writer.next_number("open"),
            Some(last.1),
            "the same as the test saw"
        );
        let mut confirmed = last.1;
        // A different number of commits in each process. The moment of the kill within the next
        // commit is random.
        for _ in 0..life * 3 {
            confirmed = writer.next_number("round").expect("it writes");
        }
        writer.kill();
        while let Some(round) = writer.next_number("round") {
            confirmed = round;
        }

        let store = open(&path).await;
        let mut rounds = Vec::new();
        for n in 0..20 {
            let round = value(&store, &format!("k{n}")).await.unwrap_or_default();
            rounds.push(round.parse().unwrap_or(0));
        }
        let found: usize = rounds[0];
        assert!(
            rounds.iter().all(|round| *round == found),
            "a partial commit: {rounds:?}"
        );
        assert!(
            (confirmed..=confirmed + 1).contains(&found),
            "confirmed {confirmed}, found {found}"
        );
        let incarnation = store.incarnation().await.expect("in reach");
        assert!(last.0.is_none_or(|before| before == incarnation));
        last = (Some(incarnation), found);
    }
    assert!(last.1 > 0, "it wrote something");
}

#[tokio::test]
async fn a_file_is_used_by_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut writer = Writer::start(&path);
    writer.next_number("round").expect("it writes");
    let refused = soon("opening", DiskStore::open(&path, &lattice())).await;
    let error = refused.expect_err("the child has it");
    assert!(
        matches!(&error, OpenError::AlreadyOpen { path: at } if *at == path),
        "{error:?}"
    );
    assert!(error.to_string().contains(&path.display().to_string()));

    // A process has one handle with its clones.
    writer.kill();
    let store = open(&path).await;
    let clone = store.clone();
    let refused = soon("opening", DiskStore::open(&path, &lattice())).await;
    assert!(
        matches!(refused, Err(OpenError::AlreadyOpen { .. })),
        "{refused:?}"
    );
    drop(store);
    let waiting = tokio::spawn(async move { open(&path).await });
    clone
        .commit(put("a", "1", Expect::Any))
        .await
        .expect("in reach");
    drop(clone);
    let heir = waiting
        .await
        .expect("it waited until the last user was gone");
    assert_eq!(value(&heir, "a").await.as_deref(), Some("1"));
}
