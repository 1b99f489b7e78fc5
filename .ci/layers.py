#!/usr/bin/env python3
"""Fails when a module imports from a module above it, or a crate or program says no order.

The order is in ARCHITECTURE.md, in fenced blocks that start with ```layers FOLDER. Each line of
a block is a layer, the lowest first: modules of one line are independent of each other, and each
may import from the lines before it. Code under #[cfg(test)] is ignored.

Every folder with a lib.rs or a main.rs and more than one module has a block. Only tests need none,
see EXEMPT.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Folders of these names need no order. The modules of a test program are its subjects, which use
# the support code that the program declares in its main.rs, and the guests of tests are parts of
# tests that are compiled to WebAssembly.
EXEMPT = {"tests", "target"}


def main():
    blocks = re.findall(r"^```layers (\S+)\n(.*?)^```", (ROOT / "ARCHITECTURE.md").read_text(), re.M | re.S)
    if not blocks:
        sys.exit("ARCHITECTURE.md has no ```layers block")
    faults = [fault for folder, text in blocks for fault in check(ROOT / folder, text)]
    faults += unordered({folder for folder, _ in blocks})
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        sys.exit(f"{len(faults)} faults in the layers; move shared code to a lower module")
    print("modules import only from below:", ", ".join(folder for folder, _ in blocks))


def unordered(folders):
    """Crates and programs of several modules without a block."""
    for name in ("lib.rs", "main.rs"):
        for root in sorted(ROOT.rglob(name)):
            folder = root.parent.relative_to(ROOT)
            if EXEMPT.isdisjoint(folder.parts) and str(folder) not in folders and len(declared(root)) > 1:
                yield f"{folder}: it has several modules and no order; add a ```layers block to ARCHITECTURE.md"


def declared(root):
    """The modules that a lib.rs or main.rs declares. The files of some are in other folders."""
    return set(re.findall(r"^\s*(?:pub(?:\([a-z]+\))? )?mod (\w+);", code(root.read_text()), re.M))


def check(folder, text):
    layers = {name: number for number, line in enumerate(text.splitlines()) for name in line.split()}
    root = next((path for path in (folder / "lib.rs", folder / "main.rs") if path.exists()), None)
    if root is None:
        yield f"{folder.relative_to(ROOT)}: it has neither a lib.rs nor a main.rs; remove its block from ARCHITECTURE.md"
        return
    for name in sorted(declared(root) ^ set(layers)):
        yield f"{folder.relative_to(ROOT)}: `{name}` is a module or a layer, and not both; update ARCHITECTURE.md"
    roots = re_exports(root)
    for path in sorted(folder.rglob("*.rs")):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[0] in ("lib", "bin", "main") or is_test(parts):
            continue
        source = code(path.read_text())
        for target, line in imports(source, parts):
            target = roots.get(target, target)
            if target not in layers or parts[0] not in layers or target == parts[0]:
                continue
            if layers[target] >= layers[parts[0]]:
                yield f"{path.relative_to(ROOT)}:{line}: `{parts[0]}` imports `{target}`, which is not below it"


def is_test(parts):
    return any(part == "tests" or part.endswith("_tests") for part in parts)


def re_exports(root):
    """What a crate's root imports or re-exports from a module, by name."""
    names = {}
    used = r"\buse (?:self::|crate::)?(\w+)::(?:\w+::)*(\{[^}]*\}|\w+);"
    for module, items in re.findall(used, code(root.read_text())):
        for item in re.findall(r"\w+", items):
            names[item] = module
    return names


def code(source):
    """The source with comments, texts and test modules blanked out; lines stay where they are."""
    blank = lambda match: re.sub(r"[^\n]", " ", match.group())
    source = re.sub(r'//[^\n]*|"(?:\\.|[^"\\])*"', blank, source)
    for match in reversed(list(re.finditer(r"#\[cfg\((?:all\()?test\b[^\n]*\n(?:\s*#\[[^\n]*\n)*\s*(?:pub(?:\([a-z]+\))? )?(?:mod|fn|impl|use)\b", source))):
        end = closing(source, match.end())
        source = source[: match.start()] + re.sub(r"[^\n]", " ", source[match.start() : end]) + source[end:]
    return source


def closing(source, start):
    """Where the item that begins at `start` ends: at its `;`, or at the brace that closes its body."""
    depth = 0
    for at in range(start, len(source)):
        if source[at] == ";" and depth == 0:
            return at + 1
        depth += (source[at] == "{") - (source[at] == "}")
        if source[at] == "}" and depth == 0:
            return at + 1
    return len(source)


def imports(source, parts):
    """Every first segment after `crate::`, or after as many `super::` as lead to the crate."""
    depth = len(parts) - (parts[-1] == "mod")
    root = rf"(?:\bcrate::|\b(?:super::){{{depth}}}(?!super))"
    for match in re.finditer(root + r"\s*(\{|\w+)", source):
        line = source.count("\n", 0, match.start()) + 1
        if match.group(1) != "{":
            yield match.group(1), line
            continue
        body = source[match.end() : closing(source, match.end() - 1) - 1]
        while "{" in body:
            body = re.sub(r"\{[^{}]*\}", "", body)
        for item in body.split(","):
            name = re.match(r"\s*(\w+)", item)
            if name:
                yield name.group(1), line


main()
