//! Providers in processes of their own, over a real server.

mod faults;
mod life;
mod once;
mod programs;
mod scene;
mod silent;
mod unruly;
