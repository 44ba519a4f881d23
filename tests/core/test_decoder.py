"""The decoder: a stream of bytes becomes frames, and nothing can surprise it."""

import json
import string
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, structs

from chatmail.core import wire
from chatmail.core.decoder import Decoder
from chatmail.core.wire import Code, WireError, encode
from tests.core.frames import FROM_CLIENTS, FROM_SERVERS, TIME, client


def refused(line: bytes | str) -> WireError:
    """The one error that this line is answered with, sure to be a proper frame itself."""
    data = line.encode() if isinstance(line, str) else line
    [error] = client(data + b"\n")
    assert isinstance(error, WireError)
    [told] = Decoder[wire.ServerFrame](wire.ServerFrame).feed(encode(error.frame()))
    assert told == error.frame()
    return error


def value(frame: object) -> object:
    """An error as a value that can be compared."""
    return (frame.code, frame.text, frame.field, frame.id, frame.final) if isinstance(frame, WireError) else frame


# Fields.


@pytest.mark.parametrize(("frame", "line"), [*FROM_CLIENTS, *FROM_SERVERS])
def test_a_frame_without_one_of_its_needed_fields_is_none(frame: wire.Frame, line: str) -> None:
    fields = json.loads(line)
    needed = {field.encode_name for field in structs.fields(type(frame)) if field.required}
    decoder = Decoder[wire.Frame](wire.ClientFrame | wire.ServerFrame)
    for missing in fields:
        rest = {name: given for name, given in fields.items() if name != missing}
        [answer] = decoder.feed(json.dumps(rest).encode() + b"\n")
        assert isinstance(answer, WireError) == (missing in needed or missing == "type")


@pytest.mark.parametrize(("frame", "line"), [*FROM_CLIENTS, *FROM_SERVERS])
@pytest.mark.parametrize("wrong", [None, 1.5, [], {"a": 1}, [["x"]]])
def test_a_field_of_a_wrong_type_makes_a_bad_frame(frame: wire.Frame, line: str, wrong: Any) -> None:
    fields = json.loads(line)
    decoder = Decoder[wire.Frame](wire.ClientFrame | wire.ServerFrame)
    for name in fields.keys() - ({"people", "entries"} if wrong == [] else set()):
        [answer] = decoder.feed(json.dumps(fields | {name: wrong}).encode() + b"\n")
        assert isinstance(answer, WireError)
        assert answer.code is Code.BAD_FRAME


def test_a_join_by_hand_need_not_name_the_version() -> None:
    assert client('{"type":"join","name":"John","email":"j@x.org"}\n') == [wire.Join(name="John", email="j@x.org")]


def test_another_version_is_unsupported_and_named() -> None:
    error = refused('{"type":"join","name":"John","email":"j@x.org","version":2}')
    assert (error.code, error.field) == (Code.UNSUPPORTED, "version")
    assert "version 2" in error.text
    assert "version 1" in error.text


def test_a_time_without_a_zone_is_no_time() -> None:
    [error] = Decoder[wire.ServerFrame](wire.ServerFrame).feed(
        b'{"type":"joined","seq":7,"time":"2026-11-22T14:02:11","name":"John"}\n'
    )
    assert isinstance(error, WireError)


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    [joined] = Decoder[wire.ServerFrame](wire.ServerFrame).feed(
        b'{"type":"joined","seq":7,"time":"2026-11-22T16:02:11.12+02:00","name":"John"}\n'
    )
    assert joined == wire.Joined(seq=7, time=TIME, name="John")


# Lines.


def test_a_carriage_return_before_the_newline_is_accepted() -> None:
    assert client('{"type":"who"}\r\n{"type":"leave"}\r\n') == [wire.Who(), wire.Leave()]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x7f", "\u200b"])
def test_only_a_newline_ends_a_line(separator: str) -> None:
    frame = wire.Say(text=f"one{separator}two")
    assert client(encode(frame)) == [frame]
    assert client(f'{{"type":"say","text":"one{separator}two"}}\n') == [frame]


def test_unknown_fields_are_ignored() -> None:
    assert client('{"colour":"red","type":"say","mood":[{"a":null}],"text":"hi"}\n') == [wire.Say(text="hi")]


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    assert client('{"type":"say","text":"one","text":"two"}\n') == [wire.Say(text="two")]


@pytest.mark.parametrize("line", ['{"type":"say","text":"hi","type":"who"}', '{"type":"who","text":"hi","type":"say"}'])
def test_a_line_of_two_types_is_neither(line: str) -> None:
    refused(line)


def test_an_unknown_type_is_unsupported_and_keeps_its_id() -> None:
    error = refused('{"type":"dance","id":"7c1e-3","text":5}')
    assert (error.code, error.field, error.id) == (Code.UNSUPPORTED, "type", "7c1e-3")
    assert "'dance'" in error.text


def test_a_very_long_type_is_not_repeated_at_length() -> None:
    error = refused(json.dumps({"type": "x" * 5000}))
    assert error.code is Code.UNSUPPORTED
    assert len(error.text) < 200


def test_what_only_a_server_says_is_unsupported_from_a_client() -> None:
    for _, line in FROM_SERVERS:
        assert refused(line).code is Code.UNSUPPORTED


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "hello",
        "GET / HTTP/1.1",
        "[]",
        "5",
        "null",
        '"who"',
        "{",
        "{}",
        '{"type":null}',
        '{"type":5}',
        '{"type":"who"',
        '{"type":"who"} {"type":"who"}',
        '\ufeff{"type":"who"}',
        '{"type":"who","x":NaN}',
        '{"type":"ping","seq":NaN}',
        '{"type":"ping","seq":Infinity}',
        '{"type":"ping","seq":-1}',
        '{"type":"ping","seq":1.5}',
        '{"type":"ping","seq":true}',
        '{"type":"ping","seq":"1"}',
        '{"type":"ping","seq":null}',
        f'{{"type":"ping","seq":{2**63}}}',
        f'{{"type":"ping","seq":{"9" * 5000}}}',
        f'{{"type":"join","name":"J","email":"j@x.org","version":{"9" * 5000}}}',
        f'{{"type":{"9" * 5000}}}',
        '{"type":"say","text":null}',
        '{"type":"say","text":"hi","id":null}',
        '{"type":"say"}',
        '{"type":"say","text":"\\ud800"}',
        '{"type":"say","text":"\\udc00\\ud800"}',
        '{"type":"say","text":"a\0b"}',
        '{"type":"notify","when":"sometimes"}',
        '{"type":"join","name":"J","email":"j@x.org","resume":{"epoch":"e"}}',
    ],
)
def test_what_is_no_frame_is_a_bad_frame(line: str) -> None:
    error = refused(line)
    assert error.code is Code.BAD_FRAME
    assert not error.final


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"say","text":5,',
        '{"type":"say","text":5} {}',
        '{"type":"dance"',
        '{"type":"dance","x":"\\ud800"}',
        '{"type":"say","text":5,"x":' + "[" * 60_000,
        '{"type":"dance","x":' + "[" * 60_000,
        '{"type":"dance","x":' + '{"a":' * 10_000,
    ],
)
def test_a_line_that_is_wrong_in_two_ways_is_one_error(line: str) -> None:
    refused(line)


@pytest.mark.parametrize("deep", ["[" * 60_000, '{"a":' * 10_000, "[" * 30_000 + "]" * 30_000])
@pytest.mark.parametrize("head", ["", '{"type":"who","x":', '{"x":'])
def test_a_line_that_is_nested_deeply_is_a_bad_frame(head: str, deep: str) -> None:
    assert refused(head + deep).code is Code.BAD_FRAME


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"])
@pytest.mark.parametrize("head", [b'{"type":"say","text":"', b'{"type":"who","unknown":"', b'{"type":"who","un'])
def test_what_is_not_utf_8_is_a_bad_frame_wherever_it_stands(head: bytes, bad: bytes) -> None:
    error = refused(head + bad + b'":"a"}')
    assert error.code is Code.BAD_FRAME
    assert f"at byte {len(head) + 1}" in error.text


def test_a_bad_frame_keeps_the_id_it_came_with() -> None:
    assert refused('{"type":"say","id":"7c1e-4"}').id == "7c1e-4"
    for id in (5, None, "x" * 65, "\0"):
        assert refused(json.dumps({"type": "say", "id": id})).id is UNSET


# Limits.


@pytest.mark.parametrize("frame", [wire.Say(text="x"), wire.Dm(to="Mary", text="x")])
def test_a_text_has_1_to_4000_characters(frame: wire.Say | wire.Dm) -> None:
    def of(text: str) -> wire.Say | wire.Dm:
        changed: wire.Say | wire.Dm = structs.replace(frame, text=text, id="i")
        return changed

    longest = of("\U0001f600" * 4000)
    assert client(encode(longest)) == [longest]
    too_long = refused(encode(of("x" * 4001)).rstrip())
    assert (too_long.code, too_long.field, too_long.id) == (Code.TOO_LONG, "text", "i")
    assert "4,001" in too_long.text
    assert "4,000" in too_long.text
    for empty in ("", " ", "\n\t \u2003"):
        error = refused(encode(of(empty)).rstrip())
        assert (error.code, error.field, error.id) == (Code.BAD_FRAME, "text", "i")


@pytest.mark.parametrize(
    "frame",
    [
        wire.Say(text="a\0b"),
        wire.Dm(to="Mary", text="\0"),
        wire.Away(reason="a\0"),
        wire.Say(text="a", id="\0"),
        wire.Search(words="\0"),
    ],
    ids=["say", "dm", "away", "id", "search"],
)
def test_a_text_holds_no_nul(frame: wire.ClientFrame) -> None:
    error = refused(encode(frame).rstrip())
    assert error.code is Code.BAD_FRAME
    assert "NUL" in error.text


def test_a_reason_for_being_away_has_1_to_200_characters() -> None:
    longest = wire.Away(reason="x" * 200)
    assert client(encode(longest)) == [longest]
    assert refused(encode(wire.Away(reason="x" * 201)).rstrip()).code is Code.TOO_LONG
    error = refused(encode(wire.Away(reason="", id="i")).rstrip())
    assert (error.code, error.field, error.id) == (Code.BAD_FRAME, "reason", "i")


def test_a_search_has_1_to_200_characters() -> None:
    longest = wire.Search(words="x" * 200)
    assert client(encode(longest)) == [longest]
    assert refused(encode(wire.Search(words="x" * 201)).rstrip()).code is Code.TOO_LONG
    eight = wire.Search(words="a b c d e f g h")
    assert client(encode(eight)) == [eight]
    error = refused(encode(wire.Search(words="a b c d e f g h i", id="i")).rstrip())
    assert (error.code, error.field, error.id) == (Code.TOO_LONG, "words", "i")
    assert "at most 8" in error.text
    error = refused(encode(wire.Search(words=" ", id="i")).rstrip())
    assert (error.code, error.field, error.id) == (Code.BAD_FRAME, "words", "i")


def test_a_page_is_asked_for_in_numbers_from_1_to_100() -> None:
    for count in (1, 100):
        assert client(encode(wire.History(count=count))) == [wire.History(count=count)]
    for count in (0, 101, -1):
        assert refused(encode(wire.History(count=count)).rstrip()).code is Code.BAD_FRAME


@pytest.mark.parametrize(
    "frame", [wire.Say(text="a"), wire.Dm(to="b", text="a"), wire.Notify(when="away"), wire.Away()], ids=type
)
def test_an_id_has_at_most_64_characters(frame: wire.ClientFrame) -> None:
    longest = structs.replace(frame, id="x" * 64)
    assert client(encode(longest)) == [longest]
    error = refused(encode(structs.replace(frame, id="x" * 65)).rstrip())
    assert (error.code, error.field, error.id) == (Code.BAD_FRAME, "id", UNSET)


def line_of(size: int) -> bytes:
    """A frame in this many bytes."""
    line = b'{"type":"who","x":"%s"}' % (b"x" * (size - 21))
    assert len(line) == size
    return line


def lost(limit: int, *pieces: bytes) -> bool:
    """Whether these pieces end in the one error that closes the connection."""
    frames = client(*pieces, limit=limit)
    if frames == [wire.Who()]:
        return False
    [error] = frames
    assert isinstance(error, WireError)
    assert (error.code, error.final) == (Code.TOO_LONG, True)
    assert f"{limit:,}" in error.text
    return True


@pytest.mark.parametrize("limit", [wire.LINE_BEFORE_JOIN, wire.LINE_MAX])
def test_a_line_is_as_long_as_the_limit_without_its_end(limit: int) -> None:
    assert not lost(limit, line_of(limit) + b"\n")
    assert not lost(limit, line_of(limit) + b"\r\n")
    assert not lost(limit, line_of(limit), b"\r", b"\n")
    assert lost(limit, line_of(limit + 1) + b"\n")
    assert lost(limit, line_of(limit + 1), b"\r\n")
    assert lost(limit, line_of(limit) + b"\r", b"\r\n")


def test_a_line_that_never_ends_is_given_up_before_its_end() -> None:
    assert lost(100, b"x" * 102)
    assert lost(100, *[b"x"] * 102)
    assert client(*[b"x"] * 101, limit=100) == []


def test_after_a_line_that_is_too_long_nothing_is_a_frame_any_more() -> None:
    frames = client(b'{"type":"who"}\n' + b"x" * 102, b'\n{"type":"leave"}\n', b'{"type":"leave"}\n', limit=100)
    assert frames[0] == wire.Who()
    assert [isinstance(frame, WireError) and frame.final for frame in frames[1:]] == [True]
    frames = client(b"x" * 102 + b'\n{"type":"leave"}\n', b'{"type":"leave"}\n', limit=100)
    assert [isinstance(frame, WireError) and frame.final for frame in frames] == [True]


def test_the_limit_may_be_raised_between_two_frames_that_came_together() -> None:
    decoder = Decoder[wire.ClientFrame](wire.ClientFrame, 100)
    frames = decoder.feed(b'{"type":"who"}\n' + line_of(200) + b"\n" + line_of(150))
    assert next(frames) == wire.Who()
    decoder.limit = 200
    assert list(frames) == [wire.Who()]
    assert list(decoder.feed(b"\n")) == [wire.Who()]


# Any bytes.

NAMES = ["type", "text", "id", "to", "name", "email", "version", "token", "resume", "when", "seq", "code", "reason"]
TYPES = [json.loads(line)["type"] for _, line in FROM_CLIENTS]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, 2**64, 10**400, 1e308])
    | st.floats()
    | st.text(st.characters() | st.sampled_from("\0\n\r\u2028\ud800"), max_size=12)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
plausible = st.builds(
    lambda kind, fields: json.dumps({"type": kind} | fields).encode(),
    st.sampled_from(TYPES) | values,
    st.dictionaries(st.sampled_from(NAMES) | st.text(string.printable, max_size=5), values, max_size=5),
)
"""JSON objects that are nearly frames."""
whole = st.sampled_from([line.encode() for _, line in FROM_CLIENTS])
cut = st.builds(lambda line, at: line[: at % len(line)], plausible | whole, st.integers(0, 999))
dented = st.builds(
    lambda line, at, byte: line[: at % len(line)] + byte + line[at % len(line) + 1 :],
    plausible | whole,
    st.integers(0, 999),
    st.binary(max_size=2),
)
lines = (
    whole | plausible | cut | dented | st.binary(max_size=30) | st.sampled_from([b"", b"\r", b"x" * 300, b"[" * 300])
)
streams = st.lists(st.tuples(lines, st.sampled_from([b"\n", b"\r\n", b""])), max_size=6).map(
    lambda pairs: b"".join(line + end for line, end in pairs)
)


@settings(deadline=None, max_examples=150)
@example(b'{"type":"say","text":5,\n', [], 1000)
@given(streams, st.lists(st.integers(0, 999), max_size=8), st.sampled_from([20, 60, 300, 1000]))
def test_any_bytes_give_frames_or_errors_and_the_same_ones_however_they_are_cut(
    data: bytes, cuts: list[int], limit: int
) -> None:
    frames = client(data, limit=limit)
    for at, frame in enumerate(frames):
        if isinstance(frame, WireError):
            assert isinstance(frame.code, Code)
            assert not frame.final or at == len(frames) - 1
            encode(frame.frame())
        else:
            assert isinstance(frame, wire.ClientFrame)
            assert client(encode(frame)) == [frame]
    final = bool(frames) and isinstance(frames[-1], WireError) and frames[-1].final
    assert final or len(frames) == data.count(b"\n")
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    pieces = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    assert [value(frame) for frame in client(*pieces, limit=limit)] == [value(frame) for frame in frames]


def test_a_conversation_may_be_cut_anywhere() -> None:
    limit = 250
    data = b"".join(line.encode() + b"\r\n" for _, line in FROM_CLIENTS)
    data += '{"type":"say","text":"naïve \U0001f600"}\n{"type":"dance"}\n\n{"type":"who"\n'.encode() + b"\xff\n"
    data += line_of(limit) + b"\r\n" + line_of(limit + 1) + b'\r\n{"type":"leave"}\n'
    frames = [value(frame) for frame in client(data, limit=limit)]
    assert len(frames) == len(FROM_CLIENTS) + 7
    for at in range(len(data) + 1):
        assert [value(frame) for frame in client(data[:at], data[at:], limit=limit)] == frames
    assert [value(frame) for frame in client(*(data[at : at + 1] for at in range(len(data))), limit=limit)] == frames


@given(st.text(min_size=1, max_size=50).filter(lambda text: not text.isspace() and "\0" not in text))
def test_any_text_of_a_person_comes_through_unchanged(text: str) -> None:
    frame = wire.Dm(to=text, text=text, id=text)
    assert client(encode(frame)) == [frame]
