//! Metrics: each of them moves when what it counts happens, and their text and their table are
//! right.

mod moves;
mod table;
mod text;
