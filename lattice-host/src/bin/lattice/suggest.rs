//! Suggestions for names that don't exist.

/// Lowest similarity of a name that is suggested.
const ALIKE: f64 = 0.75;
/// The most names that are listed.
const MOST: usize = 20;

/// Returns the end of a message about a name that doesn't exist: a suggestion if a name is similar,
/// and the names that exist.
pub(crate) fn hint<'n>(
    what: &str,
    given: &str,
    there: impl IntoIterator<Item = &'n str>,
) -> String {
    let there: Vec<&str> = there.into_iter().collect();
    let alike = there
        .iter()
        .filter(|name| **name != given)
        .map(|name| (strsim::jaro_winkler(given, name), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut text = match alike {
        Some((_, name)) => format!("; did you mean `{name}`?"),
        None => String::new(),
    };
    if there.is_empty() {
        return format!("{text}; there are no {what}");
    }
    text = format!("{text}\n  {what}:");
    for name in there.iter().take(MOST) {
        text += "\n    ";
        text += name;
    }
    match there.len().saturating_sub(MOST) {
        0 => text,
        more => format!("{text}\n    and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_suggested() {
        let hinted = hint(
            "functions",
            "greet-asinc",
            ["greet", "greet-async", "welcome"],
        );
        assert!(hinted.starts_with("; did you mean `greet-async`?\n  functions:\n    greet\n"));
        assert!(!hint("functions", "qqqq", ["greet"]).contains("mean"));
        assert!(
            !hint("functions", "greet", ["greet"]).contains("mean"),
            "what was given"
        );
        assert_eq!(hint("functions", "x", []), "; there are no functions");
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (0..50).map(|at| format!("n{at}")).collect();
        let hinted = hint("functions", "x", names.iter().map(String::as_str));
        assert!(hinted.ends_with("and 30 more"));
        assert_eq!(hinted.lines().count(), 23);
    }
}
