//! The same seed gives the same run, with at most one exception in 100 seeds.

use lattice_sim::Scenario;

#[test]
fn the_same_seed_gives_the_same_run() {
    let (mut lines, mut different) = (0, Vec::new());
    for seed in 0..100 {
        let scenario = Scenario::new(3 + (seed % 4) as usize);
        let schedule = scenario.schedule(seed);
        assert_eq!(schedule, scenario.schedule(seed));
        let [first, second] = [(); 2].map(|()| scenario.trace(seed, &schedule));
        lines += first.len();
        if first != second {
            let differ = first.iter().zip(&second).position(|(a, b)| a != b);
            let at = differ.unwrap_or(first.len().min(second.len()));
            let around = |trace: &[String]| {
                trace[at.saturating_sub(2)..(at + 3).min(trace.len())].join("\n")
            };
            println!(
                "seed {seed} differs at line {at}:\n{}\n---\n{}",
                around(&first),
                around(&second)
            );
            different.push(seed);
        }
    }
    // Runs of one seed differ now and then, by one pass of the sweep over calls in flight. The likely
    // cause is tokio's `watch`, which wakes its receivers in a random order that has no seed. Code
    // that makes runs differ by itself shows in many seeds.
    assert!(different.len() <= 1, "{different:?}");
    assert!(lines > 5_000, "{lines}");
}
