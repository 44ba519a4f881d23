"""Makes the pictures that the README shows: ``python -m tests.picture``."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.picture.scenes import play

if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        for name, picture in asyncio.run(play(Path(folder))).items():
            (Path(__file__).parent / name).write_text(picture, encoding="utf-8")
