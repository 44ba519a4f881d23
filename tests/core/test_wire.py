"""The wire: each frame as it is written, and the values that it is made of."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType, structs

from chatmail.core import wire
from chatmail.core.decoder import Decoder
from chatmail.core.wire import Code, encode
from tests.core.frames import FROM_CLIENTS, FROM_SERVERS, TIME, client
from tests.core.strategies import edges, frames

EVERY_KIND = [*get_args(wire.ClientFrame), *get_args(wire.ServerFrame)]
words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=wire.ID_MAX)
"""Texts that may stand in any field."""
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
any_words = st.one_of(st.text(max_size=80), st.text(st.sampled_from("a \0\n\u2028\x1b\ud800😀"), max_size=80))


def read(line: bytes) -> Any:
    """What is made of one line, newline included."""
    [frame] = Decoder[wire.Frame](wire.ClientFrame | wire.ServerFrame).feed(line)
    return frame


@pytest.mark.parametrize(("frame", "line"), FROM_CLIENTS)
def test_a_frame_of_a_client_is_written_so_and_read_back(frame: wire.ClientFrame, line: str) -> None:
    assert encode(frame) == line.encode() + b"\n"
    assert client(line + "\n") == [frame]


@pytest.mark.parametrize(("frame", "line"), FROM_SERVERS)
def test_a_frame_of_a_server_is_written_so_and_read_back(frame: wire.ServerFrame, line: str) -> None:
    assert encode(frame) == line.encode() + b"\n"
    assert list(Decoder[wire.ServerFrame](wire.ServerFrame).feed(line.encode() + b"\n")) == [frame]


@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(st.data())
def test_any_frame_comes_through_unchanged_whatever_else_stands_in_its_line(kind: Any, data: Any) -> None:
    """Written anew with fields that nobody knows yet, it is the same frame; with an unknown type it is none."""
    frame = data.draw(frames(kind, words))
    line = encode(frame)
    assert line.index(b"\n") == len(line) - 1
    assert read(line) == frame
    fields = json.loads(line)
    known = {field.encode_name for field in structs.fields(kind)} | {"type"}
    assert fields.keys() <= known
    unknown = data.draw(st.dictionaries(st.text().filter(lambda name: name not in known), json_values, max_size=3))
    mixed = dict(data.draw(st.permutations([*fields.items(), *unknown.items()])))
    assert read(json.dumps(mixed).encode("utf-8") + b"\n") == frame
    error = read(json.dumps(mixed | {"type": data.draw(words.map("X".__add__))}).encode() + b"\n")
    assert isinstance(error, wire.WireError)
    assert error.code is Code.UNSUPPORTED


@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: kind.__name__)
def test_every_number_has_limits_and_they_hold_at_their_edges(kind: Any) -> None:
    """Also because Python reads longer numbers than it will write."""
    smallest = {type(frame): json.loads(line) for frame, line in (*FROM_CLIENTS, *FROM_SERVERS)}[kind]
    numbers = [field.encode_name for field in structs.fields(kind) if type(smallest.get(field.encode_name)) is int]
    limits = edges(kind)
    assert {*numbers} - {"version"} <= limits.keys()
    for name, (least, most) in limits.items():
        for number in (least, most, least - 1, most + 1, 10**4299):
            frame = read(json.dumps(smallest | {name: number}).encode() + b"\n")
            assert isinstance(frame, wire.WireError) != (least <= number <= most)
            assert not isinstance(frame, wire.WireError) or (frame.code, frame.field) == (Code.BAD_FRAME, name)


def test_every_frame_is_written_out_with_all_its_fields_and_with_as_few_as_it_can_have() -> None:
    shown = [(type(frame), len(json.loads(line)) - 1) for frame, line in (*FROM_CLIENTS, *FROM_SERVERS)]
    optional = {wire.Join: {"version"}}  # left out by hand, but always written
    for frame in (*get_args(wire.ClientFrame), *get_args(wire.ServerFrame)):
        fields = structs.fields(frame)
        assert (frame, len(fields)) in shown
        needed = [field for field in fields if field.required or field.name in optional.get(frame, ())]
        assert (frame, len(needed)) in shown


def test_a_newline_in_a_text_is_escaped() -> None:
    frame = wire.Say(text="one\ntwo\r\nthree")
    assert encode(frame).count(b"\n") == 1
    assert client(encode(frame)) == [frame]


def test_a_text_of_the_longest_kind_fits_into_a_line() -> None:
    widest = wire.Direct(
        seq=wire.SEQ_MAX, time=TIME, sender="\U0001f600" * 32, to="\U0001f600" * 32, text="\x01" * 4000, id="\x01" * 64
    )
    assert len(encode(widest)) <= wire.LINE_MAX


def test_times_are_utc_to_the_millisecond() -> None:
    assert wire.stamp(TIME.timestamp() + 0.0004) == TIME
    assert wire.stamp(0.0) == datetime(1970, 1, 1, tzinfo=UTC)


@given(st.floats(0, 4e9))
def test_a_stamp_is_never_further_off_than_half_a_millisecond(now: float) -> None:
    time = wire.stamp(now)
    assert time.tzinfo is UTC
    assert time.microsecond % 1000 == 0
    assert abs(time - datetime.fromtimestamp(now, UTC)) <= timedelta(microseconds=502)


@given(any_words, st.integers(0, 60), st.sampled_from([UNSET, "i"]))
def test_a_text_is_fit_when_it_is_neither_empty_nor_too_long_and_can_be_written(
    text: str, limit: int, id: str | UnsetType
) -> None:
    error = wire.unfit_text(text, limit, "reason", id)
    surrogate = any("\ud800" <= char <= "\udfff" for char in text)
    assert (error is None) == (0 < len(text) <= limit and bool(text.strip()) and "\0" not in text and not surrogate)
    if error is not None:
        assert error.code is (Code.TOO_LONG if len(text) > limit else Code.BAD_FRAME)
        assert (error.field, error.id, error.final) == ("reason", id, False)
        assert read(encode(error.frame())) == error.frame()


@given(any_words | st.lists(words, max_size=10).map(" ".join))
def test_a_search_is_fit_when_its_text_is_and_its_words_are_few(text: str) -> None:
    error = wire.unfit_search(text)
    few = len(text.split()) <= wire.WORDS_COUNT
    assert (error is None) == (few and wire.unfit_text(text, wire.WORDS_MAX, "words") is None)
    assert error is None or error.field == "words"


@given(words, words, words, st.booleans(), st.sampled_from(Code))
def test_what_is_refused_is_told_as_it_is(text: str, id: str, field: str, final: bool, code: Code) -> None:
    error = wire.WireError(code, text, field=field, id=id, final=final)
    assert error.frame() == wire.Error(code=code, text=text, field=field, id=id)
    assert read(encode(error.frame())) == error.frame()


def test_a_text_that_could_not_be_written_is_unfit() -> None:
    """No wire brings one, but a keyboard may: lone surrogates are how Python reads bytes that are no text."""
    error = wire.unfit_text("caf\udce9", 100, "text")
    assert error is not None
    assert error.code is Code.BAD_FRAME
    encode(error.frame())
    assert wire.unfit_text("café \U0001f600", 100, "text") is None
