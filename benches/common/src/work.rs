//! The `main` of the programs.

use crate::Failure;
use std::process::ExitCode;

/// Threads in every process. The figures in the README were measured on two cores.
const THREADS: usize = 2;

/// Runs a program: creates its work from the arguments, runs it, and prints a failure with its
/// causes.
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
    // The work runs in a task, because the thread that blocks on a runtime isn't one of its
    // workers.
    let work = runtime.spawn(work);
    runtime.block_on(work)?
}
