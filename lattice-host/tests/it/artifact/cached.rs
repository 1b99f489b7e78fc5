//! A cache that is damaged, read-only or full.

use super::{
    fake::{Contents, Fake},
    support::{cached_file, component, image, large_component, plain},
};
use lattice_host::{
    ByteSize,
    artifact::{ArtifactSource, CacheError, Image, ImageDigest},
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

async fn serving(bytes: &[u8]) -> (Fake, Image) {
    let contents = Contents::of(bytes);
    let fake = Fake::start(move |asked| contents.answer(asked)).await;
    let tag = image(&format!("oci:{}/a:1", fake.address()));
    (fake, tag)
}

#[tokio::test]
async fn a_damaged_file_in_the_cache_is_fetched_again() {
    let bytes = component("a");
    let (fake, tag) = serving(&bytes).await;
    let folder = tempfile::tempdir().unwrap();
    let artifacts = plain(fake.address()).cache(folder.path()).build();
    let pinned = artifacts.resolve(&tag).await.unwrap();
    let Image::Oci(reference) = &pinned.image else {
        panic!("{pinned:?}")
    };
    let (layer, manifest) = (
        cached_file(folder.path(), pinned.digest),
        reference.digest().unwrap(),
    );
    let manifest = cached_file(folder.path(), manifest);

    artifacts.fetch(&pinned.image, pinned.digest).await.unwrap();
    for damage in [&b""[..], b"\0asm", &component("b")] {
        for path in [&layer, &manifest] {
            fs::write(path, damage).unwrap();
        }
        let fetched = artifacts.fetch(&pinned.image, pinned.digest).await.unwrap();
        assert_eq!(
            (&fetched.bytes[..], fetched.origin),
            (&bytes[..], ArtifactSource::Registry)
        );
        let fetched = artifacts.fetch(&pinned.image, pinned.digest).await.unwrap();
        assert_eq!(
            (&fetched.bytes[..], fetched.origin),
            (&bytes[..], ArtifactSource::Cache)
        );
    }
    assert_eq!(fake.asked("GET /v2/a/blobs/").len(), 4);
}

#[tokio::test]
async fn a_fetch_succeeds_when_the_cache_is_read_only() {
    let bytes = component("a");
    let (fake, tag) = serving(&bytes).await;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o500)).unwrap();
    // The only folder in which root can't write.
    let is_root = fs::create_dir(folder.path().join("probe")).is_ok();
    let cache = if is_root {
        PathBuf::from("/sys/kernel/lattice")
    } else {
        folder.path().join("cache")
    };
    let artifacts = plain(fake.address()).cache(cache).build();
    for _ in 0..2 {
        let fetched = artifacts.fetch(&tag, None).await.unwrap();
        assert_eq!(
            (&fetched.bytes[..], fetched.origin),
            (&bytes[..], ArtifactSource::Registry)
        );
        let error = fetched.not_kept.unwrap();
        assert!(matches!(error, CacheError::ReadOnly { .. }), "{error:?}");
    }
    assert!(matches!(
        artifacts.keep(bytes).await.not_kept,
        Some(CacheError::ReadOnly { .. })
    ));
}

#[tokio::test]
async fn a_fetch_succeeds_when_the_disk_is_full() {
    let Some(disk) = SmallDisk::new("256k") else {
        return;
    };
    let bytes = large_component(1 << 20);
    let (fake, tag) = serving(&bytes).await;
    let artifacts = plain(fake.address()).cache(disk.path()).build();
    let small = artifacts.keep(component("small")).await;
    assert!(small.not_kept.is_none());

    let fetched = artifacts.fetch(&tag, None).await.unwrap();
    assert_eq!(
        (&fetched.bytes[..], fetched.digest),
        (&bytes[..], ImageDigest::of(&bytes))
    );
    let error = fetched.not_kept.unwrap();
    assert!(matches!(error, CacheError::Full { .. }), "{error:?}");
    // No partial file is left, and earlier files are still used.
    assert_eq!(fs::read_dir(disk.path().join("tmp")).unwrap().count(), 0);
    assert_eq!(
        artifacts.cached(small.digest).await.unwrap().bytes,
        component("small")
    );
}

#[tokio::test]
async fn a_cache_stays_within_its_size_limit() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = plain("127.0.0.1:1")
        .cache(folder.path())
        .cache_size(ByteSize::kib(64))
        .build();
    for number in 0..32 {
        let kept = artifacts.keep(component(&format!("a{number}"))).await;
        assert!(kept.not_kept.is_none());
        assert!(
            artifacts.cached(kept.digest).await.is_some(),
            "the newest is kept"
        );
        let files = fs::read_dir(folder.path().join("sha256")).unwrap();
        // Each file takes at least a block of the disk.
        assert!(files.count() <= 64 / 4);
    }
    let too_large = artifacts.keep(large_component(128 << 10)).await.not_kept;
    assert!(
        matches!(too_large, Some(CacheError::TooLarge { .. })),
        "{too_large:?}"
    );
}

/// A separate file system in memory.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts a file system. Prints why and returns `None` where mounting isn't permitted.
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(mounted) if mounted.status.success() => return Some(Self(folder)),
            Ok(refused) => eprintln!(
                "skipped: no small disk can be mounted: {}",
                String::from_utf8_lossy(&refused.stderr)
            ),
            Err(error) => eprintln!("skipped: no small disk can be mounted: {error}"),
        }
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}
