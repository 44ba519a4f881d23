"""``chatmail``: options, then a conversation at the terminal or in a pipe, then an exit code that means something."""

import argparse
import asyncio
import os
import secrets
import sys
from enum import IntEnum
from functools import partial

from msgspec import structs

import chatmail
from chatmail.client import wording
from chatmail.client.keys import Keys
from chatmail.client.link import Ending, How, Server
from chatmail.client.state import open_folder
from chatmail.client.timeline import Timeline
from chatmail.client.trust import read_fingerprint
from chatmail.core import wire
from chatmail.core.names import BadEmail, BadName, check_email, check_name
from chatmail.files import state_folder
from chatmail.terminal.text import paragraph, plain

HOST = "localhost"
PORT = 6245
EPILOG = """\
Without a terminal it reads lines and writes lines:  echo done | chatmail --name ci --email ci@example.org

exit codes: 0 all said; 1 something was refused; 2 wrong usage; 3 no connection; 4 refused at the door
"""


class Exit(IntEnum):
    """What the exit code means."""

    OK = 0
    REFUSED = 1
    """A line was refused, or was never confirmed."""
    USAGE = 2
    NO_CONNECTION = 3
    AT_THE_DOOR = 4
    """The server did not let us in, or showed us out."""
    INTERRUPTED = 130
    """Ctrl-C at a question, as shells count it: 128 + SIGINT."""


EXITS = {
    How.LEFT: Exit.OK,
    How.UNREACHABLE: Exit.NO_CONNECTION,
    How.LOST: Exit.NO_CONNECTION,
    How.REFUSED: Exit.AT_THE_DOOR,
    How.BYE: Exit.AT_THE_DOOR,
}

MENDED_BY = {
    wire.Code.BAD_NAME: "name",
    wire.Code.NAME_TAKEN: "name",
    wire.Code.BAD_EMAIL: "email",
    wire.Code.NOT_ALLOWED: "email",
}
"""Refusals at the door that another answer may mend, unless the server names the field itself."""


def main() -> None:
    """The console script."""
    options = _options(sys.argv[1:])
    if not options.server.tls and not options.server.loopback:
        _complain(wording.in_clear(options.server))
    talk = _at_terminal if _is_terminal(sys.stdin) and _is_terminal(sys.stdout) else _in_pipe
    code = talk(options)
    _flush()
    sys.exit(code)


def server_of(text: str) -> Server:
    """HOST, HOST:PORT, or an IPv6 address, which takes brackets when a port follows.

    Raises:
        argparse.ArgumentTypeError: it is none of these.
    """
    host, colon, port = text, "", ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        if not bracket or colon not in {"", ":"}:
            raise argparse.ArgumentTypeError(f"{text!r} is no address: an IPv6 one looks like [::1]:{PORT}")
    elif text.count(":") == 1:
        host, colon, port = text.partition(":")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise argparse.ArgumentTypeError(f"{port!r} is no port: it is a number from 1 to 65535")
    try:
        fits = host.isprintable() and " " not in host and host.encode("idna")
    except UnicodeError:
        fits = False
    if host and not fits:
        raise argparse.ArgumentTypeError(f"{host!r} is no name of a host")
    return Server(host or HOST, int(port) if port else PORT)


def _fingerprint_of(text: str) -> str:
    try:
        return read_fingerprint(text)
    except ValueError as mistake:
        raise argparse.ArgumentTypeError(str(mistake)) from None


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chatmail",
        description="Chat in the terminal; direct messages reach people by email.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "server",
        metavar="HOST[:PORT]",
        nargs="?",
        type=server_of,
        default=Server(HOST, PORT),
        help=f"where the server is ({HOST}:{PORT})",
    )
    parser.add_argument(
        "--tls",
        action=argparse.BooleanOptionalAction,
        help="encrypt the connection, or not; it is, unless the server is on this machine",
    )
    parser.add_argument(
        "--trust",
        metavar="SHA256:...",
        type=_fingerprint_of,
        help="trust the certificate with this fingerprint, from now on; the operator sees it at the server's start",
    )
    parser.add_argument("--name", default="", help="your name in the chat; asked for when it is missing")
    parser.add_argument("--email", default="", help="your email address; asked for when it is missing")
    parser.add_argument("--version", action="version", version=f"chatmail {chatmail.__version__}")
    options = parser.parse_args(argv)
    if options.tls is None:
        options.tls = bool(options.trust) or not options.server.loopback
    if options.trust and not options.tls:
        parser.error("--trust is about a certificate, and with --no-tls there is none")
    options.server = structs.replace(options.server, tls=options.tls)
    return options


def _is_terminal(stream: object) -> bool:
    return hasattr(stream, "isatty") and bool(stream.isatty())


def _timeline(name: str) -> Timeline:
    return Timeline(name, secrets.token_hex(6))


def _end(ending: Ending, timeline: Timeline, *, refused: bool = False) -> Exit:
    """The exit code, after the last words to standard error."""
    if ending.how is not How.LEFT and ending.text:
        _complain(ending.text)
    lines = timeline.unsaid
    if lines:
        what = "one line was" if len(lines) == 1 else f"{len(lines)} lines were"
        _complain(f"{what} never confirmed by the server, the first is: {lines[0].text[:60]}")
    code = EXITS[ending.how]
    return Exit.REFUSED if code is Exit.OK and (refused or lines) else code


def _complain(text: str) -> None:
    if sys.stderr:
        try:
            print(f"chatmail: {plain(paragraph(text))}", file=sys.stderr, flush=True)
        except OSError:
            sys.stderr = None  # nobody reads it


def _flush() -> None:
    """Python flushes at its end, and complains when a pipe or a terminal is gone: give it another place to."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _in_pipe(options: argparse.Namespace) -> Exit:
    """Without a terminal nothing is asked."""
    from chatmail.client.plain import Plain

    try:
        name, email = check_name(options.name), check_email(options.email)
    except (BadName, BadEmail) as mistake:
        missing = "" if options.name and options.email else " (without a terminal, --name and --email are needed)"
        _complain(f"{mistake}{missing}")
        return Exit.USAGE
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    timeline = _timeline(name)
    keys = Keys(open_folder(state_folder(), _complain), _complain)

    async def talk() -> tuple[Ending, bool]:
        fd = None if sys.stdin is None else sys.stdin.fileno()
        server = options.server if options.trust else keys.pinned(options.server)
        while True:
            token, keep = keys.token(server, name, email), partial(keys.keep, server, name, email)
            face = Plain(server, name, email, timeline, token=token, keep=keep, fd=fd, out=sys.stdout, err=sys.stderr)
            ending = await face.run()
            if ending.stranger is None or ending.stranger.found != options.trust:
                return _without(options.trust, server, ending), face.refused
            server = keys.trust(server, options.trust)

    ending, refused = asyncio.run(talk())
    return _end(ending, timeline, refused=refused)


def _at_terminal(options: argparse.Namespace) -> Exit:
    try:
        return asyncio.run(chat(options.server, options.name, options.email, options.trust))
    except EOFError:
        return Exit.OK
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


async def chat(server: Server, name: str, email: str, trust: str | None = None) -> Exit:
    """Ask, connect, chat; ask again when the server refuses what another answer may mend.

    A certificate that nobody known has signed is trusted when ``trust`` names it, or the person says so.
    """
    from chatmail.client import ask  # prompt-toolkit takes its time to load: only where there is a terminal
    from chatmail.client.prompt import Chat
    from chatmail.terminal.history import open_history

    wrong = {"name": "", "email": ""}
    given = {"name": name, "email": email}
    questions = {"name": ask.NAME, "email": ask.EMAIL}
    folder = open_folder(state_folder(), ask.complain)
    history = open_history(folder and folder / "history", ask.complain)
    keys = Keys(folder, ask.complain)
    server = server if trust else keys.pinned(server)
    timeline = _timeline(name)
    while True:
        for field, question in questions.items():
            answer, mistake = ask.check(question, given[field])
            if answer is None or wrong[field]:
                wrong[field] = wrong[field] or (mistake if given[field] else "")
                answer = await ask.ask(question, wrong[field])
            given[field], wrong[field] = answer, ""
        timeline.me = given["name"]
        me = server, given["name"], given["email"]
        face = Chat(*me, timeline, token=keys.token(*me), keep=partial(keys.keep, *me), history=history)
        keys.report = face.warn
        ending = await face.run()
        if stranger := ending.stranger:
            asked = stranger.pinned is None and trust is None
            if stranger.found != trust and not (asked and await ask.trusts(server, stranger)):
                return _end(_without(trust, server, ending), timeline)
            server = keys.trust(server, stranger.found)
            continue
        mend = _mended_by(ending)
        if mend is None:
            return _end(ending, timeline)
        wrong[mend] = ending.text


def _without(trust: str | None, server: Server, ending: Ending) -> Ending:
    """The end without a connection, where ``trust`` named another certificate than the one that is there."""
    if trust is None or ending.stranger is None:
        return ending
    return structs.replace(ending, text=wording.untrusted(server, structs.replace(ending.stranger, pinned=trust)))


def _mended_by(ending: Ending) -> str | None:
    """The answer that is to be given anew: "name", "email", or None when that would not help."""
    if ending.how is not How.REFUSED or ending.error is None:
        return None
    try:
        field = MENDED_BY[wire.Code(ending.error.code)]
    except (ValueError, KeyError):
        return None
    return ending.error.field if ending.error.field in {"name", "email"} else field


if __name__ == "__main__":
    main()
