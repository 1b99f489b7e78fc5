use super::*;
use tempfile::TempDir;
use tokio::time::timeout;

/// The deadline of each wait.
const PATIENCE: Duration = Duration::from_secs(30);

impl Changes {
    /// Returns whether a file below this folder, or this file, has changed.
    fn touch(&self, path: &Path) -> bool {
        self.0.keys().any(|changed| changed.starts_with(path))
    }

    /// Returns the change of one file.
    pub(in crate::dev) fn of(path: PathBuf, change: Change) -> Self {
        Self([(path, change)].into())
    }

    /// Adds those that came later.
    fn extend(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

/// A project, and the watch of it. The path is the full one, as reports have it.
fn project() -> (TempDir, PathBuf, Sources) {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().canonicalize().expect("its path");
    fs::create_dir_all(root.join("src")).expect("a folder");
    fs::create_dir_all(root.join("target/debug")).expect("a folder");
    fs::write(root.join("src/lib.rs"), "one").expect("written");
    let sources = Sources::watch(&root).expect("watched");
    (folder, root, sources)
}

async fn next(sources: &mut Sources) -> Changes {
    let changed = timeout(PATIENCE, sources.changed()).await;
    changed.expect("something has changed").expect("watched")
}

/// Changes a file that counts, and returns everything that changed until then.
async fn until_marked(root: &Path, sources: &mut Sources) -> Vec<(PathBuf, Change)> {
    fs::write(
        root.join("mark"),
        Instant::now().elapsed().as_nanos().to_string(),
    )
    .expect("written");
    let mut all = Changes::default();
    while !all.touch(&root.join("mark")) {
        all.extend(next(sources).await);
    }
    fs::remove_file(root.join("mark")).expect("removed");
    while sources.known.contains_key(&root.join("mark")) {
        next(sources).await;
    }
    let others = all.0.into_iter();
    let others = others.filter(|(path, _)| !path.ends_with("mark"));
    others
        .map(|(path, change)| (path.strip_prefix(root).expect("below").into(), change))
        .collect()
}

#[tokio::test]
async fn a_file_that_is_written_added_or_removed_has_changed() {
    let (_folder, root, mut sources) = project();
    let lib = root.join("src/lib.rs");
    fs::write(&lib, "two").expect("written");
    let changes = next(&mut sources).await;
    assert_eq!(changes.shown(&root), "src/lib.rs");
    assert!(changes.touch(&root.join("src")) && !changes.touch(&root.join("wit")));

    fs::create_dir_all(root.join("wit/deps")).expect("a folder");
    fs::write(root.join("wit/deps/a.wit"), "package a:b;").expect("written");
    let mut changes = Changes::default();
    while !changes.touch(&root.join("wit/deps/a.wit")) {
        changes.extend(next(&mut sources).await);
    }
    assert_eq!(changes.shown(&root), "wit/deps/a.wit (new)");

    fs::remove_file(&lib).expect("removed");
    assert_eq!(
        next(&mut sources).await.shown(&root),
        "src/lib.rs (removed)"
    );
}

#[tokio::test]
async fn a_file_that_is_saved_by_a_rename_has_changed_once() {
    let (_folder, root, mut sources) = project();
    // As editors do: a temporary file, and a copy of the old one for a moment.
    let lib = root.join("src/lib.rs");
    fs::write(root.join("src/.lib.rs.swp"), "swap").expect("written");
    fs::rename(&lib, root.join("src/lib.rs~")).expect("renamed");
    fs::write(root.join("src/lib.rs.tmp"), "two").expect("written");
    fs::rename(root.join("src/lib.rs.tmp"), &lib).expect("renamed");
    fs::remove_file(root.join("src/lib.rs~")).expect("removed");
    let changed = until_marked(&root, &mut sources).await;
    assert_eq!(changed, [("src/lib.rs".into(), Change::Changed)]);
}

#[tokio::test]
async fn what_tools_write_and_what_stays_the_same_is_no_change() {
    let (_folder, root, mut sources) = project();
    fs::write(root.join("target/debug/a.rs"), "x").expect("written");
    fs::write(root.join("a.wasm"), "x").expect("written");
    fs::create_dir(root.join(".git")).expect("a folder");
    fs::write(root.join(".git/index"), "x").expect("written");
    // Saved as it was.
    fs::write(root.join("src/lib.rs"), "one").expect("written");
    fs::write(root.join("Cargo.lock"), "x").expect("written");
    sources.accept_locks();
    assert_eq!(until_marked(&root, &mut sources).await, []);
}

#[tokio::test]
async fn a_named_file_counts_wherever_it_is() {
    let (_folder, root, mut sources) = project();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let image = elsewhere.path().canonicalize().expect("its path");
    let image = image.join("a.wasm");
    fs::write(&image, "one").expect("written");
    sources.name([image.clone()].into()).expect("watched");
    fs::write(image.with_extension("other"), "x").expect("written");
    fs::write(&image, "two").expect("written");
    let changes = next(&mut sources).await;
    assert_eq!(changes.paths().collect::<Vec<_>>(), [image.as_path()]);
    sources.name(BTreeSet::new()).expect("none is named");
    fs::write(&image, "three").expect("written");
    assert_eq!(until_marked(&root, &mut sources).await, []);
}

#[tokio::test]
async fn a_named_file_counts_in_a_folder_that_is_made_again() {
    let (_folder, _root, mut sources) = project();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let target = elsewhere.path().canonicalize().expect("its path");
    let target = target.join("target");
    let image = target.join("release/a.wasm");
    let build = |text: &str| {
        fs::create_dir_all(target.join("release")).expect("a folder");
        fs::write(&image, text).expect("written");
    };
    sources.name([image.clone()].into()).expect("watched");
    build("one");
    assert_eq!(
        next(&mut sources).await,
        Changes::of(image.clone(), Change::Added)
    );
    fs::remove_dir_all(&target).expect("removed");
    assert_eq!(
        next(&mut sources).await,
        Changes::of(image.clone(), Change::Removed)
    );
    build("two");
    assert_eq!(
        next(&mut sources).await,
        Changes::of(image.clone(), Change::Added)
    );
    // Removed and made again in one go.
    fs::remove_dir_all(&target).expect("removed");
    build("three");
    assert_eq!(
        next(&mut sources).await,
        Changes::of(image.clone(), Change::Changed)
    );
    build("four");
    assert_eq!(
        next(&mut sources).await,
        Changes::of(image.clone(), Change::Changed)
    );
}

#[tokio::test]
async fn a_folder_that_is_removed_takes_its_files_along() {
    let (_folder, root, mut sources) = project();
    fs::remove_dir_all(root.join("src")).expect("removed");
    let changed = until_marked(&root, &mut sources).await;
    assert_eq!(changed, [("src/lib.rs".into(), Change::Removed)]);
    fs::create_dir(root.join("src")).expect("a folder");
    fs::write(root.join("src/lib.rs"), "again").expect("written");
    let changed = until_marked(&root, &mut sources).await;
    assert_eq!(changed, [("src/lib.rs".into(), Change::Added)]);
}

#[tokio::test]
async fn a_project_that_is_removed_is_an_error_and_one_in_its_place_is_not() {
    let (_folder, root, mut sources) = project();
    let aside = root.with_extension("aside");
    fs::create_dir_all(aside.join("src")).expect("a folder");
    fs::write(aside.join("src/lib.rs"), "other").expect("written");
    fs::remove_dir_all(&root).expect("removed");
    fs::rename(&aside, &root).expect("renamed");
    assert_eq!(next(&mut sources).await.shown(&root), "src/lib.rs");
    // It is watched as the one before was.
    fs::write(root.join("src/lib.rs"), "another").expect("written");
    assert_eq!(next(&mut sources).await.shown(&root), "src/lib.rs");

    fs::rename(&root, &aside).expect("renamed");
    let gone = timeout(PATIENCE, sources.changed()).await;
    let error = gone.expect("it is noticed").expect_err("it is gone");
    assert!(matches!(error, SourcesError::Gone(_)), "{error}");
    fs::remove_dir_all(&aside).expect("removed");
}

#[tokio::test]
async fn a_lost_report_is_made_up_for() {
    let (_folder, root, mut sources) = project();
    // The watcher's thread may report the first one by itself, too.
    fs::write(root.join("src/lib.rs"), "two").expect("written");
    sources.inbox.lock().paths.clear();
    sources.inbox.take(Err(notify::Error::generic("lost")));
    let changed = until_marked(&root, &mut sources).await;
    assert_eq!(changed, [("src/lib.rs".into(), Change::Changed)]);
}

#[tokio::test]
async fn a_wait_that_is_dropped_loses_no_change() {
    let (_folder, root, mut sources) = project();
    fs::write(root.join("src/lib.rs"), "two").expect("written");
    loop {
        // Dropped before the quiet time is over.
        let dropped = timeout(Duration::from_millis(5), sources.changed()).await;
        assert!(dropped.is_err(), "it waits for quiet");
        if !sources.inbox.lock().paths.is_empty() {
            break;
        }
    }
    assert_eq!(next(&mut sources).await.shown(&root), "src/lib.rs");
}
