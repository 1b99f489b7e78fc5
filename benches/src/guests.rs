//! The actors that are measured, built from `benches/guests`. One of them is also for the tests of
//! the host, among whose guests it is.

use std::path::PathBuf;

/// One of these actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// Calls `echo` on request.
    Caller,
    /// Serves `echo`.
    Callee,
    /// Never ends.
    Spinner,
    /// Takes all the memory that it can get.
    Filler,
    /// Writes streams, and uses and keeps resources.
    Source,
    /// Reads streams, and has resources.
    Sink,
    /// Reads a value of a key-value store.
    Kv,
    /// Reads a row of a database.
    Sql,
    /// Writes and reads objects. It is a guest of the host's tests, too.
    Blobs,
    /// Serves HTTP by WASI 0.2.
    HttpHello,
    /// Serves HTTP by WASI 0.3.
    HttpHelloP3,
}

/// The guest has not been built.
#[derive(Debug, thiserror::Error)]
#[error("there is no guest at {}; build it with `make guests`", path.display())]
pub struct NotBuilt {
    path: PathBuf,
}

impl Guest {
    /// Returns the path of the file that `make guests` creates.
    ///
    /// # Errors
    /// Fails with [`NotBuilt`] when there is no such file.
    pub fn path(self) -> Result<PathBuf, NotBuilt> {
        let name = match self {
            Self::Caller => "bench_caller.wasm",
            Self::Callee => "bench_callee.wasm",
            Self::Spinner => "bench_spinner.wasm",
            Self::Filler => "bench_filler.wasm",
            Self::Source => "bench_source.wasm",
            Self::Sink => "bench_sink.wasm",
            Self::Kv => "bench_kv.wasm",
            Self::Sql => "bench_sql.wasm",
            Self::Blobs => "blobs.wasm",
            Self::HttpHello => "bench_http_hello.wasm",
            Self::HttpHelloP3 => "bench_http_hello_p3.wasm",
        };
        let guests = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../target/guests/wasm32-wasip2/release"
        );
        let path = PathBuf::from(guests).join(name);
        if path.exists() {
            Ok(path)
        } else {
            Err(NotBuilt { path })
        }
    }
}
