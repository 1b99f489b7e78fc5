#!/usr/bin/env python3
"""Tests layers.py with planted arrows: each form of an import that leads up must be found."""

import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import layers

# Each leads from a module of the lower layer to the upper one, in files of these names.
UP = {
    "low.rs": [
        "use crate::high;",
        "use crate::high::Thing;",
        "use crate::{low::One, high::Thing};",
        "use crate::{\n    low::{One, Two},\n    high::{self, Thing},\n};",
        "use {crate::high::Thing, std::fmt};",
        "use super::high::Thing;",
        "use self::super::high::Thing;",
        "use crate::Renamed;",
        "fn call() { crate::high::call() }",
        "fn call() { super::high::call() }",
        "fn call() -> crate::high::Thing { todo!() }",
        "mod inner { use super::super::high::Thing; }",
        "use crate::*;",
        "use crate::{low::One, *};",
        "use crate as root;",
        "pub(crate) use crate as root;",
        "use crate::{self as root, low::One};",
        "use super::*;",
        "use super as root;",
        "use super::{self as root};",
        "mod inner { use super::super::*; }",
        "mod inner { use super::super as root; }",
        "extern crate self as root;",
    ],
    "low/mod.rs": ["use super::high::Thing;", "use super::*;"],
    "low/part.rs": [
        "use super::super::high::Thing;",
        "use super::{super::high::Thing, One};",
        "use super::super::*;",
        "use super::{super::*, One};",
        "use super::super as root;",
        "use crate::*;",
    ],
}
# These don't.
FINE = {
    "low.rs": [
        "use self::part::Thing;",
        "use crate::low::*;",
        "use crate::{low::{self as own, high}};",
        "pub(crate) fn call() {}",
        "pub(super) fn call() {}",
        "mod inner { use super::*; }",
        "mod inner { use super::high::Thing; }",
        "mod high_up { pub(in super::super) fn call() {} }",
        "// use crate::high::Thing;",
        'const TEXT: &str = "use crate::*;";',
        "#[cfg(test)]\nmod tests {\n    use crate::*;\n}",
        "#[cfg(test)]\nuse crate::high::Thing;",
    ],
    "low/mod.rs": ["use part::*;", "mod inner { use super::*; }"],
    "low/part.rs": ["use super::*;", "use super::high::Thing;", "use super as low;"],
    "high.rs": ["use crate::low::Thing;", "use super::low;"],
    "low/part/tests.rs": ["use crate::*;"],
}


class Planted(unittest.TestCase):
    def faults(self, name, source):
        with tempfile.TemporaryDirectory() as folder:
            layers.ROOT = pathlib.Path(folder)
            root = layers.ROOT / "src"
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            (root / "lib.rs").write_text("mod high;\nmod low;\npub use high::Renamed;\n")
            file.write_text(source)
            return list(layers.check(root, "low\nhigh\n"))

    def test_what_leads_up_is_found(self):
        for name, sources in UP.items():
            for source in sources:
                with self.subTest(file=name, source=source):
                    faults = self.faults(name, source)
                    self.assertEqual(len(faults), 1, faults)
                    self.assertIn(f"{name}:", faults[0])

    def test_another_name_of_the_crate_is_found(self):
        faults = self.faults("lib.rs", "mod high;\nmod low;\nextern crate self as root;\n")
        self.assertEqual(len(faults), 1, faults)

    def test_what_does_not_is_allowed(self):
        for name, sources in FINE.items():
            for source in sources:
                with self.subTest(file=name, source=source):
                    self.assertEqual(self.faults(name, source), [])


if __name__ == "__main__":
    unittest.main(verbosity=0)
