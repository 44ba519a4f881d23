"""Catching up: who was away for long misses nothing that was for them, at whichever server they come back."""

from chatmail.core.limits import Limits
from chatmail.core.wire import Direct, Dm, Gap, Message, Resume, Say
from tests.core.houses import Street

LIMITS = Limits(entries_max=4)
"""So few that most of what was said is no longer at hand."""


class TestSeveralServers:
    def test_who_comes_back_at_another_server_reads_what_was_for_them_and_how_much_else_there_was(self) -> None:
        one, two = Street(LIMITS).open(2)
        mary, john = one.join("Mary"), two.join("John")
        seq = two.hub.journal.last
        john.cut()
        mary.ask(Dm(to="John", text="a secret"), *[Say(text=f"{number}") for number in range(9)])
        again = one.peer()
        again.join("John", token=john.token, resume=Resume(epoch="first", seq=seq))
        direct, gap, *rest = again.frames()
        assert isinstance(direct, Direct)
        assert direct.text == "a secret"
        assert gap == Gap(missed=5)
        assert [frame.text for frame in rest if isinstance(frame, Message)] == ["5", "6", "7", "8"]

    def test_so_does_who_comes_to_a_server_that_has_just_started(self) -> None:
        one, two = Street(LIMITS).open(2)
        mary, john = one.join("Mary"), two.join("John")
        seq = two.hub.journal.last
        two.die()
        mary.ask(Dm(to="John", text="a secret"), *[Say(text=f"{number}") for number in range(9)])
        (three,) = one.street.open(1)
        again = three.peer()
        again.join("John", token=john.token, resume=Resume(epoch="first", seq=seq))
        frames = again.frames()
        assert [frame.text for frame in frames if isinstance(frame, Direct)] == ["a secret"]
        missed = sum(frame.missed for frame in frames if isinstance(frame, Gap))
        assert missed + len([frame for frame in frames if isinstance(frame, Message)]) == 9
