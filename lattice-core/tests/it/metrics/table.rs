//! The page for people and the table in the code agree.

use lattice_core::telemetry::metrics::{INSTRUMENTS, Instrument, Kind};
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/metrics.md");

/// The row of an instrument on the page.
fn row(instrument: &Instrument) -> String {
    let kind = match instrument.kind {
        Kind::Counter => "counter",
        Kind::Level => "up-down counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        other => panic!("{other:?} has no name here"),
    };
    let attributes = instrument.attributes.iter();
    let attributes: Vec<String> = attributes.map(|name| format!("`{name}`")).collect();
    format!(
        "| `{}` | {kind} | `{}` | {} | {} |",
        instrument.name,
        instrument.unit,
        attributes.join(", "),
        instrument.about.trim_end_matches('.'),
    )
}

#[test]
fn the_page_has_every_metric_and_no_other() {
    // The page also has a table of options.
    let is_metric = |line: &&str| line.starts_with("| `") && !line.starts_with("| `--");
    let rows: BTreeSet<&str> = PAGE.lines().filter(is_metric).collect();
    let expected: Vec<String> = INSTRUMENTS.iter().map(|one| row(one)).collect();
    let missing: Vec<&String> = expected
        .iter()
        .filter(|row| !rows.contains(&***row))
        .collect();
    assert!(missing.is_empty(), "missing:\n{missing:#?}");
    let known: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
    let others: Vec<&&str> = rows.iter().filter(|row| !known.contains(**row)).collect();
    assert!(others.is_empty(), "not there any more:\n{others:#?}");
}

#[test]
fn names_are_unique_and_follow_the_conventions() {
    let names: BTreeSet<&str> = INSTRUMENTS.iter().map(|one| one.name).collect();
    assert_eq!(names.len(), INSTRUMENTS.len());
    let exposed: BTreeSet<String> = INSTRUMENTS
        .iter()
        .map(|one| one.prometheus_name())
        .collect();
    assert_eq!(exposed.len(), INSTRUMENTS.len());
    for instrument in INSTRUMENTS {
        let is_plain = |name: &str| {
            let mut parts = name.split('.');
            let of_letters = |part: &str| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            };
            parts.clone().count() > 1 && parts.all(of_letters)
        };
        assert!(is_plain(instrument.name), "{}", instrument.name);
        for attribute in instrument.attributes {
            assert!(is_plain(attribute), "{attribute} of {}", instrument.name);
        }
        let is_of_time = instrument.unit == "s";
        assert!(instrument.kind != Kind::Histogram || is_of_time);
        assert!(instrument.about.ends_with('.'), "{}", instrument.name);
    }
}
