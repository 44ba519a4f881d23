"""``chatmail``: options, then a conversation at the terminal or in a pipe, then an exit code that means something."""

import argparse
import asyncio
import os
import secrets
import ssl
import sys
from enum import IntEnum

from msgspec import structs

import chatmail
from chatmail.client.link import Ending, How, Server
from chatmail.client.timeline import Timeline
from chatmail.core import wire
from chatmail.core.names import BadEmail, BadName, check_email, check_name
from chatmail.terminal.text import plain, visible

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
    options = _options().parse_args()
    if options.tls:
        options.server = structs.replace(options.server, tls=_tls())
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
        host.encode("idna")
    except UnicodeError:
        raise argparse.ArgumentTypeError(f"{host!r} is no name of a host") from None
    return Server(host or HOST, int(port) if port else PORT)


def _options() -> argparse.ArgumentParser:
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
    parser.add_argument("--tls", action="store_true", help="speak TLS, and check the server's certificate and its name")
    parser.add_argument("--name", default="", help="your name in the chat; asked for when it is missing")
    parser.add_argument("--email", default="", help="your email address; asked for when it is missing")
    parser.add_argument("--version", action="version", version=f"chatmail {chatmail.__version__}")
    return parser


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


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
            print(f"chatmail: {plain(visible(text))}", file=sys.stderr, flush=True)
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

    async def talk() -> tuple[Ending, bool]:
        fd = None if sys.stdin is None else sys.stdin.fileno()
        face = Plain(options.server, name, email, timeline, fd=fd, out=sys.stdout, err=sys.stderr)
        return await face.run(), face.refused

    ending, refused = asyncio.run(talk())
    return _end(ending, timeline, refused=refused)


def _at_terminal(options: argparse.Namespace) -> Exit:
    try:
        return asyncio.run(chat(options.server, options.name, options.email))
    except EOFError:
        return Exit.OK
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


async def chat(server: Server, name: str, email: str) -> Exit:
    """Ask, connect, chat; ask again when the server refuses what another answer may mend."""
    from chatmail.client import ask  # prompt-toolkit takes its time to load: only where there is a terminal
    from chatmail.client.prompt import Chat
    from chatmail.terminal.history import history_path, open_history

    wrong = {"name": "", "email": ""}
    given = {"name": name, "email": email}
    questions = {"name": ask.NAME, "email": ask.EMAIL}
    history = open_history(history_path("history"), ask.complain)
    timeline = _timeline(name)
    while True:
        for field, question in questions.items():
            answer, mistake = ask.check(question, given[field])
            if answer is None or wrong[field]:
                wrong[field] = wrong[field] or (mistake if given[field] else "")
                answer = await ask.ask(question, wrong[field])
            given[field], wrong[field] = answer, ""
        timeline.me = given["name"]
        face = Chat(server, given["name"], given["email"], timeline, history=history)
        ending = await face.run()
        mend = _mended_by(ending)
        if mend is None:
            return _end(ending, timeline)
        wrong[mend] = ending.text


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
