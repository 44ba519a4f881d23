"""A text in the person's own editor. Whoever calls this has given up the terminal meanwhile."""

import asyncio
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

USUAL = ("editor", "nano", "vi")
"""What is looked for when no variable names an editor."""


ENDING_TIME = 1.0
"""How long an editor has to end that nobody wants any more, in seconds."""


class EditorError(Exception):
    """The text is not edited; ``str()`` says why."""


def command_of(environ: Mapping[str, str]) -> list[str]:
    """The editor's command line. Raises EditorError."""
    named = environ.get("VISUAL") or environ.get("EDITOR")
    try:
        words = shlex.split(named or "") or list(filter(shutil.which, USUAL))[:1]
    except ValueError as error:
        raise EditorError(f"{named!r} is no command line: {error}") from None
    if not words:
        raise EditorError("there is no editor here; $EDITOR can name one")
    return words


async def edit(text: str) -> str:
    """The text as the editor leaves it, without the newline that editors put at the end.

    The file and what an editor puts beside it are for nobody else to read, and gone afterwards.

    Raises:
        EditorError: there is no editor, it failed, or there is no place for the file.
    """
    words = command_of(os.environ)
    try:
        with TemporaryDirectory(prefix="chatmail-") as folder:
            path = Path(folder, "message.txt")
            _write(path, text)
            status = await _run([*words, str(path)])
            if status:
                how = f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
                raise EditorError(f"{Path(words[0]).name} {how}: the line is as it was")
            return _read(path)
    except OSError as error:
        raise EditorError(f"{error.filename or words[0]}: {error.strerror or error}") from error


async def _run(words: list[str]) -> int:
    process = await asyncio.create_subprocess_exec(*words)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(ENDING_TIME):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "replace"))


def _read(path: Path) -> str:
    text = path.read_bytes().decode("utf-8", "replace")
    return text.replace("\r\n", "\n").removesuffix("\n")
