"""A crowd: many people in a process of their own, so that neither they nor the server run out of descriptors.

    python -m tests.server.crowd PORT

It reads what to do as lines, ``come COUNT``, ``come_back``, ``read TEXT`` or ``leave``, and answers each with a JSON
object.
"""

import asyncio
import json
import resource
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence

from msgspec import UNSET

from chatmail.core.wire import Error, Join, Leave, Message, Resume, Welcome
from tests.peer import HungError, Peer

AT_ONCE = 1_000
"""So many come, or go, at the same time: not more than a server's queue holds."""


class Person:
    """Somebody of the crowd: ``heard`` are all texts that ever came, over whatever connection, and their numbers."""

    def __init__(self, port: int, name: str) -> None:
        self._port = port
        self._name = name
        self.heard: list[tuple[int, str]] = []
        self.refusal = ""
        self._peer: Peer | None = None
        self._proof: Welcome | None = None

    async def come(self, resume: Resume | None = None) -> bool:
        """Try to come in; if not, ``refusal`` is what the server said, if it said anything."""
        try:
            peer = self._peer = await Peer.connect(self._port)
            await peer.send(
                Join(
                    name=self._name,
                    email=f"{self._name}@example.org",
                    token=self._proof.token if self._proof else UNSET,
                    resume=resume or UNSET,
                )
            )
            while not isinstance(frame := await peer.next(), Welcome):
                self.refusal = f"{frame.code}: {frame.text}" if isinstance(frame, Error) else self.refusal
        except (OSError, HungError):
            return False
        self._proof = frame
        return resume is None or frame.resumed

    async def come_back(self) -> bool:
        """Come in again, and ask for what was missed."""
        assert self._proof
        return await self.come(Resume(epoch=self._proof.epoch, seq=max(self.heard, default=(self._proof.seq, ""))[0]))

    async def read(self, text: str) -> None:
        """Hear everything up to this."""
        assert self._peer
        while not self.heard or self.heard[-1][1] != text:
            frame = await self._peer.next()
            if isinstance(frame, Message):
                self.heard.append((frame.seq, frame.text))

    async def leave(self) -> None:
        """Say goodbye, and stay until it is answered."""
        assert self._peer
        await self._peer.send(Leave())
        await self._peer.bye()

    def cut(self) -> None:
        if self._peer:
            self._peer.cut()


class Crowd:
    """Does what it is told to."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._people: list[Person] = []

    async def come(self, count: str) -> dict[str, object]:
        """So many come; how many got in, and with which words the others were refused, "" for none."""
        people = [Person(self._port, f"p{number}") for number in range(int(count))]
        refusals: Counter[str] = Counter()
        for wave in _waves(people):
            for person, inside in zip(wave, await asyncio.gather(*(one.come() for one in wave)), strict=True):
                if inside:
                    self._people.append(person)
                else:
                    person.cut()
                    refusals[person.refusal] += 1
        return {"inside": len(self._people), "refused": refusals}

    async def come_back(self) -> dict[str, object]:
        """All are cut off at once, and come back at once; how many could go on where they were."""
        for person in self._people:
            person.cut()
        return {"resumed": sum(await asyncio.gather(*(person.come_back() for person in self._people)))}

    async def read(self, text: str) -> dict[str, object]:
        """All read on to this text; the different things they have heard."""
        await asyncio.gather(*(person.read(text) for person in self._people))
        return {"heard": [list(texts) for texts in {tuple(text for _, text in one.heard) for one in self._people}]}

    async def leave(self) -> dict[str, object]:
        """All go."""
        for wave in _waves(self._people):
            await asyncio.gather(*(person.leave() for person in wave))
        self._people.clear()
        return {}


def _waves(people: Sequence[Person]) -> Iterator[Sequence[Person]]:
    """One wave after the other, so that nobody in it waits for all."""
    for start in range(0, len(people), AT_ONCE):
        yield people[start : start + AT_ONCE]


async def main(port: int) -> None:
    """Do what standard input says, until it ends."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(port)
    does: dict[str, Callable[..., Awaitable[object]]] = {
        "come": crowd.come,
        "come_back": crowd.come_back,
        "read": crowd.read,
        "leave": crowd.leave,
    }
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, *rest = line.rstrip("\n").split(" ", 1)
        print(json.dumps(await does[word](*rest)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
