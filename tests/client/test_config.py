"""A file of settings explains itself, is read as it was written, and all that is wrong in it is told at once."""

from pathlib import Path

import pytest
from msgspec import structs

from chatmail.client import config
from chatmail.client.config import Profile, WrongError
from chatmail.client.screen import STYLE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "config.toml"


def write(path: Path, text: str | bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def wrong(path: Path, text: str | bytes, *, styles: bool = True) -> list[str]:
    """The sentences about such a file, without its name."""
    write(path, text)
    with pytest.raises(WrongError) as caught:
        config.read(path, styles=styles)
    assert all(sentence.startswith(str(path)) for sentence in caught.value.sentences)
    return [sentence.removeprefix(str(path)).lstrip(": ") for sentence in caught.value.sentences]


def test_where_there_is_no_file_all_is_as_always(path: Path) -> None:
    assert config.read(path, styles=True) == Profile()


def test_what_is_written_is_read_again(path: Path) -> None:
    profile = Profile(server="chat.example.org:7000", name="Jürgen", email="j@example.org", keys="vi", times="%I:%M")
    config.init(path, profile)
    assert config.read(path, styles=True) == profile
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_file_tells_all_that_can_be_chosen(path: Path) -> None:
    """The styles too: each of their lines is right when its # is taken away."""
    config.init(path, Profile())
    text = path.read_text()
    for key in structs.fields(Profile):
        assert f"{key.name} = " in text or f"[{key.name}]" in text
    for name in STYLE:
        text = text.replace(f"\n# {name} = ", f"\n{name} = ")
    write(path, text)
    assert config.read(path, styles=True).style == STYLE


def test_a_file_that_is_there_stays(path: Path) -> None:
    write(path, "mine")
    with pytest.raises(FileExistsError):
        config.init(path, Profile())
    assert path.read_text() == "mine"
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        config.init(path, Profile())


def test_all_that_is_wrong_is_told_at_once(path: Path) -> None:
    lines = (
        *('servr = "x"', 'server = "host:port"', 'name = "a b"', 'email = "x"', 'theme = "pink"', 'times = "\\n"'),
        *("bell = 3", 'notice = "yes"', 'keys = ""', "[style]", 'tme = "bold"', 'time = "blod"', "own = true"),
    )
    told = wrong(path, "\n".join(lines))
    assert told[:3] == [
        "servr: there is no such key; did you mean server?",
        "server: 'port' is no port: it is a number from 1 to 65535",
        "name: 'a b' is no name: it holds a space; letters, digits and _ . - are allowed",
    ]
    assert told[3].startswith("email: 'x' is no email address")
    assert told[4:9] == [
        'theme = \'pink\': it is "color" or "mono"',
        "times: '\\n' is no form of time: that is one like %H:%M or %I:%M %p, or empty for no times",
        'bell = 3: it is "all", "direct" or "off"',
        'notice = \'yes\': it is "off", "osc9" or "osc777"',
        'keys = \'\': it is "emacs" or "vi"',
    ]
    assert told[9:] == [
        "[style] tme: there is no such class; did you mean time?",
        '[style] time = \'blod\': it is made of words like "bold", "underline", "#d75f5f", "bg:ansired"',
        '[style] own = true: it is a text, in quotes: "…"'.replace("true", "True"),
    ]


@pytest.mark.parametrize("look", ["#12", "#zzzzzz", "bg:#ggg", "bold nonsense"])
def test_a_style_that_can_not_be_drawn_is_wrong_where_it_would_be(path: Path, look: str) -> None:
    assert "it is made of words" in wrong(path, f'[style]\ntoolbar.news = "{look}"')[0]
    assert config.read(path, styles=False).style == {"toolbar.news": look}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = John", "is no TOML: Invalid value (at line 1, column 8)"),
        (b"name = '\xff'", "can't be read: it is not UTF-8"),
        ("style = 3", "style = 3: it is a table: [style], and below it a line for each class"),
        (f"name = [{'1, ' * 100}]", "…: it is a text"),
        ("qqq = 1", "there are server, name, email"),
        ("times = '%H \\u001b'", None),
        ("times = '" + "%c" * 9 + "'", "is no form of time"),
    ],
)
def test_what_can_not_be_read_is_told(path: Path, text: str | bytes, told: str | None) -> None:
    if told is None:  # single quotes: nothing is an escape
        write(path, text)
        assert config.read(path, styles=True).times == "%H \\u001b"
    else:
        assert told in wrong(path, text)[0]


def test_a_file_that_can_not_be_opened_is_told(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(WrongError, match="can't be read: Is a directory"):
        config.read(path, styles=True)


def test_values_from_elsewhere_are_judged_in_the_same_way() -> None:
    assert config.mistakes(Profile(name="John")) == []
    assert len(config.mistakes(Profile(name="a b", email="x"))) == 2
