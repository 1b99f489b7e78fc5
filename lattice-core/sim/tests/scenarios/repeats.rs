//! The same seed gives the same run.

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
    assert!(different.is_empty(), "{different:?}");
    assert!(lines > 5_000, "{lines}");
}
