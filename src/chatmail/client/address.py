"""Where a server is, as people write it. Pure."""

from chatmail.client.link import Server

HOST = "localhost"
PORT = 6245


def server_of(text: str) -> Server:
    """HOST, HOST:PORT, or an IPv6 address, which takes brackets when a port follows.

    Raises:
        ValueError: it is none of these; with a sentence.
    """
    host, colon, port = text, "", ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        if not bracket or colon not in {"", ":"}:
            raise ValueError(f"{text!r} is no address: an IPv6 one looks like [::1]:{PORT}")
    elif text.count(":") == 1:
        host, colon, port = text.partition(":")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise ValueError(f"{port!r} is no port: it is a number from 1 to 65535")
    try:
        fits = host.isprintable() and " " not in host and host.encode("idna")
    except UnicodeError:
        fits = False
    if host and not fits:
        raise ValueError(f"{host!r} is no name of a host")
    return Server(host or HOST, int(port) if port else PORT)
