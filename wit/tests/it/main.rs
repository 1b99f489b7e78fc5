//! The tests of the public API, in one program.

#[cfg(feature = "binary")]
mod binary;
mod texts;
