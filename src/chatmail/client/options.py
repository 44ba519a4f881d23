"""What stands on the command line, and what ``--help`` tells about it."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

import chatmail
from chatmail.client import config
from chatmail.client.address import HOST, PORT, server_of
from chatmail.client.config import Profile
from chatmail.client.link import Server
from chatmail.client.lookback import HISTORY_MAX
from chatmail.client.script import WAIT, Script
from chatmail.client.trust import read_fingerprint
from chatmail.files import config_folder

USAGE = """\
chatmail [HOST[:PORT]] [--name NAME] [--email ADDRESS] [options]
       echo TEXT | chatmail --name NAME --email ADDRESS [--dm NAME]
       chatmail --follow | grep WORD"""
DESCRIPTION = """\
Chat in the terminal; direct messages reach people by email, too.
Without a terminal, or with TERM=dumb, it reads lines and writes lines."""
EPILOG = """\
examples:
  chatmail chat.example.org          join there; asks for name and address
  chatmail --init --name John        write a file with what you always want
  echo done | chatmail --name ci --email ci@example.org
                                     say something from a script
  ./report | chatmail --name ci --email ci@example.org --dm Mary
                                     send Mary each line, here and by email
  chatmail --name log --email log@example.org --follow >> chat.log
                                     keep what is said from now on

exit codes:
  0    all said; each direct message (--dm) was shown to its reader or mailed,
       or its reader wants no mail; --follow was ended
  1    something was refused, or not said before a signal or the end of its
       reader, or its mail failed
  2    wrong usage, or a wrong file of settings
  3    no connection
  4    the server did not let us in, or sent us away
  5    all said, but a mail is not out yet: it waits for the next one, or for
       a mail server
  130  ended by Ctrl-C at a question
"""
WIDTH = 80
"""The help is written for so many columns, and for fewer where there are fewer."""
DUMB = frozenset({"", "dumb", "unknown"})
"""What TERM says of a terminal that can't draw."""
_KEPT = ("name", "email", "theme", "times", "bell", "notice", "keys")
"""Options that are keys of the file as well; so is the server."""


class Options(Struct, frozen=True):
    """All that was chosen, on the command line or once for all.

    ``script`` is None where nothing says that this is one.
    """

    server: Server
    profile: Profile
    trust: str | None
    script: Script | None
    init: bool
    path: Path | None
    """Where the file is, or would be."""


def read(argv: Sequence[str]) -> Options:
    """The command line, and the file where it says nothing.

    Raises:
        SystemExit: the help was shown, or the usage was wrong, which was said.
        WrongError: the file is wrong.
    """
    parser = _parser()
    given = parser.parse_args(argv)
    folder = config_folder()
    path = folder and folder / "config.toml"
    script = _script(parser, given)
    drawn = script is None and is_terminal(sys.stdin) and is_terminal(sys.stdout)
    profile = Profile() if path is None or given.init else config.read(path, styles=drawn)
    chosen = {key: value for key in _KEPT if (value := getattr(given, key)) is not None}
    if given.server is not None:
        chosen["server"] = given.server
    profile = structs.replace(profile, **chosen)
    server = server_of(profile.server)
    tls = given.tls
    if tls is None:
        tls = bool(given.trust) or not server.loopback
    if given.trust and not tls:
        parser.error("--trust is about a certificate, and with --no-tls there is none")
    return Options(structs.replace(server, tls=tls), profile, given.trust, script, given.init, path)


def is_terminal(stream: object) -> bool:
    """Whether somebody sits there, at a terminal that can draw; one that can't is read and written as a pipe."""
    dumb = os.environ.get("TERM", "").lower() in DUMB
    return not dumb and hasattr(stream, "isatty") and bool(stream.isatty())


def _script(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Script | None:
    """How a script reads and writes; None: nothing says that it is one."""
    if given.follow and (given.dm is not None or given.wait is not None):
        parser.error("--follow says nothing, so there is nothing for --dm and --wait to do")
    if given.dm is not None and given.json:
        parser.error('--dm reads text and --json reads frames; one of them is {"type":"dm","to":"NAME","text":"TEXT"}')
    if given.dm is not None and not given.dm.strip():
        parser.error("--dm takes the name of whom the lines are for")
    if given.dm is not None and is_terminal(sys.stdin):
        parser.error("--dm reads from a pipe or a file: echo TEXT | chatmail --dm NAME")
    chosen = [given.dm is not None, given.json, given.follow, given.history is not None, given.wait is not None]
    if not any(chosen):
        return None
    if not any(chosen[:3]) and is_terminal(sys.stdin) and is_terminal(sys.stdout):
        parser.error("--history and --wait are for scripts; /history looks back at a terminal")
    wait = WAIT if given.wait is None and given.dm is not None else given.wait
    return Script(to=given.dm, json=given.json, follow=given.follow, history=given.history or 0, wait=wait)


def _told(check: Callable[[str], Any]) -> Callable[[str], Any]:
    """Has argparse tell the sentence of a ValueError."""

    def read(text: str) -> Any:
        try:
            return check(text)
        except ValueError as mistake:
            raise argparse.ArgumentTypeError(str(mistake)) from None

    return read


def _address(text: str) -> str:
    server_of(text)
    return text


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= HISTORY_MAX:
        return int(text)
    raise ValueError(f"{text!r} is no number from 0 to {HISTORY_MAX}")


def _seconds(text: str) -> float:
    if text.isascii() and text.replace(".", "", 1).isdigit() and len(text) < 10:
        return float(text)
    raise ValueError(f"{text!r} is no number of seconds")


def _parser() -> argparse.ArgumentParser:
    width = min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH) - 2
    parser = argparse.ArgumentParser(
        prog="chatmail",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=width),
        allow_abbrev=False,
        add_help=False,
    )

    group = parser.add_argument_group("where to")
    group.add_argument(
        "server",
        metavar="HOST[:PORT]",
        nargs="?",
        type=_told(_address),
        help=f"where the server is ({HOST}:{PORT})",
    )
    group.add_argument(
        "--tls",
        action=argparse.BooleanOptionalAction,
        help="encrypt the connection, or not; it is, unless the server is on this machine",
    )
    group.add_argument(
        "--trust",
        metavar="SHA256:...",
        type=_told(read_fingerprint),
        help="trust the certificate with this fingerprint, from now on; the operator sees it at the server's start",
    )

    group = parser.add_argument_group("who you are")
    group.add_argument(
        "--name", help="your name in the chat; asked for when it is missing (Enter takes that of last time)"
    )
    group.add_argument("--email", metavar="ADDRESS", help="your email address; the same goes for it")

    group = parser.add_argument_group("at a terminal")
    group.add_argument("--theme", choices=config.choices("theme"), help="colours, or none")
    group.add_argument(
        "--times",
        metavar="FORM",
        type=_told(config.check_times),
        help="what tells the time before each line (%%H:%%M); empty for no times",
    )
    group.add_argument(
        "--bell",
        choices=config.choices("bell"),
        help="ring for direct messages and your name, only for the first, or never",
    )
    group.add_argument(
        "--notice", choices=config.choices("notice"), help="have the terminal notify you of the same, and how"
    )
    group.add_argument("--keys", choices=config.choices("keys"), help="the keys of the input line")

    group = parser.add_argument_group("in scripts")
    group.add_argument("--dm", metavar="NAME", help="each line is a direct message to NAME, also by email")
    group.add_argument(
        "--follow",
        action="store_true",
        help="read nothing; write what is said from now on, until Ctrl-C, or until its reader ends",
    )
    group.add_argument("--json", action="store_true", help="read and write frames of the protocol, one a line")
    group.add_argument(
        "--history",
        metavar="N",
        type=_told(_number),
        help=f"write the last N things said first (0, up to {HISTORY_MAX})",
    )
    group.add_argument(
        "--wait",
        metavar="SECONDS",
        type=_told(_seconds),
        help=f"wait so long for the mails of direct messages ({WAIT:.0f} with --dm, else 0)",
    )

    group = parser.add_argument_group("files")
    group.add_argument(
        "--init", action="store_true", help="write ~/.config/chatmail/config.toml, with what else is given here"
    )

    group = parser.add_argument_group("about")
    group.add_argument(
        "--version", action="version", version=f"chatmail {chatmail.__version__}", help="which one this is"
    )
    group.add_argument("--help", "-h", action="help", help="this text")
    return parser
