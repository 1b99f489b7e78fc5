//! Damaged files and failing disks.

use super::{
    disk::{child, file, lattice, open},
    key, put, soon, value,
};
use lattice_core::store::{
    CommitError, Expect, MAX_VALUE, Op, Store, StoreError,
    disk::{DiskStore, OpenError},
};
use std::{fs, path::Path, process::Command};

async fn refused(path: &Path) -> OpenError {
    match soon("opening", DiskStore::open(path, &lattice())).await {
        Ok(_) => panic!("{} opened", path.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_file_that_is_not_a_store_is_not_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    for content in [&b""[..], b"a letter to a friend", &[0; 10_000]] {
        let path = folder.path().join(content.len().to_string());
        fs::write(&path, content).expect("written");
        let error = refused(&path).await;
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
        assert_eq!(fs::read(&path).expect("still there"), content);
    }
}

#[tokio::test]
async fn a_file_belongs_to_one_lattice() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    drop(open(&path).await);
    let other = lattice_core::name::LatticeName::new("prod").expect("a name");
    let error = DiskStore::open(&path, &other)
        .await
        .expect_err("a file of another lattice");
    assert!(
        matches!(&error, OpenError::OtherLattice { found, .. } if found == "dev"),
        "{error:?}"
    );
    open(&path).await;
}

#[tokio::test]
async fn an_unwritable_path_returns_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("no/such/folder/store");
    let a_folder = folder.path().to_owned();
    let below_a_file = folder.path().join("file/store");
    fs::write(folder.path().join("file"), "").expect("written");
    let read_only = folder.path().join("read-only");
    fs::create_dir(&read_only).expect("a folder");
    forbid_writing(&read_only);
    let mut places = vec![missing, a_folder, below_a_file];
    if fs::write(read_only.join("probe"), "").is_err() {
        places.push(read_only.join("store"));
    } else {
        // Root may write anywhere, but not even root can create files here.
        eprintln!(
            "runs as root, for whom no folder is read-only: uses a folder of the kernel instead"
        );
        places.push("/sys/lattice-store".into());
    }
    for place in places {
        let error = refused(&place).await;
        let named = error.to_string().contains(&place.display().to_string());
        assert!(
            matches!(error, OpenError::Refused { .. }) && named,
            "{error:?}"
        );
    }
    let left = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 2, "only the files of the test itself are left");
}

#[cfg(unix)]
fn forbid_writing(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).expect("set");
}

#[cfg(not(unix))]
fn forbid_writing(_: &Path) {}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_readable_and_writable_only_by_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    open(&path).await;
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
}

/// After random changes of its bytes and length, a file either returns an error that names it, or
/// has all of its contents.
#[tokio::test]
async fn a_damaged_file_returns_an_error_and_never_wrong_content() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = open(&path).await;
    for n in 0..40_usize {
        let op = Op::put(key(&format!("k{n}")), vec![n as u8; n * 50], Expect::Any);
        store.commit(vec![op]).await.expect("written");
    }
    drop(store);
    let good = fs::read(&path).expect("there");
    let (mut errors, mut damaged) = (0, 0);
    for seed in 0..120 {
        let mut dice = super::chance::Dice(seed);
        let _seed = super::chance::Seed(seed);
        let mut bytes = good.clone();
        match dice.below(4) {
            0 => bytes.truncate(dice.below(good.len())),
            1 => {
                let at = dice.below(good.len());
                let end = (at + 4_096).min(good.len());
                bytes[at..end].fill(dice.roll() as u8);
            }
            2 => {
                // The beginning of the file contains the positions of all contents.
                let at = dice.below(512);
                bytes[at] ^= 1 << dice.below(8);
            }
            _ => {
                let at = dice.below(good.len());
                bytes[at] ^= 1 << dice.below(8);
            }
        }
        let copy = folder.path().join(format!("copy{seed}"));
        fs::write(&copy, &bytes).expect("written");
        match soon("opening", DiskStore::open(&copy, &lattice())).await {
            Ok(store) => {
                for n in 0..40_usize {
                    let entry = store.read(key(&format!("k{n}"))).await.expect("in reach");
                    assert_eq!(entry.expect("there").value, vec![n as u8; n * 50], "k{n}");
                }
            }
            Err(error) => {
                errors += 1;
                damaged += u32::from(matches!(error, OpenError::Damaged { .. }));
                assert!(!matches!(error, OpenError::AlreadyOpen { .. }), "{error:?}");
                assert!(error.to_string().contains("copy"), "{error}");
            }
        }
        fs::remove_file(&copy).expect("there");
    }
    assert!(damaged > 10 && errors >= damaged, "{damaged} of {errors}");
}

fn is_full<T>(result: &Result<T, CommitError>) -> bool {
    matches!(result, Err(CommitError::Store(StoreError::Full(_))))
}

/// Not a test: the program of the child of the next test, whose files can't exceed a megabyte.
#[tokio::test]
#[ignore = "the child of another test"]
async fn confined() {
    let Some(path) = file() else { return };
    let store = open(&path).await;
    store
        .commit(put("a", "1", Expect::Any))
        .await
        .expect("there is room");
    let large = |n: usize| {
        Op::put(
            key(&format!("large{n}")),
            vec![1_u8; MAX_VALUE],
            Expect::Any,
        )
    };
    let over = store.commit((0..4).map(large).collect()).await;
    assert!(is_full(&over), "{over:?}");
    assert_eq!(value(&store, "large0").await, None);
    assert_eq!(
        value(&store, "a").await.as_deref(),
        Some("1"),
        "reads continue"
    );
    store
        .commit(put("a", "2", Expect::Any))
        .await
        .expect("a small write fits");
    println!("confined: done");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_at_its_size_limit_reports_a_full_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let child = child("store::disk_faults::confined", &path);
    // The signal that accompanies the error is ignored, as in most long-running programs.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2048 && exec \"$0\" \"$@\""])
        .arg(child.get_program())
        .args(child.get_args())
        .envs(
            child
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .output()
        .expect("a shell");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stdout.contains("confined: done"), "{stdout}\n{stderr}");
    assert_eq!(value(&open(&path).await, "a").await.as_deref(), Some("2"));
}

/// A file system of two megabytes, which is removed on drop.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            other => {
                eprintln!("skipped: this user can't mount a small file system ({other:?})");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A lazy unmount, since a failed test may still have the file open.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_fails_writes_until_space_is_freed() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let (path, filler) = (disk.0.path().join("store"), disk.0.path().join("filler"));
    let store = open(&path).await;
    store
        .commit(put("a", "1", Expect::Any))
        .await
        .expect("there is room");
    // Ends with an error when the disk is full, as expected.
    let _ = fs::write(&filler, vec![1; 4 * 1024 * 1024]);
    let large = || vec![Op::put(key("large"), vec![1_u8; MAX_VALUE], Expect::Absent)];
    for _ in 0..3 {
        let over = store.commit(large()).await;
        assert!(is_full(&over), "{over:?}");
        assert_eq!(
            value(&store, "a").await.as_deref(),
            Some("1"),
            "reads continue"
        );
    }
    let nowhere = refused(&disk.0.path().join("other")).await;
    assert!(matches!(nowhere, OpenError::Full { .. }), "{nowhere:?}");

    fs::remove_file(&filler).expect("there");
    store.commit(large()).await.expect("there is room again");
    drop(store);
    let store = open(&path).await;
    assert_eq!(
        value(&store, "large").await.map(|v| v.len()),
        Some(MAX_VALUE)
    );
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
}
