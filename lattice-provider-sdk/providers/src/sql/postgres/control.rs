//! Statements that the provider keeps for itself.

use crate::sql::database::Error;

/// They control transactions, which have functions of their own, or leave something behind on a
/// connection that others use later, or change what the connection speaks.
const DENIED: &[&str] = &[
    "ABORT",
    "BEGIN",
    "CLOSE",
    "COMMIT",
    "COPY",
    "DEALLOCATE",
    "DECLARE",
    "DISCARD",
    "END",
    "EXECUTE",
    "FETCH",
    "LISTEN",
    "LOAD",
    "MOVE",
    "PREPARE",
    "RELEASE",
    "RESET",
    "ROLLBACK",
    "SAVEPOINT",
    "SET",
    "START",
    "UNLISTEN",
];
/// They can end the read-only transaction in which they run, and begin another one.
const DENIED_READ_ONLY: &[&str] = &["CALL", "DO"];

/// Refuses a statement that begins with one of these words.
///
/// A prepared statement is a single one, so it can't come after another. This is about what
/// connections share; what a user may do is for the server's own privileges.
pub(super) fn check(statement: &str, is_read_only: bool) -> Result<(), Error> {
    let word = first_word(statement).to_ascii_uppercase();
    let is_denied = DENIED.contains(&word.as_str());
    if is_denied || is_read_only && DENIED_READ_ONLY.contains(&word.as_str()) {
        return Err(Error::Denied(format!(
            "`{word}` isn't allowed as a statement: transactions are begun and ended by functions, \
             and connections are shared"
        )));
    }
    Ok(())
}

/// Words of statements that may leave something behind on a connection: temporary tables, settings
/// and locks of a session.
const LASTING: &[&str] = &["TEMP", "TEMPORARY", "SET_CONFIG"];
/// What the names of others begin with.
const LASTING_PREFIXES: &[&str] = &["PG_TEMP", "PG_ADVISORY_", "PG_TRY_ADVISORY_"];

/// Returns whether a statement may leave something behind on its connection.
///
/// Code that the database runs may do so too, so statements that run any count. A function that
/// was defined before doesn't: it would have to be looked up.
pub(super) fn may_leave_something(statement: &str) -> bool {
    if DENIED_READ_ONLY.contains(&first_word(statement).to_ascii_uppercase().as_str()) {
        return true;
    }
    let words = statement.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| !word.is_empty()).any(|word| {
        let is = |known: &&str| word.eq_ignore_ascii_case(known);
        let begins = |prefix: &&str| {
            let head = word.get(..prefix.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(prefix))
        };
        LASTING.iter().any(is) || LASTING_PREFIXES.iter().any(begins)
    })
}

/// Returns the first word of a statement, after spaces, comments, parentheses and semicolons.
fn first_word(statement: &str) -> &str {
    let mut rest = statement;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';' || c == '(');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment
                .split_once(['\n', '\r'])
                .map_or("", |(_, rest)| rest);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = after_comment(comment);
        } else {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            return &rest[..end.unwrap_or(rest.len())];
        }
    }
}

/// Returns what follows a comment, whose beginning was read. Comments can have comments in them.
fn after_comment(mut rest: &str) -> &str {
    let mut depth = 1;
    while depth > 0 {
        let Some(at) = rest.find("*/").into_iter().chain(rest.find("/*")).min() else {
            return "";
        };
        depth = if rest[at..].starts_with("/*") {
            depth + 1
        } else {
            depth - 1
        };
        rest = &rest[at + 2..];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_control_a_connection_are_denied_however_they_are_written() {
        for statement in [
            "COMMIT",
            "commit;",
            " \n;; Rollback",
            "-- SELECT\nbegin",
            "/* a /* b */ c */ set x = 1",
            "/**/(COMMIT)",
            "--\r\nEND",
        ] {
            let denied = check(statement, false);
            assert!(matches!(denied, Err(Error::Denied(_))), "{statement}");
        }
    }

    #[test]
    fn statements_that_may_leave_something_behind_are_known() {
        for statement in [
            "CREATE TEMP TABLE a (id INT)",
            "create temporary view a AS SELECT 1",
            "SELECT 1 INTO TEMP a",
            "CREATE TABLE pg_temp.a (id INT)",
            "CREATE TABLE \"pg_temp_3\".a (id INT)",
            "SELECT pg_catalog.set_config('search_path', 'x', false)",
            "SELECT pg_try_advisory_lock(1)",
            "/* */ do $$ BEGIN END $$",
            "CALL p()",
        ] {
            assert!(may_leave_something(statement), "{statement}");
        }
        for statement in [
            "",
            "SELECT temperature FROM attempts",
            "é",
            "INSERT INTO docs",
        ] {
            assert!(!may_leave_something(statement), "{statement}");
        }
    }

    #[test]
    fn other_statements_are_not() {
        for statement in [
            "SELECT 'COMMIT'",
            "",
            "/* COMMIT",
            "-- COMMIT",
            "commitment",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "DO $$ BEGIN END $$",
        ] {
            assert_eq!(check(statement, false), Ok(()), "{statement}");
        }
        assert!(check("DO $$ BEGIN END $$", true).is_err());
        assert!(check("call p()", true).is_err());
    }
}
