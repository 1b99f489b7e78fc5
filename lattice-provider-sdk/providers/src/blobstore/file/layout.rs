//! Where files are.

use super::failed;
use crate::blobstore::{
    bindings::lattice::blobstore::types::{Error, ObjectId},
    names,
};
use std::{
    fs::{self, File, Metadata, ReadDir},
    io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

/// Bytes of a segment of a path. File systems have 255.
const SEGMENT: usize = 200;
/// What the segments of a name end with, but the last one. No encoded name has it.
const CONTINUED: &str = "+";
/// How old a partial file is that nothing writes any more.
const ABANDONED: Duration = Duration::from_hours(24);

/// The files of one store.
pub(super) struct Layout {
    root: PathBuf,
    containers: PathBuf,
    partials: PathBuf,
    /// Tells apart the files that are being written, also those of other processes.
    own: String,
    next: AtomicU64,
}

impl Layout {
    pub(super) fn new(root: PathBuf) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default().as_nanos();
        Self {
            containers: root.join("containers"),
            partials: root.join("partial"),
            own: format!("{now}-{}", process::id()),
            next: AtomicU64::new(0),
            root,
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn containers(&self) -> &Path {
        &self.containers
    }

    /// Creates the folders, and removes what was left behind.
    pub(super) fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(&self.containers)?;
        fs::create_dir_all(&self.partials)?;
        for entry in fs::read_dir(&self.partials)? {
            let entry = entry?;
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let is_abandoned =
                modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age >= ABANDONED));
            if is_abandoned {
                let removed = if entry.path().is_dir() {
                    fs::remove_dir_all(entry.path())
                } else {
                    fs::remove_file(entry.path())
                };
                if let Err(error) = removed {
                    tracing::warn!(path = %entry.path().display(), %error, "a partial object stays");
                }
            }
        }
        // A folder that only looks usable is noticed now.
        let probe = self.partial();
        File::create_new(&probe)?;
        fs::remove_file(probe)
    }

    /// Returns the path of a new partial file.
    pub(super) fn partial(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.partials.join(format!("{}-{number}", self.own))
    }

    /// Returns the folder of a container.
    pub(super) fn container(&self, name: &str) -> PathBuf {
        extend(self.containers.clone(), name)
    }

    /// Returns the file of an object.
    pub(super) fn object(&self, id: &ObjectId) -> PathBuf {
        extend(self.container(&id.container), &id.object)
    }

    /// Creates a folder of the containers, and keeps it: the folders above it are synchronized too.
    pub(super) fn make(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(folder)?;
        let above = folder.ancestors().skip(1);
        for above in above.take_while(|above| above.starts_with(&self.containers)) {
            File::open(above)?.sync_all()?;
        }
        Ok(())
    }

    /// Returns the metadata of a container's folder.
    pub(super) fn existing(&self, container: &str) -> Result<Metadata, Error> {
        match fs::metadata(self.container(container)) {
            Ok(metadata) => Ok(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NoSuchContainer(container.to_owned()))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Says what is missing when an object can't be opened.
    pub(super) fn missing(&self, id: &ObjectId, error: &io::Error) -> Error {
        if error.kind() != io::ErrorKind::NotFound {
            return failed(error);
        }
        match self.existing(&id.container) {
            Ok(_) => Error::NoSuchObject(id.object.clone()),
            Err(error) => error,
        }
    }

    /// Makes a complete file an object, in place of the one that there is.
    pub(super) fn place(&self, file: &Path, id: &ObjectId) -> Result<(), Error> {
        self.existing(&id.container)?;
        let object = self.object(id);
        let folder = object.parent().unwrap_or(&self.containers);
        if folder != self.container(&id.container) {
            self.make(folder).map_err(|error| failed(&error))?;
        }
        fs::rename(file, &object).map_err(|error| self.missing(id, &error))?;
        // The rename itself is kept.
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| failed(&error))
    }

    /// Returns the files of a container with their names.
    pub(super) fn walk(&self, container: &str) -> Walk {
        Walk {
            folders: vec![(self.container(container), String::new())],
            open: None,
        }
    }
}

/// The files of a container with their names. It reads folders as far as it is asked, and blocks
/// meanwhile.
pub(super) struct Walk {
    /// Folders that are not open yet, with what comes before their names.
    folders: Vec<(PathBuf, String)>,
    open: Option<(ReadDir, String)>,
}

impl Walk {
    fn advance(&mut self) -> io::Result<Option<(PathBuf, String)>> {
        loop {
            let Some((entries, before)) = &mut self.open else {
                let Some((folder, before)) = self.folders.pop() else {
                    return Ok(None);
                };
                match fs::read_dir(&folder) {
                    Ok(entries) => self.open = Some((entries, before)),
                    // It was deleted meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
                continue;
            };
            let Some(entry) = entries.next() else {
                self.open = None;
                continue;
            };
            let entry = entry?;
            let segment = entry.file_name();
            let Some(segment) = segment.to_str() else {
                continue;
            };
            if let Some(continued) = segment.strip_suffix(CONTINUED) {
                self.folders
                    .push((entry.path(), format!("{before}{continued}")));
            } else if let Some(name) = names::decode(&format!("{before}{segment}")) {
                return Ok(Some((entry.path(), name)));
            }
        }
    }
}

impl Iterator for Walk {
    type Item = io::Result<(PathBuf, String)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

fn extend(mut path: PathBuf, name: &str) -> PathBuf {
    let encoded = names::encode(name);
    let mut rest = encoded.as_str();
    // All of it is ASCII.
    while rest.len() > SEGMENT {
        let (segment, after) = rest.split_at(SEGMENT);
        path.push(format!("{segment}{CONTINUED}"));
        rest = after;
    }
    path.push(rest);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_its_container() {
        let layout = Layout::new(PathBuf::from("/data"));
        for object in [
            "..",
            "/etc/passwd",
            "../../x",
            "a/../../b",
            ".",
            &"é".repeat(512),
        ] {
            let id = ObjectId {
                container: "..".to_owned(),
                object: object.to_owned(),
            };
            let path = layout.object(&id);
            assert!(
                path.starts_with("/data/containers/%2E%2E"),
                "{}",
                path.display()
            );
            for part in path.components().skip(1) {
                let part = part.as_os_str().to_str().expect("ASCII");
                assert!(part != ".." && part.len() <= SEGMENT + 1, "{part}");
            }
        }
    }

    #[test]
    fn long_names_are_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::new(folder.path().to_owned());
        layout.prepare().expect("prepared");
        fs::create_dir_all(layout.container("c")).expect("created");
        let names = [
            "short".to_owned(),
            "é".repeat(100),
            "é".repeat(512),
            "x".repeat(SEGMENT),
        ];
        for name in &names {
            let id = ObjectId {
                container: "c".to_owned(),
                object: name.clone(),
            };
            let partial = layout.partial();
            fs::write(&partial, name).expect("written");
            layout.place(&partial, &id).expect("placed");
        }
        let mut found = Vec::new();
        for file in layout.walk("c") {
            let (file, name) = file.expect("walked");
            assert_eq!(fs::read_to_string(file).expect("read"), name);
            found.push(name);
        }
        found.sort();
        let mut expected = names.to_vec();
        expected.sort();
        assert_eq!(found, expected);
    }
}
