"""People who talk, so many messages a second, in a process of their own: ``python -m tests.benchmarks.talkers``.

    PORT RATE NAME …   ──> "ready", once all are in
    a line             ──> they talk, in turns, one message after the other
    the end of input   ──> "NAME COUNT" for each of them: how much was said

A text is its number and as many words as people write; no word holds anything but the letters a to z.
"""

import asyncio
import json
import random
import sys
from collections.abc import Sequence

SEED = 20
WORDS = ("who", "has", "the", "key", "to", "lab", "it", "was", "on", "table", "next", "printer", "coffee", "is", "out")
WORDS_MAX = 14
"""Up to 80 characters or so: some of them need a second row."""


class Talker:
    """Somebody who is in, and reads along."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self.said = 0
        self._reader = reader
        self._writer = writer

    @classmethod
    async def joined(cls, name: str, port: int) -> "Talker":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        talker = cls(name, reader, writer)
        talker._send({"type": "join", "name": name, "email": f"{name.lower()}@example.org", "version": 1})
        welcome = await reader.readline()
        if b'"welcome"' not in welcome:
            raise SystemExit(f"{name} is not let in: {welcome!r}")
        return talker

    def _send(self, frame: object) -> None:
        self._writer.write(json.dumps(frame).encode() + b"\n")

    def say(self, words: Sequence[str]) -> None:
        self.said += 1
        self._send({"type": "say", "text": " ".join((f"{self.said}.", *words)), "id": f"m{self.said}"})

    async def listen(self) -> None:
        """Read, as everybody does: who does not is thought to be slow."""
        while await self._reader.read(1 << 16):
            pass


async def _talk(talkers: Sequence[Talker], rate: float) -> None:
    loop = asyncio.get_running_loop()
    choice = random.Random(SEED)
    start = loop.time()
    count = 0
    while True:
        await asyncio.sleep(max(0.0, start + count / rate - loop.time()))
        words = choice.choices(WORDS, k=choice.randint(2, WORDS_MAX))
        talkers[count % len(talkers)].say(words)
        count += 1


async def main(port: int, rate: float, names: Sequence[str]) -> None:
    """Join, talk from one line of standard input to its end, and tell what was said."""
    talkers = [await Talker.joined(name, port) for name in names]
    listening = [asyncio.create_task(talker.listen()) for talker in talkers]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    talking = asyncio.create_task(_talk(talkers, rate))
    await asyncio.to_thread(sys.stdin.read)
    talking.cancel()
    for talker in talkers:
        print(talker.name, talker.said, flush=True)
    await asyncio.wait(listening)  # until whoever started this ends it, or the server: so nobody is seen to leave


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
