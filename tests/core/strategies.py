"""Frames for hypothesis, made from the types of their fields: a frame that is new is tried from its first day."""

from datetime import UTC, datetime
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from chatmail.core import wire

F = TypeVar("F")


def frames(kinds: Any, texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Frames of one type or of a union of types; every text in them is one of ``texts``."""
    return _values(kinds, texts)


def edges(kind: type[wire.Frame]) -> dict[str, tuple[int, int]]:
    """The fields of a frame that hold a number between two limits, by their names on the wire."""
    hints = get_type_hints(kind, include_extras=True)
    found = {field.encode_name: _limits(hints[field.name]) for field in structs.fields(kind)}
    return {name: limits for name, limits in found.items() if limits}


def _limits(kind: Any) -> tuple[int, int] | None:
    if get_origin(kind) is Annotated and get_args(kind)[0] is int:
        meta: Meta = get_args(kind)[1]
        assert isinstance(meta.ge, int)
        assert isinstance(meta.le, int)
        return meta.ge, meta.le
    return next(filter(None, map(_limits, get_args(kind))), None)


def _values(kind: Any, texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    origin, parts = get_origin(kind), get_args(kind)
    if limits := _limits(kind) if origin is Annotated else None:
        return st.integers(*limits) | st.sampled_from(limits)
    if origin is Annotated:
        return _values(parts[0], texts)
    if origin is Literal:
        return st.sampled_from(parts)
    if origin in (Union, UnionType):
        return st.one_of([_values(part, texts) for part in parts])
    if origin is list:
        return st.lists(_values(parts[0], texts), max_size=4)
    if isinstance(kind, type) and issubclass(kind, Struct):
        hints = get_type_hints(kind, include_extras=True)
        return st.builds(kind, **{field.name: _values(hints[field.name], texts) for field in structs.fields(kind)})
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: texts,
        bool: st.booleans(),
        int: st.just(wire.VERSION),  # the only number without limits: any other version is an error
        datetime: st.datetimes(timezones=st.just(UTC)),
        UnsetType: st.just(UNSET),
    }
    return plain[kind]
