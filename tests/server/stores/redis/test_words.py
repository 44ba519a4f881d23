"""Words are found as SQLite finds them, so that a search has one answer, whatever the store."""

import sqlite3
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatmail.server.stores.lookups import _match
from chatmail.server.stores.redis.words import finder

QUIRKS = "Ǡǡ"
"""Two marks on one letter, of which SQLite does not know."""
ALPHABET = [
    *"aAbBeEiIoOsSzZ01 9",
    *"éÉèüÜßçñøØœŒåıİſ",
    *"αΑάΆςσΣяЯйЙёЁ",
    *"你好世界한글ひらガ",
    *"שלוםمرحباहिन्दी",
    *" \t\n-_'\"*()^:+&.!?…—“”€™\u00a0\u2028",
    *"\u0300\u0301\u0308\u0327\u0331\u0334\u20e3\u200d",
    *"½²Ⅷ٣\ue000😀",
]
texts = st.text(st.sampled_from(ALPHABET), max_size=30)
few = st.text(st.sampled_from("aAbé \u0301-.你s"), max_size=12)


@pytest.fixture(scope="module")
def index() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2')")
    yield connection
    connection.close()


def in_sqlite(index: sqlite3.Connection, words: str, text: str) -> bool:
    index.execute("DELETE FROM words")
    index.execute("INSERT INTO words VALUES (?)", (text,))
    return bool(index.execute("SELECT count(*) FROM words WHERE words MATCH ?", (_match(words),)).fetchone()[0])


@settings(max_examples=400, deadline=None)
@given(words=texts | few, text=texts | few)
def test_they_are_found_where_sqlite_finds_them(index: sqlite3.Connection, words: str, text: str) -> None:
    assert finder(words)(text) == in_sqlite(index, words, text)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), text=texts.filter(str.strip))
def test_so_are_pieces_of_the_text(index: sqlite3.Connection, data: st.DataObject, text: str) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    words = text[start : data.draw(st.integers(start, len(text)))].swapcase()
    assert finder(words)(text) == in_sqlite(index, words, text)


def test_each_character_that_people_write_is_what_it_is_to_sqlite(index: sqlite3.Connection) -> None:
    """Those below the symbols that are what they were in Unicode 3.2: what came later SQLite may not know."""
    known = [at for at in map(chr, range(1, 0x2000)) if unicodedata.category(at) != "Cn"]
    old = [at for at in known if unicodedata.ucd_3_2_0.category(at) == unicodedata.category(at)]
    asked = [at for at in old if at not in QUIRKS]
    index.execute("DELETE FROM words")
    index.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", [(ord(at), f"q{at}q x{at}") for at in asked])
    for words in ("qq", "q", "x q", "xq", "x"):
        rows = index.execute("SELECT rowid FROM words WHERE words MATCH ?", (_match(words),))
        assert [ord(at) for at in asked if finder(words)(f"q{at}q x{at}")] == [row for (row,) in rows]
    everything = set(asked)
    for at in asked:
        for fold in {at.lower(), at.upper(), unicodedata.normalize("NFD", at)[0]} & everything:
            row = index.execute("SELECT 1 FROM words WHERE rowid = ? AND words MATCH ?", (ord(at), _match(f"x{fold}")))
            assert finder(f"x{fold}")(f"q{at}q x{at}") == (row.fetchone() is not None), (at, fold)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("tea", ["Tea at four?", "teapot"]),
        ("TEA four", ["Tea at four?"]),
        ("cafe", ["café crème"]),
        ("don't", ["don't panic"]),
        ("你好", ["你好世界"]),
        ("panic -don", ["don't panic"]),
        ("t", ["don't panic"]),
        ("tea !!!", ["Tea at four?", "teapot"]),
        ("!!!", []),
        ("", []),
    ],
)
def test_words_are_words_and_their_beginnings(words: str, found: list[str]) -> None:
    holds = finder(words)
    assert [
        text for text in ["Tea at four?", "teapot", "café crème", "don't panic", "你好世界"] if holds(text)
    ] == found
