"""The database: what is committed is there after a restart, all of it or nothing, and can be found again."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from chatmail.core.digest import DAY
from chatmail.core.journal import ENTRIES_MAX
from chatmail.core.records import (
    Account,
    Act,
    Audit,
    Ban,
    Change,
    Earlier,
    Entry,
    Failure,
    Found,
    Gone,
    Letter,
    Mail,
    Motd,
    Patch,
    Query,
    Row,
    Snapshot,
    Span,
)
from chatmail.core.wire import Receipt, stamp
from chatmail.server.stores import AUDIT_MAX, StoreError
from chatmail.server.stores.database import BITE, MEMORY, MEMORY_ENTRIES, Database
from chatmail.server.stores.schema import APPLICATION_ID, MIGRATIONS

NOON = 1_795_356_000.0
MARY, JOHN, ANN = 1, 2, 3


@contextmanager
def opened(path: str | Path = MEMORY, keep_days: int = 30) -> Iterator[tuple[Database, Snapshot]]:
    database = Database(str(path), keep_days)
    try:
        yield database, database.open()
    finally:
        database.close()


def said(text: str, *, author: int = MARY, id: str | None = None, now: float = NOON) -> Change:
    entry = Entry(
        kind="message", time=stamp(now), author=author, sender="Mary", text=text, id=UNSET if id is None else id
    )
    return Change(entry=entry)


def direct(text: str, author: int, reader: int, *, id: str | None = None, now: float = NOON) -> Change:
    entry = Entry(
        kind="direct",
        time=stamp(now),
        author=author,
        sender="Mary",
        reader=reader,
        to="John",
        text=text,
        id=UNSET if id is None else id,
    )
    return Change(entry=entry)


def mailed(change: Change) -> Change:
    """The same, with its mail."""
    entry = change.entry
    assert entry is not None
    assert entry.author is not None
    assert entry.reader is not None
    mail = Mail(
        seq=0,
        reader=entry.reader,
        author=entry.author,
        sender=entry.sender,
        to=entry.to,
        text=entry.text,
        time=entry.time,
        id=entry.id,
    )
    return Change(entry=entry, rows=(mail,))


def joined(name: str, now: float = NOON) -> Change:
    return Change(entry=Entry(kind="joined", time=stamp(now), author=MARY, sender=name))


def rows(*rows: Row) -> Change:
    return Change(rows=rows)


def account(id: int, name: str) -> Account:
    return Account(id=id, name=name, email=f"{name.lower()}@example.org", first=0, seen=0)


LETTER = Letter(
    message_id="<1@x>",
    address="john@example.org",
    content=b"From: x\r\n\r\n\xff",
    made=NOON,
    expires=NOON + 3 * DAY,
    reader=JOHN,
    mails=(
        Mail(seq=7, reader=JOHN, author=MARY, sender="Mary", to="John", text="é", time=stamp(NOON + 0.001), id="i"),
        Mail(seq=8, reader=JOHN, author=MARY, sender="Mary", to="John", text="b", time=stamp(NOON)),
    ),
    tries=2,
    due=NOON + 60.5,
    reply="451 later",
)


def texts(database: Database, query: Query) -> list[str]:
    return [entry.text for _, entry in database.look_up(query).entries]


def public(words: str | None = None, *, count: int = 100, before: int = 2**62) -> Query:
    return Query(account=None, floor=0, before=before, count=count, words=words)


def index(database: Database) -> None:
    while database.index():
        pass


class TestCommit:
    def test_a_new_database_is_empty_and_has_an_epoch_of_its_own(self, tmp_path: Path) -> None:
        with opened(tmp_path / "a.db") as (_, one), opened(tmp_path / "b.db") as (_, other):
            assert replace(one, epoch="", secret=b"") == Snapshot(epoch="", secret=b"")
            assert one.epoch != other.epoch
            assert one.secret != other.secret
            assert len(one.secret) == 32

    def test_entries_are_numbered_in_order_and_changes_without_one_have_none(self) -> None:
        with opened() as (database, _):
            assert database.commit([said("a"), Change(), said("b")]) == [1, None, 2]
            assert database.commit([]) == []
            assert database.commit([Change()]) == [None]
            assert database.commit([said("c")]) == [3]

    def test_everything_is_there_after_a_restart(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        ann = replace(account(ANN, "Ann"), seen=4, notify="away", away="tea")
        failure = Failure(author=MARY, receipt=Receipt(id="i", seq=7, to="John", online=False, mail="failed"))
        ban = Ban(what="192.0.2.1", until=NOON + 5.5, reason="rude")
        changes = [
            said("é \U0001f600", id="1"),
            mailed(direct("secret", MARY, JOHN, id="2")),
            joined("Mary"),
            Change(entry=Entry(kind="left", time=stamp(NOON), author=JOHN, sender="John", text="kicked")),
            Change(entry=Entry(kind="notice", time=stamp(NOON + 0.123), text="hello")),
            rows(account(MARY, "Mary"), ann, ban, Ban(what="eve", until=None, reason=""), LETTER, failure),
            rows(Motd(text="welcome")),
        ]
        with opened(path) as (database, first):
            numbers = database.commit(changes)
        with opened(path) as (_, kept):
            assert (kept.epoch, kept.secret) == (first.epoch, first.secret)
            assert kept.last == 5
            entries = [change.entry for change in changes]
            assert kept.entries == tuple(
                (number, entry) for number, entry in zip(numbers, entries, strict=True) if number is not None
            )
            assert kept.accounts == (account(MARY, "Mary"), ann)
            assert kept.next_account == ANN + 1
            assert kept.bans == (ban, Ban(what="eve", until=None, reason=""))
            assert kept.letters == (LETTER,)
            assert kept.failures == (failure,)
            assert kept.motd == "welcome"
            (mail,) = kept.mails
            assert (mail.seq, mail.reader, mail.author, mail.text, mail.id) == (2, JOHN, MARY, "secret", "2")

    def test_rows_are_replaced_changed_and_deleted_in_their_order(self) -> None:
        with opened() as (database, _):
            database.commit(
                [
                    rows(account(MARY, "Mary"), account(JOHN, "John"), Patch(account=MARY, field="seen", value=9)),
                    rows(Patch(account=MARY, field="seen", value=8)),
                    rows(Patch(account=MARY, field="notify", value="never")),
                    rows(Patch(account=MARY, field="away", value="tea"), Gone(table="account", key=JOHN)),
                    rows(Ban(what="eve", until=1.0, reason="a"), Ban(what="eve", until=None, reason="b")),
                    rows(Ban(what="bob", until=None, reason=""), Gone(table="ban", key="bob")),
                    rows(LETTER, replace(LETTER, state="sent", content=b"", mails=())),
                    rows(replace(LETTER, message_id="<2@x>"), Gone(table="letter", key="<2@x>")),
                    mailed(direct("a", MARY, JOHN)),
                    rows(Gone(table="mail", key=1)),
                ]
            )
            kept = database.snapshot()
            assert kept.accounts == (replace(account(MARY, "Mary"), seen=9, notify="never", away="tea"),)
            assert kept.bans == (Ban(what="eve", until=None, reason="b"),)
            assert kept.letters == (replace(LETTER, state="sent", content=b"", mails=()),)
            assert kept.mails == ()

    def test_a_number_is_never_used_twice_even_when_all_is_deleted(self, tmp_path: Path) -> None:
        with opened(tmp_path / "chat.db") as (database, _):
            database.commit([said("a"), rows(account(7, "Mary")), rows(Gone(table="account", key=7))])
            index(database)
            while database.tidy(NOON + 31 * DAY):
                pass
            assert texts(database, public()) == []
        with opened(tmp_path / "chat.db") as (database, kept):
            assert (kept.entries, kept.accounts) == ((), ())
            assert (kept.last, kept.next_account) == (1, 8)
            assert database.commit([said("b")]) == [2]

    def test_an_id_is_accepted_once_by_whoever_it_is_of(self) -> None:
        with opened() as (database, _):
            database.commit([said("a", id="1"), said("b", id="2"), said("c", author=JOHN, id="1")])
            first = said("a", id="1").entry
            assert first is not None
            again = [said("new"), said("other", id="1"), rows(Motd(text="x")), said("d", id="3")]
            assert database.commit(again) == [4, Earlier(1, first), None, 5]
            assert texts(database, public()) == ["a", "b", "c", "new", "d"]
            assert database.snapshot().motd == "x"

    def test_what_comes_with_an_id_of_before_is_not_stored_either(self) -> None:
        with opened() as (database, _):
            database.commit([mailed(direct("a", MARY, JOHN, id="1")), rows(Gone(table="mail", key=1))])
            (result,) = database.commit([mailed(direct("a", MARY, JOHN, id="1"))])
            assert isinstance(result, Earlier)
            assert database.snapshot().mails == ()

    def test_a_batch_is_stored_all_or_nothing_and_the_numbers_go_on(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        with opened(path) as (database, _):
            database.commit([said("before")])
            with broken(path), pytest.raises(StoreError, match="no room for a ban"):
                database.commit([said("lost"), rows(Motd(text="lost")), rows(Ban(what="eve", until=None, reason=""))])
            assert texts(database, public()) == ["before"]
            assert database.snapshot().motd == ""
            assert database.commit([said("after")]) == [2]

    def test_a_full_disk_refuses_and_room_accepts_again(self, tmp_path: Path) -> None:
        with opened(tmp_path / "chat.db") as (database, _):
            database.commit([said("before")])
            (pages,) = database._writer.execute("PRAGMA page_count").fetchone()
            database._writer.execute(f"PRAGMA max_page_count = {pages + 3}")
            with pytest.raises(StoreError, match="disk is full"):
                database.commit([said("x" * 4_000) for _ in range(20)])
            database._writer.execute("PRAGMA max_page_count = 1000000")
            assert database.commit([said("after")]) == [2]
            assert texts(database, public()) == ["before", "after"]

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), min_size=1))
    def test_any_text_comes_back_unchanged(self, texts: list[str]) -> None:
        with opened() as (database, _):
            database.commit([said(text, id=text) for text in dict.fromkeys(texts)])
            entries = [entry for _, entry in database.snapshot().entries]
            assert [entry.text for entry in entries] == [entry.id for entry in entries] == list(dict.fromkeys(texts))

    def test_batches_larger_than_one_statement_keep_their_order(self) -> None:
        with opened() as (database, _):
            assert database.commit([said(str(at)) for at in range(1, 1234)]) == list(range(1, 1234))
            assert [entry.text for _, entry in database.snapshot().entries] == [str(at) for at in range(1, 1234)]


@contextmanager
def broken(path: Path) -> Iterator[None]:
    """As long as this lasts, the file takes no ban."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TRIGGER no AFTER INSERT ON ban BEGIN SELECT raise(ABORT, 'no room for a ban'); END")
    yield
    other.execute("DROP TRIGGER no")
    other.close()


class TestJournal:
    def test_the_newest_entries_come_back_as_many_as_the_journal_holds(self) -> None:
        with opened() as (database, _):
            database.commit([said(str(at)) for at in range(ENTRIES_MAX + 5)])
            kept = database.snapshot()
            assert [number for number, _ in kept.entries] == list(range(6, ENTRIES_MAX + 6))
            assert kept.last == ENTRIES_MAX + 5

    def test_and_no_more_characters_than_its_bytes(self) -> None:
        with opened() as (database, _):
            database.commit([said("x" * 4_000) for _ in range(4_500)])
            kept = database.snapshot()
            assert len(kept.entries) == 16 * 1024 * 1024 // 4_000
            assert kept.entries[-1][0] == 4_500

    def test_they_are_without_a_hole(self) -> None:
        """An old message that is still to be mailed is kept for longer than those around it."""
        with opened() as (database, _):
            month = NOON + 31 * DAY
            database.commit([mailed(direct("waits", MARY, JOHN)), said("old"), said("new", now=month)])
            index(database)
            assert database.tidy(month)
            kept = database.snapshot()
            assert [number for number, _ in kept.entries] == [3]
            assert [mail.text for mail in kept.mails] == ["waits"]


class TestSpan:
    def test_own_direct_messages_between_two_numbers_and_how_much_is_open_to_all(self) -> None:
        with opened() as (database, _):
            database.commit(
                [
                    direct("1", MARY, JOHN),
                    said("2"),
                    direct("3", JOHN, MARY),
                    direct("4", JOHN, ANN),
                    joined("Eve"),
                    direct("6", ANN, MARY),
                    said("7"),
                    direct("8", MARY, MARY),
                ]
            )
            found = database.look_up(Span(account=MARY, after=1, before=8))
            assert [(number, entry.text) for number, entry in found.entries] == [(3, "3"), (6, "6")]
            assert found.open == 3
            assert database.look_up(Span(account=MARY, after=7, before=8)).open == 0
            assert [number for number, _ in database.look_up(Span(account=MARY, after=7, before=9)).entries] == [8]
            assert database.look_up(Span(account=99, after=0, before=9)).entries == ()


class TestQuery:
    def test_the_newest_things_said_come_oldest_first(self) -> None:
        with opened() as (database, _):
            database.commit([said("a"), joined("Eve"), said("b"), said("c")])
            assert texts(database, public(count=2)) == ["b", "c"]
            assert database.look_up(public(count=2)).more
            assert texts(database, public(count=3)) == ["a", "b", "c"]
            assert not database.look_up(public(count=3)).more
            assert texts(database, public(before=3)) == ["a"]
            assert texts(database, public(before=4, count=1)) == ["b"]

    def test_direct_messages_are_found_by_their_two_ends_only_and_above_the_floor(self) -> None:
        with opened() as (database, _):
            database.commit(
                [direct("to john", MARY, JOHN), direct("to mary", JOHN, MARY), direct("others", JOHN, ANN), said("all")]
            )
            index(database)

            def sees(account: int | None, floor: int = 0) -> list[str]:
                query = Query(account=account, floor=floor, before=99, count=99)
                found = texts(database, query)
                words = ["to", "others", "all"]
                searched = [text for word in words for text in texts(database, replace(query, words=word))]
                assert sorted(found) == sorted(searched)
                return found

            assert sees(MARY) == ["to john", "to mary", "all"]
            assert sees(ANN) == ["others", "all"]
            assert sees(None) == sees(99) == ["all"]
            assert sees(MARY, 1) == ["to mary", "all"]
            assert sees(MARY, 4) == ["all"]

    @pytest.mark.parametrize(
        ("words", "found"),
        [
            ("tea", ["Tea at four?", "teapot"]),
            ("TEA four", ["Tea at four?"]),
            ("four tea", ["Tea at four?"]),
            ("cafe", ["café crème"]),
            ("don't", ["don't panic"]),
            ("你好", ["你好世界"]),
            ("panic -don", ["don't panic"]),
            ("tea NOT four", []),
            ("tea OR panic", []),
            ('"tea', ["Tea at four?", "teapot"]),
            ('te"a', []),
            ("text:tea", []),
            ("te*", ["Tea at four?", "teapot"]),
            ("t", ["don't panic"]),
            ("^tea", ["Tea at four?", "teapot"]),
            ("(tea)", ["Tea at four?", "teapot"]),
            ("!!!", []),
            ('"', []),
            ("eve", []),
        ],
    )
    def test_words_are_words_and_their_beginnings_and_nothing_else(self, words: str, found: list[str]) -> None:
        with opened() as (database, _):
            said_all = ["Tea at four?", "teapot", "café crème", "don't panic", "你好世界"]
            database.commit([joined("Eve"), *map(said, said_all)])
            index(database)
            assert texts(database, public(words)) == found

    @settings(max_examples=200, deadline=None)
    @given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
    def test_no_words_are_an_error(self, words: str) -> None:
        with opened() as (database, _):
            database.look_up(public(words))

    def test_a_search_has_pages_too(self) -> None:
        with opened() as (database, _):
            database.commit([said(f"tea {at}") for at in range(5)])
            index(database)
            assert texts(database, public("tea", count=2)) == ["tea 3", "tea 4"]
            assert database.look_up(public("tea", count=2)).more
            assert texts(database, public("tea", before=2)) == ["tea 0"]
            assert not database.look_up(public("tea", before=2)).more


class TestTidy:
    def test_what_is_older_than_the_days_to_keep_is_deleted_and_found_no_more(self) -> None:
        with opened(keep_days=2) as (database, _):
            database.commit([said("old tea"), said("new tea", now=NOON + DAY)])
            index(database)
            while database.tidy(NOON + 2 * DAY + 1):
                pass
            assert texts(database, public()) == texts(database, public("tea")) == ["new tea"]
            database._writer.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")

    def test_what_is_to_be_mailed_is_kept_until_it_is_not(self) -> None:
        with opened() as (database, _):
            database.commit([mailed(direct("waits", MARY, JOHN))])
            index(database)
            assert not database.tidy(NOON + 40 * DAY)
            database.commit([rows(Gone(table="mail", key=1))])
            assert database.tidy(NOON + 40 * DAY)
            assert database.look_up(Query(account=MARY, floor=0, before=9, count=9)).entries == ()

    def test_a_lot_that_is_to_be_mailed_keeps_nothing_else(self) -> None:
        with opened() as (database, _):
            database.commit([mailed(direct("waits", MARY, JOHN)) for _ in range(BITE)])
            database.commit([said("old")])
            index(database)
            assert database.tidy(NOON + 40 * DAY)
            assert texts(database, public()) == []
            assert len(database.snapshot().mails) == BITE

    def test_long_work_is_done_in_bites(self) -> None:
        with opened() as (database, _):
            database.commit([said("a") for _ in range(2 * BITE + 1)])
            assert [database.index() for _ in range(4)] == [True, True, False, False]
            assert [database.tidy(NOON + 40 * DAY) for _ in range(4)] == [BITE, 2 * BITE, 2 * BITE + 1, 0]

    def test_what_is_not_indexed_yet_is_not_deleted_yet(self) -> None:
        with opened() as (database, _):
            database.commit([said("a")])
            assert not database.tidy(NOON + 40 * DAY)
            assert texts(database, public()) == ["a"]

    def test_letters_that_were_sent_are_kept_for_a_day_and_bans_as_long_as_they_last(self) -> None:
        sent = replace(LETTER, state="sent", content=b"", mails=())
        failed = replace(LETTER, message_id="<2@x>", state="failed")
        with opened() as (database, _):
            database.commit(
                [rows(sent, failed, Ban(what="eve", until=NOON, reason=""), Ban(what="bob", until=None, reason=""))]
            )
            database.tidy(NOON + DAY - 1)
            assert database.snapshot().letters == (sent, failed)
            assert [ban.what for ban in database.snapshot().bans] == ["bob"]
            database.tidy(NOON + DAY + 1)
            assert database.snapshot().letters == (failed,)
            database.tidy(NOON + 30 * DAY + 1)
            assert database.snapshot().letters == ()

    def test_failures_of_who_was_forgotten_are_not_kept(self) -> None:
        receipt = Receipt(seq=7, to="John", online=False, mail="failed")
        failures = [Failure(author=MARY, receipt=receipt), Failure(author=ANN, receipt=replace(receipt, seq=8))]
        with opened() as (database, _):
            database.commit([rows(account(MARY, "Mary"), *failures)])
            database.tidy(NOON)
            assert database.snapshot().failures == (failures[0],)

    def test_memory_keeps_the_newest_only(self) -> None:
        with opened() as (database, _):
            database.commit([said(str(at)) for at in range(MEMORY_ENTRIES + 3)])
            index(database)
            while database.tidy(NOON):
                pass
            assert texts(database, public(before=5)) == ["3"]


class TestAudit:
    def test_the_last_acts_come_oldest_first(self) -> None:
        acts = [Act(time=NOON + at, text=f"act {at}") for at in range(5)]
        with opened() as (database, _):
            database.commit([rows(*acts[:3]), rows(*acts[3:])])
            assert database.look_up(Audit(count=5)) == Found(acts=tuple(acts))
            assert database.look_up(Audit(count=2)) == Found(acts=tuple(acts[3:]), more=True)

    def test_so_many_are_kept(self) -> None:
        with opened() as (database, _):
            database.commit([rows(*[Act(time=NOON, text=str(at)) for at in range(AUDIT_MAX + 2)])])
            database.tidy(NOON)
            assert database.look_up(Audit(count=AUDIT_MAX + 2)).acts[0].text == "2"


@pytest.mark.parametrize("version", range(len(MIGRATIONS) + 1))
def test_a_file_of_any_older_version_becomes_one_of_this(tmp_path: Path, version: int) -> None:
    path = tmp_path / "chat.db"
    old = sqlite3.connect(path)
    for migration in MIGRATIONS[:version]:
        old.executescript(migration)
    old.execute(f"PRAGMA application_id = {APPLICATION_ID if version else 0}")
    old.execute(f"PRAGMA user_version = {version}")
    if version:
        columns = "(id, name, email, first, seen, notify)"
        old.execute(f"INSERT INTO account {columns} VALUES (1, 'Mary', 'mary@example.org', 0, 0, 'always')")
    old.commit()
    shape = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
    old.close()
    with opened(path) as (database, kept), opened() as (new, _):
        assert kept.accounts == ((account(MARY, "Mary"),) if version else ())
        assert [row[:2] for row in database._writer.execute(shape)] == [row[:2] for row in new._writer.execute(shape)]
        assert database._writer.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        database.commit([rows(account(JOHN, "John"), Act(time=NOON, text="x"))])


class TestFile:
    def test_nobody_else_may_read_it(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        before = os.umask(0)
        try:
            with opened(path) as (database, _):
                database.commit([said("a")])
                modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        finally:
            os.umask(before)
        assert modes == {"chat.db": 0o600, "chat.db-wal": 0o600, "chat.db-shm": 0o600}

    def test_nor_a_copy_that_was_put_back(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        with opened(path):
            pass
        path.chmod(0o644)
        with opened(path) as (database, _):
            database.commit([said("a")])
            assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}

    def test_a_commit_is_on_the_disk(self, tmp_path: Path) -> None:
        with opened(tmp_path / "chat.db") as (database, _):
            assert database._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert database._writer.execute("PRAGMA synchronous").fetchone() == (2,)

    def test_it_is_one_servers_at_a_time(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        with opened(path), pytest.raises(StoreError, match=r"chat\.db can't be used: another chatmail-server uses it"):
            refused(path)
        with opened(path):
            pass

    def test_a_file_that_cannot_be_made_is_named_with_the_reason(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for path, why in (
            (tmp_path / "no" / "chat.db", f"there is no folder {tmp_path / 'no'}; make it, or name another file"),
            (Path("/dev/null"), "it is no ordinary file; name another one"),
            (tmp_path / "file" / "chat.db", f"there is no folder {tmp_path / 'file'}; make it"),
            (tmp_path, "it is a folder; name a file in it"),
            (Path("/proc/x.db"), "No such file or directory; name a file that this user may make and write"),
        ):
            with pytest.raises(StoreError, match=f"CHAT_DB={path} can't be used: {why}"):
                refused(path)

    @pytest.mark.parametrize("content", [b"not a database, but long enough to be one" * 100, b"hello"])
    def test_what_is_no_database_is_left_as_it_is(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "chat.db"
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"damaged, or no database .*move it away"):
            refused(path)
        assert path.read_bytes() == content

    def test_a_damaged_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        with opened(path) as (database, _):
            database.commit([said("a" * 3_000) for _ in range(50)])
        data = bytearray(path.read_bytes())
        data[4096 : 20 * 4096] = b"\xa5" * (19 * 4096)
        path.write_bytes(data)
        with pytest.raises(StoreError, match="damaged"):
            refused(path)

    @pytest.mark.parametrize(
        "damage",
        [
            "DELETE FROM house",
            "INSERT INTO letter VALUES ('m', 'a@x.org', x'', 0, 0, NULL, x'FF', 'waiting', 0, 0, '')",
            "INSERT INTO failure VALUES (1, 1, x'FF')",
        ],
    )
    def test_rows_that_no_server_wrote_are_damage(self, tmp_path: Path, damage: str) -> None:
        path = tmp_path / "chat.db"
        with opened(path) as (database, _):
            database._writer.execute(damage)
        with pytest.raises(StoreError, match=r"damaged .*move it away to begin anew"):
            refused(path)

    def test_the_database_of_another_program_is_left_as_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE mine (x)")
        other.commit()
        other.close()
        before = path.read_bytes()
        with pytest.raises(StoreError, match="the database of another program"):
            refused(path)
        assert path.read_bytes() == before

    def test_a_newer_version_is_left_as_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        with opened(path) as (database, _):
            database._writer.execute("PRAGMA user_version = 99")
        with pytest.raises(StoreError, match=r"a newer chatmail wrote it \(version 99"):
            refused(path)


def refused(path: Path) -> None:
    """Open what can't be opened, and put away what is left of that."""
    database = Database(str(path), 30)
    try:
        database.open()
    finally:
        database.close()
