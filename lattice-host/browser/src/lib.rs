//! A real browser for the tests and benches of the page: Chromium, without a window.
//!
//! * [`Browser`] starts one, which ends with its value and with the process that has started it,
//!   whichever way that ends. `.ci/chromium.sh` finds or installs the programs. Where there are
//!   none, [`browser()`] prints why, and the test is skipped.
//! * Its methods click, type, drag and look as a person does. Elements are named by CSS selectors;
//!   [`element`] makes those of the page. Each method waits for what it needs, has a deadline, and
//!   panics with what the page shows and has logged if that passes: the test can't go on.
//! * [`Browser::is_sound`] checks what holds for the whole page at any time: it has logged no
//!   errors, has requested nothing of another server, and each control has an accessible name.
//!   [`Browser::is_legible`] checks the contrast of its texts.
//! * [`Crowd`](crowd::Crowd) is a lattice with as much as the page has to be fast with, and
//!   [`Marks`](paint::Marks) measure how long its changes take until they are painted.
//! * Images go to `target/ui/`, where people can look at them.

mod act;
mod browser;
mod colour;
mod command;
pub mod crowd;
pub mod element;
mod look;
pub mod paint;
mod sound;

pub use browser::{Browser, browser};
pub use fantoccini::key::Key;
pub use lattice_test_servers::NoServer;
