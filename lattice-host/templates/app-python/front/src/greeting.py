"""What the actor says."""

from visits import count


def greeting(path_with_query: str | None) -> str:
    path = (path_with_query or "/").partition("?")[0]
    visits = count(path)
    counted = "not counted" if visits is None else f"visit {visits}"
    return f"Hello from placeholder-name, at {path}, {counted}!\n"
