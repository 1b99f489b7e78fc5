//! Providers in processes of their own, which the host starts and looks after.
//!
//! ```text
//!              ┌─ order on stdin ───────────► process ── calls of the lattice, as a node of its own
//! Supervisor ──┤                                 │
//!              └─ waits ◄── `serving`, `alive` ──┴── other lines ──► log of the component
//! ```
//! States: *starting* → *serving* → *away* (its process ended) → *starting* → … → *stopped*. The
//! first start belongs to placement: if it fails, so does the start of the component, and the
//! agent tries again. After that, the supervisor starts the process again: at once after it had
//! served for a while, and with growing pauses if it keeps ending. The reason is the component's
//! condition until it serves again.
//!
//! A process that serves says so again and again, on its standard output. One that stops to do so
//! for `lattice.silent-seconds` is stopped or stuck, and is killed and started again. Neither the
//! bus nor a clock decides that, and a pause of the host counts as one of ten looks. A program that
//! has never said so is started again only when it ends.
//!
//! The process of a provider that runs once is told of each renewal of its lease, and checks the
//! lease by itself. It is killed when the lease ends, and a later start is under a later lease.
//!
//! | file | what it does |
//! | --- | --- |
//! | `allowed` | which programs the host runs at all |
//! | `program` | which program, its arguments, environment and limits |
//! | `file`, `installed` | its file, which is checked at each start; that of one from a registry |
//! | `wrapper` | puts the limits into force before the program runs |
//! | `child` | one process: its start and its end |
//! | `feed` | what it is told on its standard input |
//! | `output` | its lines, for the log and for the reason why it ended |
//! | `supervisor` | starts it again |
//! | `usage` | how often and how long the processes ran, and what they used |
//! | `service` | what the agent serves in the component's name |

mod allowed;
mod child;
mod error;
mod feed;
mod file;
mod installed;
mod output;
mod program;
mod service;
mod supervisor;
mod usage;
mod wrapper;

pub(crate) use allowed::ProgramSettings;
pub use allowed::{Programs, ProgramsError};
pub(crate) use installed::Installed;
pub(crate) use program::Program;
pub(crate) use service::{ProcessService, ProcessSettings};
pub use wrapper::wrap_programs;
