"""Ports that nobody else takes."""

import socket


def reserved_port() -> socket.socket:
    """A free port that nobody else is given while this is open: bound, but not listened on.

    A server may listen on it all the same, on Linux: both say that the address may be used again (socket(7)).
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved
