#!/usr/bin/env python3
"""Fails when a file, a struct or a line of prose is too large.

* A Rust file has at most 500 lines, and a struct at most 12 fields.
* Prose is wrapped at 100 columns: comments with their examples, and Markdown. Tables, drawings
  (```text) and the code in Markdown are not prose, nor is one long word, such as an address.

The lints of clippy limit functions to 80 lines and 5 arguments; see clippy.toml.
"""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINES = 500
FIELDS = 12
COLUMNS = 100
# Structs that may have more fields, and why.
LARGE = {
    "CallEnvelope": "its fields are the layout of a call on the wire",
    "CallParts": "its fields are the layout of a call on the wire",
    "PostgresConfig": "its fields are the settings of an instance, which have no groups",
    "Twenty": "a test passes a record of twenty fields",
}
# Texts of others.
OTHERS = {"lattice-host/templates/wasi"}
# The comments of these files, by how a comment starts.
COMMENTS = {".rs": "//", ".wit": "//", ".toml": "#", ".py": "#", ".sh": "#"}


def main():
    faults = [fault for path in files() for fault in check(path)]
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        sys.exit(f"{len(faults)} sizes are over their limits")
    print(f"files have at most {LINES} lines, structs {FIELDS} fields, and prose {COLUMNS} columns")


def files():
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if is_ours(folder, name))
        yield from (pathlib.Path(folder, name) for name in sorted(names))


def is_ours(folder, name):
    path = pathlib.Path(folder, name).relative_to(ROOT).as_posix()
    return name not in ("target", ".git") and path not in OTHERS


def check(path):
    kind, name = path.suffix, path.relative_to(ROOT)
    if kind not in COMMENTS and kind != ".md":
        return
    text = path.read_text()
    lines = text.splitlines()
    if kind == ".rs":
        if len(lines) > LINES:
            yield f"{name}: it has {len(lines)} lines; split it, {LINES} are allowed"
        for line, struct, fields in structs(text):
            if fields > FIELDS and struct not in LARGE:
                yield f"{name}:{line}: `{struct}` has {fields} fields; split it, {FIELDS} are allowed"
    for line in wide(lines, COMMENTS.get(kind)):
        yield f"{name}:{line}: prose is wider than {COLUMNS} columns; wrap it"


def wide(lines, mark):
    """Lines of prose that are too wide. `mark` starts a comment; in Markdown all is prose."""
    fence = None
    for number, line in enumerate(lines, 1):
        prose = line.strip()
        if mark:
            if not prose.startswith(mark):
                fence = None
                continue
            prose = prose.lstrip("/#!").strip()
        if prose.startswith("```"):
            fence = prose if fence is None else None
            continue
        is_kept = fence == "```text" or (fence and not mark)
        if len(line) > COLUMNS and not is_kept and not prose.startswith("|") and " " in prose:
            yield number


def structs(text):
    """Each struct with named fields: its line, name, and number of fields."""
    code = re.sub(r'//[^\n]*|"(?:\\.|[^"\\])*"', lambda match: re.sub(r"[^\n]", " ", match.group()), text)
    for match in re.finditer(r"\bstruct (\w+)[^;{(]*\{", code):
        body, depth = [], 1
        for letter in code[match.end() :]:
            depth += (letter in "{([") - (letter in "})]")
            if depth == 0:
                break
            if depth == 1:
                body.append(letter)
        fields = re.findall(r"\b(?:r#)?\w+\s*:(?!:)", "".join(body).replace("::", "  "))
        yield code.count("\n", 0, match.start()) + 1, match.group(1), len(fields)


main()
