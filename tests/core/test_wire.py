"""The wire: each frame as it is written, and the values that it is made of."""

import json
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chatmail.core import wire
from chatmail.core.decoder import Decoder
from chatmail.core.wire import Code, encode
from tests.core.frames import FROM_CLIENTS, FROM_SERVERS, TIME, client


@pytest.mark.parametrize(("frame", "line"), FROM_CLIENTS)
def test_a_frame_of_a_client_is_written_so_and_read_back(frame: wire.ClientFrame, line: str) -> None:
    assert encode(frame) == line.encode() + b"\n"
    assert client(line + "\n") == [frame]


@pytest.mark.parametrize(("frame", "line"), FROM_SERVERS)
def test_a_frame_of_a_server_is_written_so_and_read_back(frame: wire.ServerFrame, line: str) -> None:
    assert encode(frame) == line.encode() + b"\n"
    assert list(Decoder[wire.ServerFrame](wire.ServerFrame).feed(line.encode() + b"\n")) == [frame]


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


def test_a_text_that_could_not_be_written_is_unfit() -> None:
    """No wire brings one, but a keyboard may: lone surrogates are how Python reads bytes that are no text."""
    error = wire.unfit_text("caf\udce9", 100, "text")
    assert error is not None
    assert error.code is Code.BAD_FRAME
    encode(error.frame())
    assert wire.unfit_text("café \U0001f600", 100, "text") is None
