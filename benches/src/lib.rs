//! Benchmarks of Lattice, side by side with their baselines
