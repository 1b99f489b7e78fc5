use super::*;
use tempfile::TempDir;

const MAX: ByteSize = ByteSize::mib(1);

fn cache(limit: ByteSize) -> (TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path().join("cache"), limit);
    (folder, cache)
}

fn put(cache: &Cache, bytes: &[u8]) -> ImageDigest {
    let digest = ImageDigest::of(bytes);
    cache.write(digest, bytes).unwrap();
    digest
}

/// Makes an artifact appear to have been used this long ago.
fn age(cache: &Cache, digest: ImageDigest, seconds: u64) {
    let file = File::options()
        .write(true)
        .open(cache.path(digest))
        .unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
        .unwrap();
}

#[test]
fn written_artifacts_are_read_back() {
    let (_folder, cache) = cache(MAX);
    let digest = ImageDigest::of(b"one");
    assert_eq!(cache.read(digest, MAX), None);
    assert_eq!(put(&cache, b"one"), digest);
    assert_eq!(cache.read(digest, MAX).as_deref(), Some(&b"one"[..]));
    put(&cache, b"one");
    assert_eq!(files(&cache.folder.join("tmp")).unwrap().len(), 0);
}

#[test]
fn damaged_artifacts_are_deleted() {
    let (_folder, cache) = cache(MAX);
    for damage in [&b"onf"[..], b"", b"one and more"] {
        let digest = put(&cache, b"one");
        fs::write(cache.path(digest), damage).unwrap();
        assert_eq!(cache.read(digest, MAX), None);
        assert!(!cache.path(digest).exists());
    }
}

/// Another user of a shared folder may put anything there.
#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_an_artifact_is_not_opened() {
    use std::{process::Command, sync::mpsc};
    let (_folder, cache) = cache(MAX);
    let digest = put(&cache, b"one");
    fs::remove_file(cache.path(digest)).unwrap();
    let pipe = Command::new("mkfifo").arg(cache.path(digest)).status();
    assert!(pipe.unwrap().success());
    let (sender, read) = mpsc::channel();
    let reader = cache.clone();
    std::thread::spawn(move || sender.send(reader.read(digest, MAX)));
    assert_eq!(read.recv_timeout(Duration::from_secs(30)), Ok(None));
    put(&cache, b"one");
    assert_eq!(cache.read(digest, MAX).as_deref(), Some(&b"one"[..]));
}

#[test]
fn the_least_recently_used_artifact_is_deleted_first() {
    // Three files of one block each fit.
    let (_folder, cache) = cache(ByteSize::bytes(3 * BLOCK));
    let [first, second, third] = [b"1", b"2", b"3"].map(|bytes| put(&cache, bytes));
    for (digest, seconds) in [(first, 30), (second, 20), (third, 10)] {
        age(&cache, digest, seconds);
    }
    assert!(cache.read(first, MAX).is_some(), "used just now");
    let fourth = put(&cache, b"4");
    assert_eq!(cache.read(second, MAX), None);
    for digest in [first, third, fourth] {
        assert!(cache.read(digest, MAX).is_some(), "{digest}");
    }
}

#[test]
fn an_artifact_over_the_limit_is_refused_and_deletes_nothing() {
    let (_folder, cache) = cache(ByteSize::bytes(2 * BLOCK));
    let small = put(&cache, b"small");
    let large = vec![0; 3 * BLOCK as usize];
    let refused = cache.write(ImageDigest::of(&large), &large).unwrap_err();
    assert!(
        matches!(refused, CacheError::TooLarge { .. }),
        "{refused:?}"
    );
    assert!(cache.read(small, MAX).is_some());
}

#[test]
fn tags_are_stored_and_invalid_ones_are_ignored() {
    let (_folder, cache) = cache(MAX);
    let tag = |text: &str| text.parse::<OciReference>().unwrap();
    let digest = ImageDigest::of(b"manifest");
    cache.remember(&tag("example.com/a:1"), digest).unwrap();
    assert_eq!(cache.tag(&tag("example.com/a:1")), Some(digest));
    assert_eq!(cache.tag(&tag("example.com/a:2")), None);
    fs::write(cache.tag_path(&tag("example.com/a:1")), "garbage").unwrap();
    assert_eq!(cache.tag(&tag("example.com/a:1")), None);
}

#[test]
fn files_left_by_a_killed_process_are_deleted() {
    let (_folder, cache) = cache(MAX);
    put(&cache, b"one");
    let [old, new] = ["old", "new"].map(|name| cache.folder.join("tmp").join(name));
    for path in [&old, &new] {
        fs::write(path, "half").unwrap();
    }
    let file = File::options().write(true).open(&old).unwrap();
    file.set_modified(SystemTime::now() - 2 * ABANDONED)
        .unwrap();
    put(&cache, b"two");
    assert!(!old.exists() && new.exists());
}

#[test]
fn a_path_that_is_not_a_folder_returns_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let cache = Cache::new(file, MAX);
    let error = cache.write(ImageDigest::of(b"one"), b"one").unwrap_err();
    assert!(matches!(error, CacheError::Disk { .. }), "{error:?}");
    assert_eq!(cache.read(ImageDigest::of(b"one"), MAX), None);
}
