//! The sources of a project: notices when they change.
//!
//! Each folder is watched by itself, so that those that aren't source cost nothing. A file counts
//! as changed when its content has: what an editor saves unchanged doesn't, and neither does a file
//! that was written and replaced in one go.

use super::ignore;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _, event::ModifyKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// How long nothing more may change before the changes count as complete. Editors write, rename and
/// remove several files for one save, within a few milliseconds.
const QUIET: Duration = Duration::from_millis(40);
/// How long changes are collected at most, if they don't stop.
const LONGEST: Duration = Duration::from_secs(1);
/// The most paths that are collected. Above that, all files are looked at.
const COLLECTED: usize = 10_000;
/// The most folders that are watched.
const FOLDERS: usize = 5_000;
/// Larger files count as changed by their size and time.
const READ: u64 = 16 << 20;
/// Files that tools write while they build, which is no change to build for.
const LOCKS: [&str; 2] = ["Cargo.lock", "package-lock.json"];

/// Why sources can't be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum SourcesError {
    /// The system refuses.
    #[error(
        "changes in `{}` can't be watched; on Linux, `sysctl fs.inotify` shows the limits, and `sysctl fs.inotify.max_user_watches=524288` raises one", folder.display()
    )]
    Watch {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: notify::Error,
    },
    /// The folder itself was removed or renamed, and what is made in its place isn't reported.
    #[error("`{}` isn't there any more; start `lattice dev` again where the project is now", .0.display())]
    Gone(PathBuf),
    /// The folder is too large.
    #[error(
        "`{}` has more than {FOLDERS} folders; name the folder of one app, actor or provider", .0.display()
    )]
    TooMany(PathBuf),
}

/// How a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Changed,
    Removed,
}

/// The files that changed, by their full paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Changes(BTreeMap<PathBuf, Change>);

/// The sources below a folder, and single files elsewhere.
pub(super) struct Sources {
    watcher: RecommendedWatcher,
    inbox: Arc<Inbox>,
    root: PathBuf,
    /// The folders that are watched.
    folders: BTreeSet<PathBuf>,
    known: BTreeMap<PathBuf, Content>,
    /// Files that count although they are elsewhere, or don't look like source.
    named: BTreeSet<PathBuf>,
}

/// What the watcher's thread has reported.
#[derive(Debug, Default)]
struct Inbox {
    reported: Mutex<Reported>,
    came: Notify,
}

#[derive(Debug, Default)]
struct Reported {
    paths: BTreeSet<PathBuf>,
    /// Some paths may be missing.
    is_incomplete: bool,
}

/// What a file contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Digest([u8; 32]),
    Large(u64, Option<SystemTime>),
}

impl Sources {
    /// Watches everything below a folder that is source.
    ///
    /// # Errors
    /// Fails with a [`SourcesError`].
    pub(super) fn watch(root: &Path) -> Result<Self, SourcesError> {
        let inbox = Arc::new(Inbox::default());
        let reports = inbox.clone();
        let take = move |event: notify::Result<notify::Event>| reports.take(event);
        let watcher = notify::recommended_watcher(take);
        let watcher = watcher.map_err(|source| SourcesError::Watch {
            folder: root.into(),
            source,
        })?;
        let mut sources = Self {
            watcher,
            inbox,
            root: root.into(),
            folders: BTreeSet::new(),
            known: BTreeMap::new(),
            named: BTreeSet::new(),
        };
        sources.add(root, &mut Changes::default())?;
        Ok(sources)
    }

    /// Sets the files that count wherever they are and whatever they are called. The folder of one
    /// may be made later, and be removed and made again.
    ///
    /// # Errors
    /// Fails with a [`SourcesError`].
    pub(super) fn name(&mut self, files: BTreeSet<PathBuf>) -> Result<(), SourcesError> {
        for file in &files {
            self.watch_above(file)?;
            if !self.known.contains_key(file)
                && let Some(content) = Content::of(file)
            {
                self.known.insert(file.clone(), content);
            }
        }
        let earlier = std::mem::replace(&mut self.named, files);
        let no_source = earlier
            .difference(&self.named)
            .filter(|file| ignore::file(file));
        for file in no_source.cloned().collect::<Vec<_>>() {
            self.known.remove(&file);
        }
        Ok(())
    }

    /// Takes the files as they are that tools write while they build.
    pub(super) fn accept_locks(&mut self) {
        for folder in &self.folders {
            for lock in LOCKS {
                let path = folder.join(lock);
                match Content::of(&path) {
                    Some(content) => self.known.insert(path, content),
                    None => self.known.remove(&path),
                };
            }
        }
    }

    /// Waits until sources have changed, and until nothing more has changed for a moment.
    ///
    /// # Errors
    /// Fails with a [`SourcesError`].
    ///
    /// # Cancel safety
    /// Dropping the future loses no change.
    pub(super) async fn changed(&mut self) -> Result<Changes, SourcesError> {
        loop {
            self.inbox.came.notified().await;
            // If this future is dropped while it waits, the next one starts at once.
            let again = Again(&self.inbox);
            let end = Instant::now() + LONGEST;
            loop {
                let quiet = (Instant::now() + QUIET).min(end);
                let more = timeout_at(quiet, self.inbox.came.notified()).await;
                if more.is_err() || Instant::now() >= end {
                    break;
                }
            }
            std::mem::forget(again);
            let changes = self.take()?;
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }

    /// Waits as [`changed`](Self::changed) does, and takes what changes only the files that tools
    /// write while they build.
    ///
    /// # Errors
    /// Fails with a [`SourcesError`].
    ///
    /// # Cancel safety
    /// Dropping the future loses no change of other files.
    pub(super) async fn changed_besides_locks(&mut self) -> Result<Changes, SourcesError> {
        loop {
            let changes = self.changed().await?;
            if !changes.paths().all(is_lock) {
                return Ok(changes);
            }
        }
    }

    /// Compares what was reported with what is known.
    fn take(&mut self) -> Result<Changes, SourcesError> {
        let reported = std::mem::take(&mut *self.inbox.lock());
        if !self.root.is_dir() {
            return Err(SourcesError::Gone(self.root.clone()));
        }
        let mut changes = Changes::default();
        if reported.is_incomplete {
            let root = self.root.clone();
            self.add(&root, &mut changes)?;
            self.compare_below(Path::new(""), &mut changes);
        }
        for path in reported.paths {
            let is_folder = path.is_dir();
            if is_folder && path.starts_with(&self.root) && !self.is_ignored(&path) {
                // It may be another one of the same name, which isn't watched yet.
                self.folders.retain(|folder| !folder.starts_with(&path));
                self.add(&path, &mut changes)?;
                self.compare_below(&path, &mut changes);
            } else if is_folder {
                // One that a named file is in. It may be another one, too.
                self.folders.remove(&path);
            } else if self.folders.remove(&path) {
                self.folders.retain(|folder| !folder.starts_with(&path));
                self.compare_below(&path, &mut changes);
            } else if self.counts(&path) {
                self.compare(&path, &mut changes);
            }
        }
        for file in self.named.clone() {
            if self.watch_above(&file)? {
                self.compare(&file, &mut changes);
            }
        }
        Ok(changes)
    }

    /// Watches the folder of a file, or the one above it in which the next one has to be made.
    /// Returns whether that wasn't watched yet.
    fn watch_above(&mut self, file: &Path) -> Result<bool, SourcesError> {
        let mut is_new = false;
        loop {
            let mut above = file.ancestors().skip(1);
            match above.find(|folder| folder.is_dir()) {
                Some(folder) if !self.folders.contains(folder) => self.watch_folder(folder)?,
                _ => return Ok(is_new),
            }
            // The next one may have been made before this one was watched.
            is_new = true;
        }
    }

    /// Whether a file is source, or was named.
    fn counts(&self, path: &Path) -> bool {
        let is_source = || {
            let folder = path.parent();
            path.starts_with(&self.root)
                && !ignore::file(path)
                && folder.is_some_and(|folder| !self.is_ignored(folder))
        };
        self.named.contains(path) || is_source()
    }

    /// Whether a folder below the root, or one that it is in, isn't source.
    fn is_ignored(&self, folder: &Path) -> bool {
        let mut below = folder.ancestors().take_while(|folder| *folder != self.root);
        below.any(ignore::folder)
    }

    /// Compares all files that are known in a folder.
    fn compare_below(&mut self, folder: &Path, changes: &mut Changes) {
        let known = self.known.keys().filter(|file| file.starts_with(folder));
        for file in known.cloned().collect::<Vec<_>>() {
            self.compare(&file, changes);
        }
    }

    fn compare(&mut self, path: &Path, changes: &mut Changes) {
        let (before, now) = (self.known.get(path).copied(), Content::of(path));
        let change = match (before, now) {
            (before, now) if before == now => return,
            (None, _) => Change::Added,
            (Some(_), Some(_)) => Change::Changed,
            (Some(_), None) => Change::Removed,
        };
        match now {
            Some(content) => self.known.insert(path.into(), content),
            None => self.known.remove(path),
        };
        changes.0.insert(path.into(), change);
    }

    /// Watches a folder and those in it, and compares their files.
    fn add(&mut self, folder: &Path, changes: &mut Changes) -> Result<(), SourcesError> {
        let mut waiting = vec![folder.to_path_buf()];
        while let Some(folder) = waiting.pop() {
            // Before it is read: what is made from now on is reported.
            if !self.folders.contains(&folder) {
                self.watch_folder(&folder)?;
            }
            // It may be gone again.
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries.filter_map(Result::ok) {
                let path = entry.path();
                // Links to folders aren't followed: they may lead back.
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder && !ignore::folder(&path) {
                    waiting.push(path);
                } else if !is_folder && self.counts(&path) {
                    self.compare(&path, changes);
                }
            }
        }
        Ok(())
    }

    fn watch_folder(&mut self, folder: &Path) -> Result<(), SourcesError> {
        if self.folders.len() >= FOLDERS {
            return Err(SourcesError::TooMany(self.root.clone()));
        }
        match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.folders.insert(folder.into());
                Ok(())
            }
            // It is gone again, which is no failure.
            Err(_) if !folder.is_dir() => Ok(()),
            Err(source) => Err(SourcesError::Watch {
                folder: folder.into(),
                source,
            }),
        }
    }
}

/// Notifies again when it is dropped.
struct Again<'a>(&'a Inbox);

impl Drop for Again<'_> {
    fn drop(&mut self) {
        self.0.came.notify_one();
    }
}

impl Inbox {
    fn lock(&self) -> std::sync::MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event of the watcher.
    fn take(&self, event: notify::Result<notify::Event>) {
        let mut reported = self.lock();
        match event {
            Ok(event) if is_harmless(event.kind) => return,
            Ok(event) => {
                reported.is_incomplete |= event.need_rescan();
                for path in event.paths {
                    if reported.paths.len() < COLLECTED {
                        reported.paths.insert(path);
                    } else {
                        reported.is_incomplete = true;
                    }
                }
            }
            Err(_) => reported.is_incomplete = true,
        }
        drop(reported);
        self.came.notify_one();
    }
}

/// Whether a tool writes a file while it builds.
fn is_lock(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| LOCKS.contains(&name))
}

/// Whether an event changes nothing. Building reads all files, which is reported too.
fn is_harmless(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_))
    )
}

impl Content {
    /// Returns what a file contains, or `None` if there is none that can be read.
    fn of(path: &Path) -> Option<Self> {
        let facts = path.metadata().ok().filter(fs::Metadata::is_file)?;
        if facts.len() > READ {
            return Some(Self::Large(facts.len(), facts.modified().ok()));
        }
        let bytes = fs::read(path).ok()?;
        Some(Self::Digest(blake3::hash(&bytes).into()))
    }
}

impl Changes {
    /// Returns whether nothing has changed.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Returns the files, with how each has changed.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Path, Change)> {
        self.0
            .iter()
            .map(|(path, change)| (path.as_path(), *change))
    }

    /// Returns the changes for people, with paths from this folder.
    pub(super) fn shown(&self, root: &Path) -> String {
        /// How many are shown.
        const SHOWN: usize = 4;
        let shown = self.0.iter().take(SHOWN).map(|(path, change)| {
            let path = path.strip_prefix(root).unwrap_or(path).display();
            match change {
                Change::Changed => path.to_string(),
                change => format!("{path} ({change})"),
            }
        });
        let shown: Vec<String> = shown.collect();
        match self.0.len().saturating_sub(SHOWN) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "new",
            Self::Changed => "changed",
            Self::Removed => "removed",
        })
    }
}

#[cfg(test)]
mod tests;
