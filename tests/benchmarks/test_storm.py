"""A storm lets nobody in who is not told what they must be told."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest

from tests.benchmarks.crowd import Crowd
from tests.benchmarks.followers import Entries, Followers
from tests.benchmarks.load import latencies
from tests.benchmarks.storm import Storm, Talkers
from tests.benchmarks.tally import Alike, LoadError
from tests.benchmarks.test_tally import delivered
from tests.benchmarks.wires import CHAT

LINES = [delivered("chat", number, seq=number + 1) for number in range(4)]


def welcome(seq: int, *, resumed: bool = False) -> bytes:
    told = str(resumed).lower()
    line = f'{{"type":"welcome","name":"reader0","epoch":"e","seq":{seq},"resumed":{told},"token":"t","people":[]}}\n'
    return line.encode()


@contextmanager
def saying(answers: Sequence[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """A server that gives each who comes the next answer; its port, and what they said."""
    said: list[bytes] = []

    def serve() -> None:
        for answer in answers:
            client, _ = server.accept()
            said.append(client.recv(1000))
            client.sendall(answer)
            clients.append(client)

    clients: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield server.getsockname()[1], said
        finally:
            serving.join()
            for client in clients:
                client.close()


class Silent:
    """Talkers who have said all they say."""

    def attend(self, pause: float = 0.0) -> None:
        pass

    def waited(self) -> list[float]:
        return [1.0]


@contextmanager
def storm(port: int, stream: bytes = b"".join(LINES)) -> Iterator[tuple[Storm, Followers]]:
    crowd = Crowd(port, "chat", 1, 0, 1)
    heard = bytearray(stream)
    entries = Entries(heard, 0)
    followers = Followers(heard, entries, gaps=False)
    try:
        yield Storm(crowd, cast("Any", Silent()), entries, followers), followers
    finally:
        crowd.close()


def test_a_newcomer_is_told_what_was_said_and_who_comes_back_what_they_missed() -> None:
    """They say where they were, and prove who they are."""
    answers = [welcome(2) + LINES[0] + LINES[1] + LINES[2], welcome(4, resumed=True) + LINES[3]]
    with saying(answers) as (port, said), storm(port) as (people, followers):
        assert people.come()["p99"] == 1.0
        people.cut()
        assert people.come_back()["seconds"] > 0
        while not followers.done():
            people.listen(1.0)
    first, again = said
    assert first == CHAT.hello(0)
    assert again == CHAT.hello(0)[:-2] + b',"token":"t","resume":{"epoch":"e","seq":3}}\n'


WRONG = {
    "refused": (b'{"type":"error","code":"server-full","text":"no"}\n', "connection 0 is refused"),
    "sent away": (b'{"type":"bye","reason":"no","retry":true}\n', "connection 0 is refused"),
    "without history": (welcome(2) + LINES[2] * 2, "came in after entry 2 and was told"),
    "with another history": (welcome(2) + LINES[1] + LINES[0], "came in after entry 2 and was told"),
    "twice told": (welcome(1) + LINES[0] + LINES[0], "got something else than others after entry 1"),
    "a newcomer resumed": (welcome(2, resumed=True) + LINES[2], "comes back after entry None and is told"),
}


@pytest.mark.parametrize("how", WRONG)
def test_a_newcomer_who_is_told_something_else_is_seen(how: str) -> None:
    answer, message = WRONG[how]
    with saying([answer]) as (port, _), storm(port) as (people, _), pytest.raises(LoadError, match=message):
        people.come()


WRONG_AGAIN = {
    "not resumed": (welcome(4) + LINES[3], "comes back after entry 3 and is told"),
    "lost": (welcome(4, resumed=True) + delivered("chat", 4, seq=5), "got something else than others after entry 3"),
    "told again": (welcome(4, resumed=True) + LINES[2], "got something else than others after entry 3"),
    "with a gap": (welcome(4, resumed=True) + b'{"type":"gap","missed":1}\n', "got a gap of 1 after entry 3"),
}


@pytest.mark.parametrize("how", WRONG_AGAIN)
def test_who_comes_back_and_does_not_get_what_they_missed_is_seen(how: str) -> None:
    answer, message = WRONG_AGAIN[how]
    answers = [welcome(2) + LINES[0] + LINES[1] + LINES[2], answer]
    with saying(answers) as (port, _), storm(port) as (people, followers):
        people.come()
        people.cut()
        with pytest.raises(LoadError, match=message):
            people.come_back()


def test_those_who_are_there_wait_from_the_saying_on() -> None:
    """A line that is read in two pieces has come with its second one."""
    text = delivered("chat", 0).replace(b"0000000000000000000", b"0000000000001000000")
    arrivals = [(2_000_000, 0, text[:50]), (4_000_000, 1, text), (5_000_000, 0, text[50:])]
    assert sorted(latencies(CHAT.frame, arrivals, range(2))) == [3.0, 4.0]


def test_a_last_word_is_waited_for_by_all() -> None:
    alike = Alike(range(2), newlines=1)
    talkers = Talkers(cast("Any", None), alike, 1)
    line = LINES[0]
    alike.hear(0, bytearray(line), len(line))
    assert not talkers.have(b"000 000000000 ")
    alike.hear(1, bytearray(line), len(line))
    assert talkers.have(b"000 000000000 ")
    assert not talkers.have(b"000 000000001 ")
