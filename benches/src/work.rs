//! What the `main` of a program does.

use crate::Failure;
use std::process::ExitCode;

/// In every process: two cores are what the figures in the README were measured on.
const THREADS: usize = 2;

/// What a program's `main` does: makes its work of its arguments, runs it, and prints a failure with its causes.
pub fn main<W>(name: &str, work: impl FnOnce() -> Result<W, Failure>) -> ExitCode
where
    W: Future<Output = Result<(), Failure>> + Send + 'static,
{
    match work().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{name}: {failure}");
            let mut cause = failure.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(work: impl Future<Output = Result<(), Failure>> + Send + 'static) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?;
    // In a task, because the thread that blocks on a runtime is none of its workers.
    let work = runtime.spawn(work);
    runtime.block_on(work)?
}
