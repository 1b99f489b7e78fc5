//! Providers in processes of their own, over a real server.

mod faults;
mod life;
mod programs;
mod scene;
