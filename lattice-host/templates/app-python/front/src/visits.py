"""Counts visits, in the key-value store that the actor is linked to."""

import sys

from componentize_py_types import Err
from wit_world.imports import store


def count(path: str) -> int | None:
    try:
        return store.increment(f"visits{path}", 1)
    except Err as error:
        print(f"the visit was not counted: {error.value}", file=sys.stderr)
        return None
