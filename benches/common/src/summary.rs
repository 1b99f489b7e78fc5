//! `target/bench/summary.json`: all measurements, as a list of rows that several programs write.

use crate::Failure;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    borrow::Cow,
    io::{Error, ErrorKind},
    path::{Path, PathBuf},
};

/// One row. The ratio is ours over the baseline's. Ratio and baseline are missing when there is no
/// baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub row: String,
    /// The figure of Lattice.
    pub ours: f64,
    /// The figure of the alternative.
    pub baseline: Option<f64>,
    /// Ours over the baseline.
    pub ratio: Option<f64>,
    /// Unit of both figures.
    pub unit: Cow<'static, str>,
}

impl Row {
    /// Creates a row and computes its ratio, which is `None` when it can't be computed.
    pub fn new(row: &str, ours: f64, baseline: Option<f64>, unit: &'static str) -> Self {
        Self {
            row: row.to_owned(),
            ours,
            baseline,
            ratio: baseline
                .map(|baseline| ours / baseline)
                .filter(|ratio| ratio.is_finite()),
            unit: unit.into(),
        }
    }
}

/// Returns the default path of the summary.
pub fn default_path() -> PathBuf {
    concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/bench/summary.json"
    )
    .into()
}

/// Writes `rows`, which replace existing rows of the same names. Keeps all others.
///
/// # Errors
/// Fails when the file can't be written, or exists and isn't a summary.
pub fn merge(file: &Path, rows: &[impl Serialize]) -> Result<(), Failure> {
    let rows = rows
        .iter()
        .map(serde_json::to_value)
        .collect::<Result<Vec<_>, _>>()?;
    let mut all = read(file)?;
    all.retain(|old| rows.iter().all(|new| new["row"] != old["row"]));
    all.extend(rows);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(file, serde_json::to_string_pretty(&all)?)?)
}

/// Returns the row of this name, if the file has one.
///
/// # Errors
/// Fails when the file exists and isn't a summary.
pub fn row(file: &Path, name: &str) -> Result<Option<Row>, Failure> {
    let row = read(file)?.into_iter().find(|row| row["row"] == name);
    Ok(row.map(serde_json::from_value).transpose()?)
}

fn read(file: &Path) -> Result<Vec<Value>, Failure> {
    match std::fs::read(file) {
        Ok(text) => Ok(serde_json::from_slice(&text).map_err(|error| no_summary(file, error))?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn no_summary(file: &Path, error: serde_json::Error) -> Error {
    let what = format!("{} isn't a summary: {error}; delete it", file.display());
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_replace_only_rows_of_the_same_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("new/summary.json");
        let one = Row::new("a.one", 1.0, Some(4.0), "ms");
        merge(&file, &[one.clone(), Row::new("b.two", 2.0, None, "ms")]).expect("written");
        merge(&file, &[Row::new("b.two", 3.0, Some(0.0), "ms")]).expect("written");
        let text = std::fs::read(&file).expect("a summary");
        let all: Vec<Value> = serde_json::from_slice(&text).expect("a list");
        assert_eq!(all.len(), 2);
        assert_eq!(all[0], serde_json::to_value(&one).expect("a value"));
        assert_eq!(row(&file, "a.one").expect("read"), Some(one));
        assert_eq!(row(&file, "c").expect("read"), None);
        assert_eq!(all[1]["ours"], 3.0);
        assert!(
            all[1]["ratio"].is_null(),
            "without a baseline there is no ratio"
        );
        std::fs::write(&file, "not a list").expect("written");
        let error = merge(&file, &[Row::new("c", 1.0, None, "ms")]).expect_err("refused");
        assert!(error.to_string().contains("delete it"), "{error}");
    }
}
