#!/usr/bin/env python3
"""Fails when a module imports from a module above it, or a crate or program says no order.

The order is in ARCHITECTURE.md, in fenced blocks that start with ```layers FOLDER. Each line of
a block is a layer, the lowest first: modules of one line are independent of each other, and each
may import from the lines before it. Code under #[cfg(test)] is ignored. The order holds between the
modules that the root of a crate or program declares, not within one of them. What hides an import
(`use crate::*`, `use crate as x`, and the same by `super`) is a fault. layers_test.py tests this.

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
    if re.search(r"\bextern\s+crate\s+self\b", code(root.read_text())):
        yield f"{root.relative_to(ROOT)}: the crate has another name for itself, which hides what uses it; use `crate`"
    roots = re_exports(root)
    for path in sorted(folder.rglob("*.rs")):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[0] in ("lib", "bin", "main") or is_test(parts):
            continue
        source = code(path.read_text())
        for target, line in dict.fromkeys(imports(source, parts)):
            if target in WHOLE:
                yield f"{path.relative_to(ROOT)}:{line}: it imports all of the crate's root, which hides what it uses; name that"
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
    """Every first segment of a path from the crate's root, with its line. It is one of WHOLE when
    the path names all of the root, so that what is used of it can't be seen."""
    depth = len(parts) - (parts[-1] == "mod")
    inner = [(match.end(), closing(source, match.end() - 1)) for match in re.finditer(r"\bmod \w+\s*\{", source)]
    for match in re.finditer(r"(?<![\w:])(?:self::)?(?:crate|super)\b(?:::\w+)*(?:::[*{]|\s+as\s+\w+)?", source):
        start, end = match.span()
        line = source.count("\n", 0, start) + 1
        text = source[start : closing(source, end - 1)] if source[end - 1] == "{" else match.group()
        up = depth + sum(begin <= start < end for begin, end in inner)
        for path in paths(text):
            rest = from_root(path, up)
            if rest:
                yield rest[0], line
    for match in re.finditer(r"\bextern\s+crate\s+self\b", source):
        yield "as", source.count("\n", 0, match.start()) + 1


# First segments of paths that name all of the crate's root.
WHOLE = {"*", "as", "self"}


def paths(tree, before=()):
    """Every path of a use tree, as its segments. Another name is a segment of its own, `as`."""
    head, brace, body = tree.partition("{")
    head, _, alias = head.strip().partition(" as ")
    before += tuple(name for name in head.split("::") if name) + (("as",) if alias else ())
    if not brace:
        yield before
        return
    depth, item = 0, ""
    for letter in body.rpartition("}")[0] + ",":
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            if item.strip():
                yield from paths(item, before)
            item = ""
        else:
            item += letter


def from_root(path, up):
    """What a path has behind the crate's root, which is `up` modules above. None if it doesn't lead there."""
    path = path[1:] if path[0] == "self" else path
    if path[0] == "crate":
        return path[1:]
    supers = next((at for at, name in enumerate(path) if name != "super"), len(path))
    return path[up:] if supers == up else None


if __name__ == "__main__":
    main()
