"""What the actor says. It needs nothing of a host, so that tests can call it."""


def greeting(path: str | None) -> str:
    return f"Hello from placeholder-name, at {path or '/'}!\n"
