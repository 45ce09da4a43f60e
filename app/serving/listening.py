"""Why the page's server could not listen, in words of its command line."""

from __future__ import annotations

import socket

# How gradio's message begins when no port could be had; the rest names parameters of its own.
NO_PORT = "Cannot find empty port"


def refusal(error: Exception, host: str | None, port: int | None) -> str:
    """One line about an error that ended the launch; it names --port or --host where they are at fault."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not text.startswith(NO_PORT):
        return text
    if host is not None and not _is_own(host):
        return f"argument --host: {host!r:.60} is no address of this machine"
    if port is None:
        return "argument --port: no port is free where the page looks for one; choose one"
    return f"argument --port: {port} is in use or not allowed; choose another, or leave it out"


def _is_own(host: str) -> bool:
    """Whether this machine can listen on an address."""
    bare = host.removeprefix("[").removesuffix("]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(bare, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.bind(address)
    except OSError:
        return False
    return True
