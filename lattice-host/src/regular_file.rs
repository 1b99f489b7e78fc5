//! Opens files without blocking on pipes or devices.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    ops::Range,
    path::Path,
};

/// Opens a regular file. Checks the kind of the file first, because opening a pipe blocks until a
/// writer opens it, and reading a pipe or a device might never end.
///
/// # Errors
/// Fails when there is no file, it isn't a regular one, or it may not be read.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if !path.metadata()?.is_file() {
        let text = "it isn't a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    File::open(path)
}

/// Reads a part of a regular file.
///
/// # Errors
/// Fails like [`open`], and when the file ends before the part does.
pub(crate) fn read_part(path: &Path, part: Range<usize>) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    file.seek(SeekFrom::Start(part.start as u64))?;
    let mut bytes = vec![0; part.len()];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{process::Command, sync::mpsc, time::Duration};

    #[test]
    fn a_pipe_without_a_writer_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status().expect("runs");
        assert!(made.success(), "{made}");
        let (sender, opened) = mpsc::channel();
        std::thread::spawn(move || sender.send(open(&pipe).map(drop)));
        let opened = opened.recv_timeout(Duration::from_secs(30));
        let error = opened.expect("it doesn't wait").expect_err("not a file");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
