import sys
import unittest
from types import SimpleNamespace

# Only a component has a store. Here, this stands in for the module that calls it.
counts = {"/Ada": 2}
sys.modules["visits"] = SimpleNamespace(count=counts.get)

from greeting import greeting


class TestGreeting(unittest.TestCase):
    def test_it_has_the_path_and_the_number(self) -> None:
        self.assertEqual(greeting("/Ada?a=b"), "Hello from placeholder-name, at /Ada, visit 2!\n")

    def test_a_visit_that_was_not_counted_is_answered(self) -> None:
        self.assertEqual(greeting(None), "Hello from placeholder-name, at /, not counted!\n")
