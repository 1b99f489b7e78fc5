import unittest

from greeting import greeting


class TestGreeting(unittest.TestCase):
    def test_it_has_the_path(self) -> None:
        self.assertEqual(greeting("/Ada"), "Hello from placeholder-name, at /Ada!\n")
