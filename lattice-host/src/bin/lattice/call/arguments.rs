//! Arguments as text, checked against a function's type.

use crate::{output::on_one_line, words::shortened};
use bytes::Bytes;
use lattice_core::dynamic::{self, Param, Signature};
use std::{error::Error as _, fmt::Write as _, ops::Range};
use wasm_wave::{
    parser::ParserError,
    untyped::UntypedFuncCall,
    value::{Type as WaveType, Value},
};

/// The text is put between these, so that it can be parsed as a call. The line break ends a comment
/// at the end of the text.
const OPEN: &str = "f(";
const CLOSE: &str = "\n)";
/// Most characters of a type that a message shows. Some have a hundred thousand.
const LONGEST_TYPE: usize = 400;
/// Most characters of a line of arguments that a message shows on each side of the error.
const AROUND: usize = 100;

/// The error of a text that can't be parsed as the arguments of a function.
#[derive(Debug)]
pub(crate) struct ArgumentError {
    /// Range in bytes of the text.
    span: Range<usize>,
    reason: String,
}

/// Parses arguments: WAVE values, separated by commas.
pub(crate) fn parse(signature: &Signature, text: &str) -> Result<Bytes, ArgumentError> {
    let source = format!("{OPEN}{text}{CLOSE}");
    let inside = |span: Range<usize>| {
        let within = |at: usize| at.saturating_sub(OPEN.len()).min(text.len());
        within(span.start)..within(span.end)
    };
    let call = UntypedFuncCall::parse(&source).map_err(|error| ArgumentError {
        span: inside(error.span()),
        reason: reason(&error),
    })?;
    let types: Vec<&WaveType> = signature
        .params
        .iter()
        .map(|param| &param.ty.wave)
        .collect();
    let values: Vec<Value> = call.to_wasm_params(types).map_err(|error| {
        let param = param_at(&call, &signature.params, &error.span());
        ArgumentError {
            span: inside(error.span()),
            reason: match param {
                Some(param) => {
                    let ty = shortened(&param.ty.wit.to_string(), LONGEST_TYPE);
                    format!("{}; `{}` is a {ty}", reason(&error), param.name)
                }
                None => reason(&error),
            },
        }
    })?;
    dynamic::encode(&signature.params, &values).map_err(|error| ArgumentError {
        span: 0..0,
        reason: error.to_string(),
    })
}

/// Returns the parameter whose argument contains these bytes.
fn param_at<'p>(
    call: &UntypedFuncCall<'_>,
    params: &'p [Param],
    span: &Range<usize>,
) -> Option<&'p Param> {
    let arguments = call.params_node()?.as_tuple().ok()?;
    let mut arguments = arguments.zip(params);
    let holding = arguments.find(|(argument, _)| {
        let around = argument.span();
        around.start <= span.start && span.end <= around.end
    });
    holding.map(|(_, param)| param)
}

fn reason(error: &ParserError) -> String {
    let reason = match (error.source(), error.detail()) {
        (Some(source), _) => source.to_string(),
        (None, Some(detail)) => format!("{}: {detail}", error.kind()),
        (None, None) => error.kind().to_string(),
    };
    shortened(&reason, LONGEST_TYPE)
}

impl ArgumentError {
    /// Returns a message that shows the position in the text and the problem.
    pub(crate) fn show(&self, text: &str, function: &str, signature: &str) -> String {
        let before = text.get(..self.span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(line_start..).unwrap_or_default();
        let line = line.lines().next().unwrap_or_default();
        let column = before[line_start..].chars().count();
        let covered = text.get(self.span.clone()).unwrap_or_default();
        let width = covered.lines().next().unwrap_or_default().chars().count();
        // Only the part of a long line around the error is shown.
        let skipped = column.saturating_sub(AROUND);
        let line: String = line.chars().skip(skipped).take(2 * AROUND).collect();
        let width = width.clamp(1, AROUND);
        let mut shown = format!("the arguments don't match the function: {}\n", self.reason);
        // Writing to a string never fails.
        let _ = writeln!(shown, "  at column {}:", column + 1);
        let _ = writeln!(shown, "    {}", on_one_line(&line));
        let _ = writeln!(
            shown,
            "    {}{}",
            " ".repeat(column - skipped),
            "^".repeat(width)
        );
        let short = shortened(signature, LONGEST_TYPE);
        let _ = write!(shown, "  expected: {function}: {short}");
        if short.len() < signature.len() {
            shown += "\n  `lattice inspect` shows the whole type";
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREET: &str = "func(name: string, age: u8, title: option<string>)";

    fn mismatch(text: &str) -> String {
        let signature = Signature::parse(GREET).expect("a signature");
        let mismatch = parse(&signature, text).expect_err(text);
        mismatch.show(text, "greet", GREET)
    }

    #[test]
    fn arguments_are_joined_by_commas_and_the_last_options_may_be_left_out() {
        let signature = Signature::parse(GREET).expect("a signature");
        let bytes = parse(&signature, "\"Ada\", 36").expect("fits");
        assert_eq!(&bytes[..], b"\x03Ada\x24\x00");
        let bytes = parse(&signature, "\"Ada\",\n 36, some(\"Lady\") // a comment").expect("fits");
        assert_eq!(&bytes[..], b"\x03Ada\x24\x01\x04Lady");
        let none = Signature::parse("func()").expect("a signature");
        assert!(parse(&none, "").expect("fits").is_empty());
    }

    #[test]
    fn errors_are_shown_at_their_position() {
        let shown = mismatch("\"Ada\", \"old\"");
        assert!(shown.contains("`age` is a u8"), "{shown}");
        assert!(shown.contains("at column 8:"), "{shown}");
        assert!(
            shown.contains("\n    \"Ada\", \"old\"\n           ^^^^^\n"),
            "{shown}"
        );
        assert!(
            shown.ends_with(&format!("expected: greet: {GREET}")),
            "{shown}"
        );
        // Columns are characters, and lines are counted.
        let shown = mismatch("\"größe\",\n \"ß\", 300");
        assert!(
            shown.contains("at column 2:\n     \"ß\", 300\n     ^^^\n"),
            "{shown}"
        );
    }

    #[test]
    fn messages_about_long_types_and_arguments_are_short() {
        let cases: Vec<String> = (0..9_000).map(|at| format!("case-{at}")).collect();
        let type_text = format!("func(c: enum {{ {} }}, d: u8)", cases.join(", "));
        let signature = Signature::parse(&type_text).expect("a signature");
        for text in [
            "x, 1",
            "case-1, y",
            "1",
            &format!("case-1, {}", "9".repeat(100_000)),
        ] {
            let mismatch = parse(&signature, text).expect_err("wrong");
            let shown = mismatch.show(text, "f", &type_text);
            assert!(shown.len() < 3_000, "{} bytes", shown.len());
            assert!(
                shown.contains("  expected: f: func(c: enum { case-0, "),
                "{shown}"
            );
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused() {
        for text in [
            "",
            "\"Ada\"",
            "\"Ada\", 300",
            "\"Ada\", 36, none, 1",
            "\"Ada",
            "\"Ada\", 36) (",
            ")",
            "((((",
            "\u{0}",
            "\"\\u{110000}\", 1",
            &"[".repeat(200_000),
        ] {
            assert!(mismatch(text).contains("expected: "), "{text:.40}");
        }
    }
}
