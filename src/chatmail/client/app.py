"""``chatmail``: options, then a conversation at the terminal or in a pipe, then an exit code that means something."""

import asyncio
import os
import secrets
import sys
from enum import IntEnum
from functools import partial

from msgspec import structs

from chatmail.client import config, wording
from chatmail.client.config import Profile
from chatmail.client.ignored import Ignored
from chatmail.client.keys import Keys
from chatmail.client.link import Ending, How, Server
from chatmail.client.options import Options, is_terminal, read
from chatmail.client.script import Script
from chatmail.client.state import Lines, open_folder
from chatmail.client.timeline import Timeline
from chatmail.core import wire
from chatmail.core.names import BadEmail, BadName, check_email, check_name
from chatmail.files import state_folder
from chatmail.terminal.text import in_rows, paragraph, plain


class Exit(IntEnum):
    """What the exit code means."""

    OK = 0
    REFUSED = 1
    """Something was refused, never confirmed or not even read, or its mail failed."""
    USAGE = 2
    NO_CONNECTION = 3
    AT_THE_DOOR = 4
    """The server did not let us in, or showed us out."""
    NOT_MAILED = 5
    """All was said, but a mail that was waited for is not out yet."""
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
    try:
        code = _start(sys.argv[1:])
    finally:
        _flush()
    sys.exit(code)


def _start(argv: list[str]) -> Exit:
    try:
        options = read(argv)
    except config.WrongError as wrong:
        for sentence in wrong.sentences:
            _complain(sentence)
        return Exit.USAGE
    if options.init:
        return _init(options)
    if not options.server.tls and not options.server.loopback:
        _complain(wording.in_clear(options.server))
    with_person = options.script is None and is_terminal(sys.stdin) and is_terminal(sys.stdout)
    return _at_terminal(options) if with_person else _in_pipe(options, options.script or Script())


def _init(options: Options) -> Exit:
    """Write the file of settings."""
    path = options.path
    if path is None:
        _complain("nobody is at home here: set HOME or XDG_CONFIG_HOME")
        return Exit.USAGE
    wrong = config.mistakes(options.profile)
    for sentence in wrong:
        _complain(sentence)
    if wrong:
        return Exit.USAGE
    try:
        config.init(path, options.profile)
    except FileExistsError:
        _complain(f"{path} is there already; it stays as it is")
        return Exit.USAGE
    except OSError as error:
        _complain(f"{path} can't be written: {error.strerror or error}")
        return Exit.REFUSED
    print(f"{path} is written; look into it, everything is explained there")
    return Exit.OK


def _timeline(name: str) -> Timeline:
    return Timeline(name, secrets.token_hex(6))


def _end(ending: Ending, timeline: Timeline, *, refused: bool = False, undone: str = "", unmailed: int = 0) -> Exit:
    """The exit code, after the last words to standard error."""
    if ending.how is not How.LEFT and ending.text:
        _complain(ending.text)
    lines = timeline.unsaid
    if lines:
        what = "one line was" if len(lines) == 1 else f"{len(lines)} lines were"
        _complain(f"{what} never confirmed by the server, the first is: {lines[0].text[:60]}")
    code = EXITS[ending.how]
    if code is not Exit.OK:
        return code
    if undone:
        _complain(undone)
    if unmailed:
        what = "one direct message is" if unmailed == 1 else f"{unmailed} direct messages are"
        _complain(f"{what} said, but not out by email yet; the server sees to that")
    return Exit.REFUSED if refused or lines or undone else Exit.NOT_MAILED if unmailed else Exit.OK


def _complain(text: str) -> None:
    if sys.stderr:
        try:
            print(in_rows(plain([("", "chatmail: "), *paragraph(text)]), _columns()), file=sys.stderr, flush=True)
        except OSError:
            sys.stderr = None  # nobody reads it


def _columns() -> int:
    """How wide standard error is; 0 where it is no terminal."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 0
    except OSError:
        return 0


def _flush() -> None:
    """Python flushes at its end, and complains when a pipe or a terminal is gone: give it another place to."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _in_pipe(options: Options, script: Script) -> Exit:
    """Without a terminal nothing is asked."""
    from chatmail.client.plain import Plain

    try:
        name, email = check_name(options.profile.name), check_email(options.profile.email)
    except (BadName, BadEmail) as mistake:
        missing = "" if options.profile.name and options.profile.email else _nothing_is_asked(options)
        _complain(f"{mistake}{missing}")
        return Exit.USAGE
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace", encoding="utf-8" if script.json else None)
    timeline = _timeline(name)
    keys = Keys(open_folder(state_folder(), _complain), _complain)

    async def talk() -> tuple[Ending, Plain]:
        fd = None if sys.stdin is None else sys.stdin.fileno()
        server = options.server if options.trust else keys.pinned(options.server)
        while True:
            me = server, name, email
            face = Plain(
                *me,
                timeline,
                token=keys.token(*me),
                keep=partial(keys.keep, *me),
                script=script,
                times=options.profile.times,
                fd=fd,
                out=sys.stdout,
                err=sys.stderr,
            )
            ending = await face.run()
            if ending.stranger is None or ending.stranger.found != options.trust:
                return _in_words(server, _without(options.trust, server, ending)), face
            server = keys.trust(server, options.trust)

    ending, face = asyncio.run(talk())
    refused = face.refused or face.mails.failed
    unmailed = 0 if script.wait is None else len(face.mails.open - timeline.unconfirmed.keys())
    return _end(ending, timeline, refused=refused, undone=face.undone, unmailed=unmailed)


def _nothing_is_asked(options: Options) -> str:
    path = f", or in {options.path}" if options.path else ""
    return f" (without a terminal that can draw nothing is asked: --name and --email say who you are{path})"


def _at_terminal(options: Options) -> Exit:
    profile = options.profile
    try:
        return asyncio.run(chat(options.server, profile.name, profile.email, options.trust, profile))
    except EOFError:
        return Exit.OK
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


async def chat(server: Server, name: str, email: str, trust: str | None = None, profile: Profile | None = None) -> Exit:
    """Ask, connect, chat; ask again when the server refuses what another answer may mend.

    A certificate that nobody known has signed is trusted when ``trust`` names it, or the person says so. How it all
    looks and sounds is in the profile; the server, the name and the address there are passed over.
    """
    from chatmail.client import ask  # prompt-toolkit takes its time to load: only where there is a terminal
    from chatmail.client.prompt import Chat
    from chatmail.client.screen import STYLE
    from chatmail.terminal.display import drop_colours
    from chatmail.terminal.history import open_history

    profile = profile or Profile()
    if profile.theme == "mono":
        drop_colours()
    style = {**STYLE, **profile.style}
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
                before = keys.last(server, given["name"] if field == "email" else "")
                default = "" if wrong[field] else before[field == "email"]
                answer = await ask.ask(question, wrong[field], default=default, style=style)
            given[field], wrong[field] = answer, ""
        timeline.me = given["name"]
        me = server, given["name"], given["email"]

        def keep(token: str, me: tuple[Server, str, str] = me) -> None:
            keys.keep(*me, token)
            keys.came_in(*me)

        ignored = Ignored(server, Lines(folder / "ignored") if folder else None, ask.complain)
        face = Chat(
            *me,
            timeline,
            token=keys.token(*me),
            keep=keep,
            times=profile.times,
            bell=profile.bell,
            notice=profile.notice,
            history=history,
            ignored=ignored,
            vi=profile.keys == "vi",
            style=style,
        )
        keys.report = face.warn
        ending = await face.run()
        if stranger := ending.stranger:
            asked = stranger.pinned is None and trust is None
            if stranger.found != trust and not (asked and await ask.trusts(server, stranger, style=style)):
                return _end(_without(trust, server, ending), timeline)
            server = keys.trust(server, stranger.found)
            continue
        mend = _mended_by(ending)
        if mend is None:
            return _end(_in_words(server, ending), timeline)
        wrong[mend] = ending.text


def _without(trust: str | None, server: Server, ending: Ending) -> Ending:
    """The end without a connection, where ``trust`` named another certificate than the one that is there."""
    if trust is None or ending.stranger is None:
        return ending
    return structs.replace(ending, text=wording.untrusted(server, structs.replace(ending.stranger, pinned=trust)))


def _in_words(server: Server, ending: Ending) -> Ending:
    """A refusal at the door, with what to do about it."""
    return structs.replace(ending, text=wording.refused(server, ending.error)) if ending.error else ending


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
