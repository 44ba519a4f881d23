"""Which editor it is, and what becomes of the text."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from chatmail.terminal import editor
from chatmail.terminal.editor import EditorError, command_of, edit


def test_visual_comes_before_editor_and_may_have_options() -> None:
    assert command_of({"VISUAL": "code --wait", "EDITOR": "ed"}) == ["code", "--wait"]
    assert command_of({"VISUAL": "", "EDITOR": "'my ed'"}) == ["my ed"]


def test_a_variable_that_is_no_command_line() -> None:
    with pytest.raises(EditorError, match="no command line"):
        command_of({"EDITOR": "it's"})


def test_the_usual_ones_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EditorError, match="there is no editor here"):
        command_of({})
    for name in reversed(editor.USUAL):
        (tmp_path / name).touch(mode=0o755)
        assert command_of({}) == [name]


async def test_the_file_is_private_and_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        "import os, sys\npath = sys.argv[1]\nopen(path + '~', 'w').close()\n"
        "before = open(path, encoding='utf-8').read()\nmode = os.stat(os.path.dirname(path)).st_mode & 0o777\n"
        "open(path, 'wb').write(f'{before}|{mode:o}|{path}\\r\\n\\xff\\n'.encode('latin-1', 'replace'))\n"
    )
    monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")
    async with asyncio.timeout(10):
        before, mode, rest = (await edit("caf\udce9")).split("|")
    assert (before, mode) == ("caf?", "700")
    path, last = rest.split("\n")
    assert last == "\ufffd"
    assert not Path(path).parent.exists()


async def test_no_place_for_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", sys.executable)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(EditorError, match="No such file"):
        await edit("text")


@pytest.mark.parametrize("stubborn", [False, True])
async def test_an_editor_ends_with_the_one_who_wanted_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stubborn: bool
) -> None:
    fifo, script = tmp_path / "fifo", tmp_path / "editor.py"
    os.mkfifo(fifo)
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if stubborn else ""
    script.write_text(f"import signal\n{ignore}open({str(fifo)!r}, 'w').write('here')\nsignal.pause()\n")
    monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")
    monkeypatch.setattr(editor, "ENDING_TIME", 0.05 if stubborn else 10.0)
    async with asyncio.timeout(10):
        task = asyncio.create_task(edit("text"))
        assert await asyncio.to_thread(fifo.read_text) == "here"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
