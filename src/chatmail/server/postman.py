"""The postman: takes what the mailroom has due, composes it, sends it and reports back.

Nobody ever waits for it: a direct message is said once it is stored, and its mail goes out whenever that may be. A
few workers share the work, each with one connection to the mail server. Where no letter is ready to be sent, a worker
makes some, while the others send:

    mailroom ──take──> drafts ──compose, freeze (one commit), lay down──> mailroom
             ──take──> a letter ──> the worker's mailer ──> outcome ──> mailroom

Where several servers share the store, what holds direct messages is this one's to send only while it leads, and the
others hear of it. That is asked before anything is taken, and once more right before the content goes out: what must
not go out then is laid down, for whoever may send next.
"""

import asyncio
from collections.abc import Callable, Sequence

from chatmail.core.mailroom import Mailroom
from chatmail.core.records import Draft, Letter
from chatmail.server.mailers import Mailer
from chatmail.server.transaction import Withheld

BATCH = 8
"""So many letters at most a worker has stored with one commit. The more, the fewer commits; but what waits for a
connection then gathers no further messages."""


class Postman:
    """Sends mail in tasks of its own.

    Args:
        mailers: the ways to send a letter, a worker each.
        compose: makes the letter of a draft.
        clock: seconds since the epoch.
        may_send: whether direct messages are this server's to send, as of now; ``wake`` when they are again.
    """

    def __init__(
        self,
        mailers: Sequence[Mailer],
        compose: Callable[[Draft], Letter],
        clock: Callable[[], float],
        may_send: Callable[[], bool],
    ) -> None:
        self._mailers = mailers
        self._compose = compose
        self._clock = clock
        self._may_send = may_send
        self._due = asyncio.Event()
        self._busy = 0
        self._begun: set[str] = set()
        """By Message-ID, the letters whose content goes out just now, and which others would send if not told that."""
        self._rest = asyncio.Event()

    def wake(self) -> None:
        """There may be something to do."""
        self._due.set()

    async def run(self, mailroom: Mailroom) -> None:
        """Send what becomes due until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for mailer in self._mailers:
                    group.create_task(self._work(mailer, mailroom), name="postman")
        finally:
            for mailer in self._mailers:
                await mailer.close()

    async def idle(self, mailroom: Mailroom) -> None:
        """Return once nothing is due and nobody is sending."""
        while True:
            due = self._next_due(mailroom)
            if not self._busy and (due is None or due > self._clock()):
                return
            self._rest.clear()
            await self._rest.wait()

    @property
    def is_sending(self) -> bool:
        """Whether somebody is in the middle of a content."""
        return bool(self._begun)

    async def finish(self) -> None:
        """Return once nobody is in the middle of a content; for the end, when nothing more may be sent."""
        while self._begun:
            self._rest.clear()
            await self._rest.wait()

    async def _work(self, mailer: Mailer, mailroom: Mailroom) -> None:
        while True:
            self._due.clear()
            drafts, letter = self._take(mailroom)
            if not drafts and letter is None:
                self._rest.set()
                await self._wait(self._next_due(mailroom))
                continue
            self._busy += 1
            try:
                await self._freeze(drafts, mailroom)
                if letter is not None:
                    await self._send(letter, mailer, mailroom)
            finally:
                self._busy -= 1

    def _next_due(self, mailroom: Mailroom) -> float | None:
        """When there is something to do; None: not before ``wake``."""
        return None if mailroom.leads and not self._may_send() else mailroom.digest.due()

    def _take(self, mailroom: Mailroom) -> tuple[list[Draft], Letter | None]:
        """What to do next: a letter to send, or drafts to freeze as long as there is none."""
        drafts: list[Draft] = []
        while len(drafts) < BATCH and self._next_due(mailroom) is not None:
            job = mailroom.take(self._clock())
            if job is None:
                break
            if isinstance(job, Letter):
                return drafts, job
            drafts.append(job)
        return drafts, None

    async def _send(self, letter: Letter, mailer: Mailer, mailroom: Mailroom) -> None:
        """Send a letter and report how that went, or lay it down where it must not go out from here just now."""

        def begin() -> bool:
            if letter.reader is None:  # a code, which no other server sends
                return True
            may_send = self._may_send()
            if may_send:
                self._begun.add(letter.message_id)
            return may_send

        try:
            outcome = await mailer.send(letter, begin)
        except Withheld:
            mailroom.lay_down(letter)
        else:
            mailroom.outcome(letter, outcome, self._clock())
        finally:
            self._begun.discard(letter.message_id)
            self._rest.set()

    async def _wait(self, due: float | None) -> None:
        """Until the time has come, or something new is there."""
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                await self._due.wait()
        except TimeoutError:
            pass

    async def _freeze(self, drafts: Sequence[Draft], mailroom: Mailroom) -> None:
        """Compose letters, have them stored with one commit, before any is sent, and lay down those that are."""
        freezing: list[tuple[Letter, asyncio.Future[bool]]] = []
        for draft in drafts:
            letter = self._compose(draft)
            stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            mailroom.freeze(draft, letter, stored.set_result, self._clock())
            freezing.append((letter, stored))
        for letter, stored in freezing:
            if await stored:
                mailroom.lay_down(letter)
