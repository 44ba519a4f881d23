"""The pictures that the README shows can be made, and show what is seen now."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pyte

from tests.picture.scenes import play
from tests.picture.svg import BAR, EDGE, HIGH, INK, PAPER, WIDE, draw

HERE = Path(__file__).parent
TEXT = "{http://www.w3.org/2000/svg}text"


async def test_the_pictures_show_what_is_seen(tmp_path: Path) -> None:
    pictures = await play(tmp_path)
    assert set(pictures) == {path.name for path in HERE.glob("*.svg")}
    for name, picture in pictures.items():
        old = (HERE / name).read_text(encoding="utf-8")
        assert old == picture, (
            f"{name} shows what is no more; `python -m tests.picture` makes it again: look at it then"
        )


def test_a_picture_is_shown_by_the_readme_is_small_and_needs_no_other_file() -> None:
    readme = (HERE.parents[1] / "README.md").read_text(encoding="utf-8")
    for path in HERE.glob("*.svg"):
        picture = path.read_text(encoding="utf-8")
        assert f"(tests/picture/{path.name})" in readme
        assert len(picture.encode()) < 60_000
        assert not re.search(r"href|url\(|@|<image|<script", re.sub("<text.*</text>|<desc>.*</desc>", "", picture))


def test_words_stand_at_their_columns_in_their_colours() -> None:
    screen = pyte.Screen(12, 2)
    pyte.Stream(screen).feed("a 🍵b\r\n\x1b[1;7;38;5;196m<c>\x1b[0;4m d e")
    picture = draw([[screen.buffer[y][x] for x in range(12)] for y in range(2)], "<title>", "about", (7, 1))
    drawn = ET.fromstring(picture)
    title, *words = drawn.iter(TEXT)
    styles = dict(re.findall(r"^\.(s\d+){(.*)}$", picture, re.MULTILINE))
    at = [
        (
            word.text,
            round((float(word.attrib["x"]) - EDGE) / WIDE),
            (int(word.attrib["y"]) - BAR) // HIGH,
            round(float(word.attrib["textLength"]) / WIDE),
        )
        for word in words
    ]
    assert at == [("a", 0, 0, 1), ("🍵", 2, 0, 2), ("b", 4, 0, 1), ("<c>", 0, 1, 3), (" d e", 3, 1, 4)]
    assert [styles[word.attrib["class"]] for word in words[2:]] == [
        f"fill:{INK}",
        f"fill:{PAPER};font-weight:bold",
        f"fill:{INK};text-decoration:underline",
    ]
    assert f'height="{HIGH}" fill="#ff0000"' in picture
    assert title.text == "<title>"
