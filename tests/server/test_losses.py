"""What is lost is named, and nothing else."""

import pytest

from chatmail.core.records import Act, Change, Departure, Entry, Gone, Leader, Letter, Patch
from chatmail.core.wire import stamp
from chatmail.server.losses import losses

NOW = 1_795_356_131.0
ACT = Act(time=NOW, text="ended the server")
LETTER = Letter(message_id="<1@x>", address="john@example.org", content=b"", made=NOW, expires=NOW)
SEEN = Patch(account=1, field="seen", value=2)


def entry(kind: str) -> Entry:
    return Entry(kind=kind, time=stamp(NOW), text="hello")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([], ""),
        ([Change(), Change(rows=(Leader(node="a"),)), Change(rows=(Gone(table="node", key="a"),))], ""),
        ([Change(rows=(ACT,), must=True)], "1 line of the audit (ended the server)"),
        ([Change(entry=entry("message")), Change(entry=entry("direct"))], "2 messages"),
        ([Change(entry=entry("notice"), rows=(ACT,))], "1 message, 1 line of the audit (ended the server)"),
        ([Change(rows=(LETTER, Gone(table="mail", key=1)))], "what became of 1 mail"),
        ([Change(entry=entry("left"), rows=(Departure(account=1, reason="left"),))], ""),
        ([Change(rows=(SEEN,)), Change(rows=(ACT, SEEN))], "1 line of the audit (ended the server), 2 other changes"),
    ],
)  # fmt: skip
def test_what_is_lost_is_named(changes: list[Change], words: str) -> None:
    assert losses(changes) == words
