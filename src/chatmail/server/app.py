"""``chatmail-server``: settings become parts, the parts run, and at the end everything is put away.

The only place that knows all the parts.
"""

import asyncio
import errno
import gc
import logging
import os
import resource
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any

from chatmail import __version__
from chatmail.core.cluster import SEND_TIME
from chatmail.core.hub import Hub
from chatmail.core.limits import Limits
from chatmail.core.operator import Operator
from chatmail.core.records import Draft, Letter, Snapshot
from chatmail.server import checkmail, tls
from chatmail.server.console import Console
from chatmail.server.engine import Engine
from chatmail.server.letters import compose, compose_code, fits
from chatmail.server.lines import several
from chatmail.server.listener import UNCOUNTED, Listener
from chatmail.server.log import OPERATOR
from chatmail.server.losses import losses
from chatmail.server.mailers import Mailer, OutboxMailer, SmtpMailer
from chatmail.server.place import is_url, place
from chatmail.server.postman import Postman
from chatmail.server.session import write_all
from chatmail.server.settings import Settings, SettingsError, load
from chatmail.server.stores import Store, StoreError
from chatmail.server.stores.database import MEMORY
from chatmail.server.stores.sqlite import SqliteStore
from chatmail.terminal.signals import handling

SMTP_CONNECTIONS = 3
MAIL_TIME = 5.0
"""How long mail that is due has to go out at the end, in seconds."""

STORE_TIME = 5.0
"""How long the last changes have to be stored, in seconds."""

AGAIN = 2.0
"""A server that can't start anew tries again after so many seconds."""

OWN_DESCRIPTORS = 56
"""How many open files the server needs at most for itself: its database, its mail, its terminal, where it listens."""

SPARE_DESCRIPTORS = OWN_DESCRIPTORS + UNCOUNTED
"""How many open files there can be besides those that the door counts."""

GARBAGE = 10_000
"""The collector of cycles looks for some when there are so many more objects than before, where Python's own 700 make
it look at every batch of messages, in which there is nothing for it."""

_log = logging.getLogger("chatmail")
_answers = logging.getLogger(OPERATOR)


def main() -> None:
    """Run the server, or only check its mail account.

    The exit status is 0 after a quit, or when the check went well, 2 for wrong settings, else 1.
    """
    try:
        settings = load(sys.argv[1:], os.environ, Path())
    except SettingsError as error:
        sys.exit(_complain(str(error), 2))
    if settings.check_mail is not None:
        sys.exit(checkmail.run(settings))
    try:
        asyncio.run(serve(settings))
    except SettingsError as error:
        sys.exit(_complain(str(error), 2))
    except StoreError as error:
        sys.exit(_complain(f"chatmail-server cannot start: {error}", 1))
    except OSError as error:
        sys.exit(_complain(f"chatmail-server cannot start: {_why(error, settings)}", 1))


def _why(error: OSError, settings: Settings) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {settings.chat_port} is taken, perhaps by another chatmail-server; --port takes another"
    if isinstance(error, socket.gaierror):
        return f"CHAT_HOST={settings.chat_host} is no address of this machine: {error.strerror}"
    return str(error)


def _complain(text: str, status: int) -> int:
    print(text, file=sys.stderr)
    return status


async def serve(settings: Settings) -> None:
    """Run the server until the operator, or a signal, ends it.

    Raises SettingsError when it can't log where it should, and what ``running`` raises when it first starts.
    """
    console = Console(settings, time.time)
    end = asyncio.Event()
    signals = handling(dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), end.set))
    with signals, console.logging(), _little_garbage() as collect:
        async with AsyncExitStack() as present:
            house = await present.enter_async_context(running(settings, end=end))
            settings = replace(settings, chat_port=house.port)  # should it start anew, people come back to where it was
            collect()
            for line in _opening(settings, house):
                _log.info(line)
            for warning in settings.warnings:
                _log.warning(warning)
            operator = Operator(house.hub, _answers.info)
            async with asyncio.TaskGroup() as group:
                prompt = group.create_task(console.run(operator, end.set), name="console")
                while await _is_outdated(house, end):
                    _log.warning(
                        "%s; this server starts anew, and its people come back by themselves", house.engine.outdated
                    )
                    operator.leave()
                    await present.aclose()
                    again = await start_anew(settings, present, end)
                    if again is None:
                        break
                    # Nothing has run there yet, so none of these is in anybody's hands.
                    for letter, outcome in house.hub.mailroom.unreported():
                        again.hub.mailroom.outcome(letter, outcome, time.time())
                    house = again
                    operator.move(house.hub)
                    collect()
                    _log.info("this server is back, as %s", house.hub.cluster.node)
                prompt.cancel()
            _log.info("going down: people are told, mail that is due goes out")
        sent, waiting = house.mail_figures()
        _log.info("%s sent, %s still to be mailed", several(sent, "mail"), several(waiting, "message"))


async def _is_outdated(house: "House", end: asyncio.Event) -> bool:
    """Wait until the server is to end, or what it knows holds no longer; whether it is that."""
    await _first(end.wait(), house.engine.over.wait())
    return not end.is_set()


async def _first(*awaited: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of these, and no longer for the others."""
    waits = [asyncio.ensure_future(each) for each in awaited]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def start_anew(settings: Settings, present: AsyncExitStack, end: asyncio.Event) -> "House | None":
    """All the parts once more, as soon as there can be; None when the server is to end before that.

    They are put away with ``present``. What stands in the way is told, and tried again: nobody may be there to start
    the server.
    """
    told = ""
    while not end.is_set():
        try:
            return await present.enter_async_context(running(settings, end=end))
        except (StoreError, SettingsError) as error:
            why = str(error)
        except OSError as error:
            why = _why(error, settings)
        if why != told:
            _log.error("this server can't start anew yet: %s", why)
            told = why
        with suppress(TimeoutError):
            async with asyncio.timeout(AGAIN):
                await end.wait()
    return None


@contextmanager
def _little_garbage() -> Iterator[Callable[[], None]]:
    """No look for garbage until it is called, in what there is by then none at all, and seldom afterwards.

    What a start makes stays. To look for garbage in it takes a twelfth of a start with 10,000 messages, and later stops
    everything for 8 ms, again and again.
    """
    threshold = gc.get_threshold()

    def collect() -> None:
        if gc.get_freeze_count():  # what an earlier start made is garbage by now
            gc.unfreeze()
            gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE)
        gc.enable()

    gc.disable()
    try:
        yield collect
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)
        gc.enable()


class House:
    """The running parts, for who wants to look at them."""

    def __init__(self, hub: Hub, engine: Engine, port: int, fingerprint: str) -> None:
        self.hub = hub
        self.engine = engine
        self.port = port
        self.fingerprint = fingerprint
        """Of the certificate, "" without TLS."""

    def mail_figures(self) -> tuple[int, int]:
        """How many mails went out, and how many texts still wait for theirs."""
        return self.hub.mailroom.sent, self.hub.mailroom.digest.size()


@asynccontextmanager
async def running(
    settings: Settings,
    limits: Limits | None = None,
    *,
    store: Store | None = None,
    clock: Callable[[], float] = time.time,
    end: asyncio.Event | None = None,
) -> AsyncIterator[House]:
    """All the parts but the console, wired together and running; at the end they are put away in good order.

    Args:
        settings: what the operator set.
        limits: the hub's limits, when they are not to follow from the settings.
        store: where things are kept, when that is not to follow from the settings.
        clock: seconds since the epoch.
        end: is set when the server is to end, and not only to start anew.

    A part that fails ends the others, and is raised here. Raises OSError when it cannot listen, StoreError when it
    cannot keep anything, SettingsError when there is no certificate for TLS, or nothing that speaks to Redis.
    """
    secured = tls.prepare(settings)
    limits = limits or limits_of(settings)
    store = store or _store(settings, limits)
    try:
        snapshot = await store.open(clock())
        async with _running(settings, limits, store, snapshot, clock, secured, end or asyncio.Event()) as house:
            yield house
    finally:
        await store.close()


def _store(settings: Settings, limits: Limits) -> Store:
    """Where these settings keep things."""
    if not is_url(settings.chat_db):
        return SqliteStore(settings.chat_db, settings.keep_days, limits.entries_max, limits.bytes_max)
    try:
        # It comes with a package of its own, and takes a start longer.
        from chatmail.server.stores.redis import RedisStore
    except ModuleNotFoundError as error:
        if not f"{error.name}.".startswith("redis."):
            raise
        mistake = f"CHAT_DB is {place(settings.chat_db)}, and speaking to it takes a package that is not installed"
        remedy = "Install it, in the clone of chatmail: .venv/bin/pip install -e '.[redis]'"
        raise SettingsError([f"{mistake} ({error}). {remedy}"]) from None
    name = f"{socket.gethostname()}:{settings.chat_port}"
    return RedisStore(settings.chat_db, settings.keep_days, limits.entries_max, limits.bytes_max, name=name)


@asynccontextmanager
async def _running(
    settings: Settings,
    limits: Limits,
    store: Store,
    snapshot: Snapshot,
    clock: Callable[[], float],
    secured: tls.Tls | None,
    end: asyncio.Event,
) -> AsyncIterator[House]:
    engine = Engine(store, clock)
    postman = Postman(_mailers(settings), partial(_compose, settings, snapshot.epoch), clock, engine.may_send)
    hub = Hub(
        snapshot,
        limits,
        random=SystemRandom(),
        wake=engine.wake,
        post=postman.wake,
        tell=_log.info,
        fits=fits,
        code_letter=partial(_code_letter, settings),
        write_all=write_all,
    )
    hub.motd = hub.motd or settings.motd
    listener = Listener(hub, settings.rate, clock, secured and secured.context)
    port = await listener.open(settings.chat_host, settings.chat_port)
    async with asyncio.TaskGroup() as parts:
        tasks = [
            parts.create_task(engine.run(hub), name="engine"),
            parts.create_task(postman.run(hub.mailroom), name="postman"),
        ]
        try:
            yield House(hub, engine, port, secured.fingerprint if secured else "")
        finally:
            if engine.over.is_set():
                await listener.close("the server starts anew")
                # What went out is reported by those parts that come next, unless none do.
                await _first(_finish_mail(postman), end.wait())
            else:
                await listener.close("the server is going down")
                await _finish(postman, engine, hub)
            for task in tasks:
                task.cancel()


async def _finish_mail(postman: Postman) -> None:
    """Let what is being sent be sent: whether it was, nobody else will know."""
    if postman.is_sending:
        _log.info("a mail is in the middle of being sent; that is awaited, for %g s at the most", SEND_TIME)
    await postman.finish()


async def _finish(postman: Postman, engine: Engine, hub: Hub) -> None:
    """Give mail that is due a few seconds, and have stored what became of it."""
    try:
        async with asyncio.timeout(MAIL_TIME):
            await postman.idle(hub.mailroom)
    except TimeoutError:
        _log.warning("the mail server takes longer than %g s", MAIL_TIME)
    try:
        async with asyncio.timeout(STORE_TIME):
            await engine.rest()
    except TimeoutError:
        lost = losses(engine.unstored(hub))
        if lost:
            _log.error("not stored, since the store takes longer than %g s: %s", STORE_TIME, lost)


def _opening(settings: Settings, house: House) -> list[str]:
    """What the operator reads first."""
    smtp = settings.smtp
    mail = (
        f"mail goes out through {smtp.host}:{smtp.port}"
        if smtp
        else f"no mail account: mails become files in {settings.outbox}/"
    )
    certificate = [
        f"the fingerprint of its certificate: {house.fingerprint}",
        "people's clients show it when they first connect: pass it on in some other way, so that they can compare",
    ]
    return [
        f"chatmail {__version__} listens on {settings.chat_host} port {house.port}"
        + (", with TLS" if house.fingerprint else ""),
        *(certificate if house.fingerprint else []),
        mail,
        f"what is said is kept {_kept(settings)}",
        *([f"this is {node}, one of the servers that share it"] if (node := house.hub.cluster.node) else []),
        "/help lists the commands",
    ]


def _kept(settings: Settings) -> str:
    """For how long, and where."""
    if settings.chat_db == MEMORY:
        return "in memory only, until the server ends (CHAT_DB=:memory:)"
    days = several(settings.keep_days, "day")
    if is_url(settings.chat_db):
        return f"for {days} in {place(settings.chat_db)}"
    return f"for {days} in {settings.chat_db}"


def limits_of(settings: Settings) -> Limits:
    """What these settings allow."""
    return Limits(
        history=settings.history,
        presence_max=settings.presence_max,
        max_clients=_room(settings.max_clients),
        max_per_ip=settings.max_per_ip,
        allowed_emails=settings.allowed_emails,
        verify_email=settings.verify_email,
        trust_names=settings.loopback,
        mail_window=settings.mail_window,
        unjoined_per_ip=settings.max_unjoined_per_ip,
        join_time=settings.join_time,
        join_errors=settings.join_errors,
        tls_time=settings.tls_time,
        silence=settings.silence_time,
        slow=settings.slow_time,
        bad_frames=settings.bad_frames,
        entries_max=settings.journal_entries,
        bytes_max=settings.journal_size * 1024,
        send_buffer=settings.send_buffer * 1024,
        backlog=settings.backlog,
    )


def _mailers(settings: Settings) -> list[Mailer]:
    smtp = settings.smtp
    if smtp is None:
        return [OutboxMailer(settings.outbox)]
    return [SmtpMailer(smtp, settings.sender_email, settings.password) for _ in range(SMTP_CONNECTIONS)]


def _compose(settings: Settings, epoch: str, draft: Draft) -> Letter:
    return compose(draft, settings.sender_email, epoch)


def _code_letter(settings: Settings, address: str, name: str, code: str, made: float, expires: float) -> Letter:
    return compose_code(address, name, code, settings.sender_email, made, expires, secrets.token_hex(8))


def _room(clients: int) -> int:
    """How many clients there can be: the limit of open files is raised for so many, as far as the system lets us.

    Raises SettingsError when that is not even one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    room = min(clients, max(soft, wanted) - SPARE_DESCRIPTORS)
    allowed = f"MAX_CLIENTS={clients}: the system allows {hard} open files here"
    remedy = f"for all, allow {clients + SPARE_DESCRIPTORS} (ulimit -n)"
    if room < 1:
        raise SettingsError([f"{allowed}, which is room for nobody; {remedy}"])
    if room < clients:
        _log.warning("%s, which is room for %d; %s", allowed, room, remedy)
    return room


if __name__ == "__main__":
    main()
