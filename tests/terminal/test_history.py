"""What was typed is kept for its owner, or the owner is told that it is not."""

from pathlib import Path

import pytest
from prompt_toolkit.history import InMemoryHistory

from chatmail.terminal.history import open_history


async def test_without_a_place_for_it_the_history_lasts_as_long_as_the_session(tmp_path: Path) -> None:
    reports: list[str] = []
    (tmp_path / "file").touch()
    history = open_history(tmp_path / "file" / "history", reports.append)
    assert isinstance(history, InMemoryHistory)
    assert len(reports) == 1
    broken = open_history(tmp_path / "there" / "history", reports.append)
    (tmp_path / "there" / "history").unlink()
    (tmp_path / "there").rmdir()
    broken.append_string("one")
    broken.append_string("two")
    assert len(reports) == 2


def test_where_nobody_is_at_home_it_lasts_as_long_as_the_session() -> None:
    assert isinstance(open_history(None, pytest.fail), InMemoryHistory)
