//! Providers in processes of their own, over a real server.

mod faults;
mod life;
mod scene;
mod unruly;
