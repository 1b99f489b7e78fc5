//! The names of the providers, in the code and in the README.

use lattice_providers::builtins;
use std::collections::BTreeSet;

const README: &str = include_str!("../../../../README.md");

#[test]
fn the_readme_has_every_provider_and_no_other() {
    let (_, section) = README
        .split_once("## Standard providers")
        .expect("a section");
    let (section, _) = section
        .split_once("\n## ")
        .expect("another section follows");
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells = rows.skip(2).filter_map(|row| row.split('|').nth(3));
    let named: BTreeSet<&str> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let all = builtins();
    let built: BTreeSet<&str> = all.iter().map(|builtin| builtin.name).collect();
    assert_eq!(named, built);
    assert_eq!(all.len(), built.len(), "each has its own name");
}
