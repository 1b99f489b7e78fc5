"""Uses everything that the store has, as `bucket-user` does: see `bucket.wit`."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import store


class Checks(exports.Checks):
    def check(self) -> None:
        errors()
        entries()
        pages()


def errors() -> None:
    for name, expected in [
        ("missing", store.Error_NoSuchStore()),
        ("secret", store.Error_AccessDenied()),
        ("", store.Error_Other("a bucket has a name")),
    ]:
        try:
            store.open(name)
        except Err as error:
            same(error.value, expected)
        else:
            raise Err(f"`{name}` was opened")


def entries() -> None:
    large = bytes([7]) * 100_000
    with store.open("entries") as bucket:
        same(bucket.get("a"), None)
        bucket.set("a", b"1")
        bucket.set("a", b"2")
        bucket.set("large", large)
        bucket.set("empty", b"")
        same(bucket.get("a"), b"2")
        same(bucket.get("large"), large)
        same(bucket.get("empty"), b"")
        # A second handle of the same bucket, which outlives the first one.
        again = store.open("entries")
    with again:
        same(again.exists("a"), True)
        again.delete("a")
        again.delete("a")
        same(again.exists("a"), False)
        same(again.get("a"), None)


def pages() -> None:
    keys = ["a", "b", "c", "d", "e"]
    with store.open("pages") as bucket, store.open("other") as other:
        for key in keys:
            bucket.set(key, key.encode())
        same(listed(bucket), keys)
        same(listed(other), [])


def listed(bucket: store.Bucket) -> list[str]:
    found, cursor = [], None
    while True:
        page = bucket.list_keys(cursor)
        found += page.keys
        cursor = page.cursor
        if cursor is None:
            return found


def same(found: object, expected: object) -> None:
    if found != expected:
        raise Err(f"{found!r} instead of {expected!r}")
