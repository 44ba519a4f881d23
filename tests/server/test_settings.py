"""Settings: where they come from, what follows from them, and what is said about mistakes."""

import re
from contextlib import suppress
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatmail import __version__
from chatmail.core.limits import Rate
from chatmail.server.settings import TABLE, Settings, SettingsError, Smtp, load

EXAMPLE = Path(__file__).parents[2] / ".env.example"
NOWHERE = Path("no-such-folder")
MAIL = {"SENDER_EMAIL": "team@gmail.com", "PASSWORD": "geheim"}


def read(*argv: str, **environ: str) -> Settings:
    return load(argv, environ, NOWHERE)


def mistakes(*argv: str, **environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        read(*argv, **environ)
    assert str(caught.value).splitlines() == list(caught.value.mistakes)
    return caught.value.mistakes


def test_nothing_set_is_a_chat_for_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where no .env is
    settings = load([], {}, Path())
    assert settings == Settings()
    assert settings.loopback
    assert not settings.mail_configured
    assert not settings.verify_email
    assert not settings.tls_on
    assert settings.smtp is None
    assert settings.warnings == []


def test_the_option_wins_then_the_environment_then_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CHAT_PORT=1\nHISTORY=1\nKEEP_DAYS=1\n")
    settings = load(["--port", "3"], {"CHAT_PORT": "2", "HISTORY": "2"}, tmp_path)
    assert (settings.chat_port, settings.history, settings.keep_days) == (3, 2, 1)


def test_an_empty_value_stands_for_the_default(tmp_path: Path) -> None:
    """So a mail account in the file can be left out for once: SENDER_EMAIL= chatmail-server."""
    (tmp_path / ".env").write_text("SENDER_EMAIL=team@gmail.com\nPASSWORD=geheim\n")
    settings = load([], {"SENDER_EMAIL": "", "PASSWORD": "", "CHAT_PORT": " "}, tmp_path)
    assert (settings.sender_email, settings.password, settings.chat_port) == ("", "", 6245)


def test_every_setting_has_its_row_and_its_option() -> None:
    of_one_start = ["check_mail", "folder"]
    assert sorted([*(row.field for row in TABLE), *of_one_start]) == sorted(field.name for field in fields(Settings))
    assert [row.key for row in TABLE if not row.option] == ["PASSWORD"]


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        ("--sender-email= --host=::1", "chat_host", "::1"),
        ("--port=0", "chat_port", 0),
        ("--db=:memory:", "chat_db", ":memory:"),
        ("--db=x/y.db", "chat_db", str(NOWHERE / "x/y.db")),
        ("--db=redis://localhost", "chat_db", "redis://localhost"),
        ("--outbox=/var/x", "outbox", Path("/var/x")),
        ("--tls=OFF", "tls", "off"),
        ("--verify-email=yes", "verify", "yes"),
        ("--allowed-emails=@Example.org,bob@x.org", "allowed_emails", ("@example.org", "bob@x.org")),
        ("--history=0", "history", 0),
        ("--keep-days=365", "keep_days", 365),
        ("--mail-window=2.5", "mail_window", 2.5),
        ("--motd=100%", "motd", "100%"),
        ("--max-clients=5", "max_clients", 5),
        ("--max-per-ip=5", "max_per_ip", 5),
        ("--rate=5/0.5", "rate", Rate(5, 0.5)),
        ("--rate=off", "rate", None),
        ("--presence-max=0", "presence_max", 0),
        ("--smtp-host=localhost", "smtp_host", "localhost"),
        ("--smtp-port=25", "smtp_port", 25),
        ("--smtp-security=none", "smtp_security", "none"),
        ("--log-level=DEBUG", "log_level", "debug"),
        ("--log-file=chat.log", "log_file", NOWHERE / "chat.log"),
        ("--log-format=json", "log_format", "json"),
    ],
)
def test_each_option(argv: str, field: str, value: Any) -> None:
    assert getattr(read(*argv.split()), field) == value


@pytest.mark.parametrize(
    ("argv", "address"),
    [
        ([], None),
        (["--check-mail"], ""),
        (["--check-mail", "--port=3"], ""),
        (["--check-mail", "Bob@X.org"], "Bob@x.org"),
        (["--check-mail=bob@x.org"], "bob@x.org"),
    ],
)
def test_the_check_of_the_mail_account_is_asked_for_on_the_command_line_only(
    argv: list[str], address: str | None, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("CHECK_MAIL=eve@x.org\n")
    assert load(argv, {"CHECK_MAIL": "eve@x.org"}, tmp_path).check_mail == address


def test_a_wrong_address_for_the_check_is_told_with_the_other_mistakes() -> None:
    assert mistakes("--check-mail", "bob", "--port", "many") == (
        "CHAT_PORT='many' (from --port) should be a whole number from 0 to 65535",
        "--check-mail: 'bob' is no email address: there is no @ in it, as in name@example.org",
    )


def test_paths_start_in_the_folder_of_the_file(tmp_path: Path) -> None:
    settings = load([], {}, tmp_path)
    assert settings.chat_db == str(tmp_path / "chatmail.db")
    assert settings.outbox == tmp_path / "outbox"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SENDER_EMAIL", "team"),
        ("SENDER_EMAIL", "a@x.org\r\nBcc: b@x.org"),
        ("SMTP_HOST", "smtp.example.org:587"),
        ("SMTP_HOST", "https://smtp.example.org"),
        ("SMTP_PORT", "0"),
        ("SMTP_SECURITY", "ssl"),
        ("CHAT_HOST", "two words"),
        ("CHAT_PORT", "65536"),
        ("CHAT_PORT", "-1"),
        ("CHAT_PORT", "٣"),
        ("CHAT_PORT", "9" * 5000),
        ("CHAT_DB", "a\0b"),
        ("CHAT_DB", "redis://"),
        ("OUTBOX", "a\0b"),
        ("TLS", "on"),
        ("TLS_CERT", "no-such-file.pem"),
        ("TLS_KEY", "/"),
        ("VERIFY_EMAIL", "maybe"),
        ("ALLOWED_EMAILS", "example.org"),
        ("ALLOWED_EMAILS", "@org"),
        ("HISTORY", "1001"),
        ("KEEP_DAYS", "0"),
        ("MAIL_WINDOW", "0"),
        ("MAIL_WINDOW", "nan"),
        ("MOTD", "x" * 4001),
        ("MAX_CLIENTS", "0"),
        ("MAX_PER_IP", "1.5"),
        ("RATE", "10"),
        ("RATE", "10/0"),
        ("RATE", "0/2"),
        ("PRESENCE_MAX", "many"),
    ],
)
def test_a_wrong_value_names_the_setting_the_value_and_what_would_be_right(key: str, value: str) -> None:
    [mistake] = mistakes(**{key: value})
    assert mistake.startswith(f"{key}={value[:4]!r}"[: len(key) + 4])
    assert "(from the environment) should be " in mistake
    assert len(mistake) < 250
    assert mistake.isprintable()


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RATE=fast\nHISTROY=5\n")
    with pytest.raises(SettingsError) as caught:
        load(["--port=x"], {"SENDER_EMAIL": "a@b.example"}, tmp_path)
    assert [mistake.partition(" ")[0].partition("=")[0] for mistake in caught.value.mistakes] == [
        "'HISTROY'",
        "CHAT_PORT",
        "RATE",
        "PASSWORD",
        "SMTP_HOST",
    ]
    assert "(from --port)" in str(caught.value)
    assert "(from .env)" in str(caught.value)


@pytest.mark.parametrize("key", ["PASSWORD", "MOTD"])
def test_what_is_no_utf_8_is_no_text(key: str) -> None:
    [mistake] = mistakes(**MAIL | {key: "caf\udce9"})
    assert mistake.startswith(key)
    mistake.encode()


def test_no_mistake_is_reported_that_only_follows_from_another() -> None:
    [mistake] = mistakes(**MAIL | {"SENDER_EMAIL": "team@nowhere.example", "SMTP_HOST": "two words"})
    assert mistake.startswith("SMTP_HOST='two words'")


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("PASSWORT", "PASSWORD"),
        ("sender_email", "SENDER_EMAIL"),
        ("SENDER_MAIL", "SENDER_EMAIL"),
        ("CHATHOST", "CHAT_HOST"),
    ],
)
def test_a_key_that_looks_like_a_slip_is_a_mistake(tmp_path: Path, slip: str, meant: str) -> None:
    (tmp_path / ".env").write_text(f"{slip}=s3cret\n")
    with pytest.raises(SettingsError, match=f"did you mean {meant}") as caught:
        load([], {slip: "also here, where it is no mistake"}, tmp_path)
    assert "s3cret" not in str(caught.value)


def test_keys_of_others_are_ignored(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=x\nPATH=y\nexport DEBUG=1\nLONELY\n")
    assert load([], {"HISTFILE": "x"}, tmp_path).history == 50


@pytest.mark.parametrize("line", ['PASSWORD="s3cret', "PASSWORD 's3cret", "= s3cret", "PASSWORD"])
def test_a_line_that_is_no_setting_is_named_but_not_shown(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"HISTORY=5\n{line}\n")
    with pytest.raises(SettingsError) as caught:
        load([], {}, tmp_path)
    assert "line 2" in str(caught.value) or "PASSWORD in" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"MOTD=\xff\n")
    with pytest.raises(SettingsError, match="UTF-8"):
        load([], {}, tmp_path)
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        load([], {}, tmp_path)


@pytest.mark.parametrize("text", ["PASSWORD='a${HOME}$#\"b'", "\ufeffPASSWORD='a${HOME}$#\"b'\r\n"])
def test_a_password_is_taken_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / ".env").write_text(text, "utf-8")
    assert load([], {"HOME": "/root"}, tmp_path).password == 'a${HOME}$#"b'


def test_the_groups_of_an_app_password_are_joined() -> None:
    assert read(PASSWORD="abcd efgh ijkl mnop").password == "abcdefghijklmnop"
    assert read(PASSWORD=" abcd efgh ").password == " abcd efgh "


@given(st.text(min_size=8), st.sampled_from(["", "team@gmail.com", "team", "a@b.example"]), st.text())
def test_the_password_is_never_shown(password: str, sender: str, port: str) -> None:
    secret = f"s3cret{password}"
    try:
        settings = read(PASSWORD=secret, SENDER_EMAIL=sender, CHAT_PORT=port)
        shown = f"{settings} {settings.warnings}"
    except SettingsError as error:
        shown = f"{error} {error!r}"
    assert "s3cret" not in shown


@given(st.dictionaries(st.sampled_from([row.key for row in TABLE]), st.text()))
def test_any_values_give_settings_or_mistakes(environ: dict[str, str]) -> None:
    with suppress(SettingsError):
        load([], environ, NOWHERE)


@pytest.mark.parametrize(
    ("environ", "smtp"),
    [
        ({}, Smtp("smtp.gmail.com", 587, "starttls")),
        ({"SENDER_EMAIL": "me@GMX.de"}, Smtp("mail.gmx.net", 587, "starttls")),
        ({"SENDER_EMAIL": "me@mail.ru"}, Smtp("smtp.mail.ru", 465, "tls")),
        ({"SENDER_EMAIL": "me@mail.ru", "SMTP_SECURITY": "starttls"}, Smtp("smtp.mail.ru", 587, "starttls")),
        ({"SMTP_PORT": "465"}, Smtp("smtp.gmail.com", 465, "tls")),
        ({"SMTP_PORT": "2525"}, Smtp("smtp.gmail.com", 2525, "starttls")),
        ({"SMTP_SECURITY": "tls"}, Smtp("smtp.gmail.com", 465, "tls")),
        ({"SMTP_SECURITY": "none"}, Smtp("smtp.gmail.com", 587, "none")),
        ({"SMTP_HOST": "mail.example.org"}, Smtp("mail.example.org", 587, "starttls")),
        ({"SMTP_HOST": "localhost"}, Smtp("localhost", 587, "starttls")),
        ({"SMTP_HOST": "localhost", "PASSWORD": "", "SMTP_PORT": "25"}, Smtp("localhost", 25, "none")),
        ({"SMTP_HOST": "::1", "PASSWORD": "", "SMTP_SECURITY": "starttls"}, Smtp("::1", 587, "starttls")),
        ({"SMTP_HOST": "relay.example.org", "PASSWORD": ""}, Smtp("relay.example.org", 587, "starttls")),
    ],
)
def test_how_mails_are_handed_in(environ: dict[str, str], smtp: Smtp) -> None:
    settings = read(**MAIL | environ)
    assert settings.smtp == smtp
    assert settings.mail_configured


def test_what_belongs_together(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").touch()
    [mistake] = mistakes(TLS_CERT=str(tmp_path / "cert.pem"))
    assert mistake.startswith("TLS_KEY is missing")
    [mistake] = mistakes(**MAIL, SMTP_PORT="465", SMTP_SECURITY="starttls")
    assert "SMTP_PORT=465" in mistake
    [mistake] = mistakes(SENDER_EMAIL="team@gmail.com")
    assert mistake.startswith("PASSWORD is missing")
    [mistake] = mistakes(SENDER_EMAIL="team@nowhere.example", PASSWORD="s3cret")
    assert mistake.startswith("SMTP_HOST is missing")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.9.1", "::1", "localhost")),
        *((host, False) for host in ("0.0.0.0", "::", "192.0.2.1", "chat.example.org")),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert Settings(chat_host=host).loopback == loopback


@pytest.mark.parametrize(
    ("environ", "verify"),
    [
        (MAIL, False),
        (MAIL | {"CHAT_HOST": "0.0.0.0"}, True),
        (MAIL | {"CHAT_HOST": "0.0.0.0", "VERIFY_EMAIL": "no"}, False),
        ({"CHAT_HOST": "0.0.0.0"}, False),
        ({"VERIFY_EMAIL": "yes"}, True),
    ],
)
def test_when_addresses_are_proved(environ: dict[str, str], verify: bool) -> None:
    assert read(**environ).verify_email == verify


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"CHAT_HOST": "0.0.0.0"}, ["not proved"]),
        ({"CHAT_HOST": "0.0.0.0", "TLS": "off"}, ["not proved", "TLS=off: everything said crosses the network in"]),
        (MAIL | {"CHAT_HOST": "0.0.0.0"}, []),
        (MAIL | {"CHAT_HOST": "0.0.0.0", "TLS": "off"}, ["TLS=off: everything said crosses the network in clear"]),
        (MAIL | {"CHAT_HOST": "0.0.0.0", "VERIFY_EMAIL": "no"}, ["VERIFY_EMAIL=no"]),
        ({"TLS": "off"}, []),
        ({"VERIFY_EMAIL": "yes"}, ["only in the folder"]),
        (MAIL | {"SMTP_SECURITY": "none"}, ["the password goes to smtp.gmail.com in clear"]),
        (MAIL | {"SMTP_SECURITY": "none", "SMTP_HOST": "r.example.org", "PASSWORD": ""}, ["mails go to r.example.org"]),
        (MAIL | {"SMTP_HOST": "localhost", "PASSWORD": ""}, []),
        ({"CHAT_DB": "redis://:pw@db.example.org"}, ["CHAT_DB=redis://…: everything said goes to db.example.org in"]),
        ({"CHAT_DB": "rediss://:pw@db.example.org"}, []),
        ({"CHAT_DB": "redis://127.0.0.1"}, []),
        ({"CHAT_DB": "unix:///run/redis.sock"}, []),
        ({"PASSWORD": "geheim"}, ["no mail is sent"]),
    ],
)
def test_what_may_surprise_is_said(environ: dict[str, str], words: list[str]) -> None:
    warnings = read(**environ).warnings
    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))


@pytest.mark.parametrize(
    ("host", "tls", "on"),
    [
        *((host, "auto", False) for host in ("127.0.0.1", "::1", "localhost")),
        *((host, "auto", True) for host in ("0.0.0.0", "::", "192.0.2.1", "chat.example.org")),
        *((host, "off", False) for host in ("127.0.0.1", "0.0.0.0", "chat.example.org")),
    ],
)
def test_off_loopback_the_chat_speaks_tls_unless_that_is_switched_off(host: str, tls: str, on: bool) -> None:
    assert read(CHAT_HOST=host, TLS=tls).tls_on == on


def test_the_server_keeps_its_own_certificate_beside_what_else_it_keeps(tmp_path: Path) -> None:
    assert load([], {}, tmp_path).own_certificate == tmp_path / "chatmail-tls.pem"
    assert load(["--db=there/x.db"], {}, tmp_path).own_certificate == tmp_path / "there" / "chatmail-tls.pem"
    assert load(["--db=/var/lib/x.db"], {}, tmp_path).own_certificate == Path("/var/lib/chatmail-tls.pem")
    assert load(["--db=:memory:"], {}, tmp_path).own_certificate == tmp_path / "chatmail-tls.pem"
    assert load(["--db=redis://there"], {}, tmp_path).own_certificate == tmp_path / "chatmail-tls.pem"


def test_with_a_certificate_the_chat_speaks_tls(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").touch()
    (tmp_path / "key.pem").touch()
    environ = {"TLS_CERT": "cert.pem", "TLS_KEY": "key.pem", "CHAT_HOST": "0.0.0.0"} | MAIL
    settings = load([], environ, tmp_path)
    assert settings.tls_on
    assert settings.tls_cert == tmp_path / "cert.pem"
    assert settings.warnings == []
    assert load(["--host=127.0.0.1"], environ, tmp_path).tls_on
    assert not load(["--tls=off"], environ, tmp_path).tls_on


def test_the_example_lists_every_setting_with_its_default(tmp_path: Path) -> None:
    """Each with a comment above it; and without its marks it is the defaults."""
    text = EXAMPLE.read_text("utf-8")
    lines = text.splitlines()
    defaults = {}
    for above, line in pairwise(lines):
        if match := re.match(r"#([A-Z_]+)=(.*)", line):
            assert match[1] not in defaults
            assert above.startswith("# ")
            defaults[match[1]] = match[2]
    assert defaults == {row.key: row.default for row in TABLE}
    (tmp_path / ".env").write_text(re.sub(r"(?m)^#(?=[A-Z_]+=)", "", text))
    chosen = load([], {}, tmp_path)
    (tmp_path / ".env").unlink()
    assert chosen == load([], {}, tmp_path)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        read("--help")
    text = capsys.readouterr().out
    assert all(row.option in text and f"[{row.key}" in text for row in TABLE if row.option)
    assert "--check-mail [ADDRESS]" in text
    assert "--password" not in text
    with pytest.raises(SystemExit, match="0"):
        read("--version")
    assert capsys.readouterr().out == f"chatmail {__version__}\n"


def test_an_option_nobody_knows_ends_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        read("--password=s3cret")
    capsys.readouterr()
