"""Settings: ``.env``, the environment and the options of the command line become one frozen ``Settings``.

One table, ``TABLE``, has a row for each setting: its key, how it is read, one line of help. The options, ``--help``,
the errors and the check of ``.env.example`` come from it. An option wins over the environment, and that over
``.env``; an empty value stands for the default. All mistakes are reported at once: nobody should have to start the
server five times to find five of them. A password is never shown, and is no option: options are public.
"""

import argparse
import difflib
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from chatmail import __version__
from chatmail.core.limits import Rate
from chatmail.core.names import BadEmail, check_email
from chatmail.server import values
from chatmail.server.place import has_password, host_in_clear, is_url, public

_PROVIDERS = {
    "smtp.gmail.com": "gmail.com googlemail.com",
    "smtp-mail.outlook.com": "outlook.com outlook.de outlook.fr hotmail.com hotmail.co.uk hotmail.de hotmail.fr "
    "hotmail.it hotmail.es live.com live.co.uk live.de live.fr live.nl msn.com",
    "smtp.office365.com": "office365.com",
    "smtp.mail.yahoo.com": "yahoo.com yahoo.co.uk yahoo.de yahoo.fr yahoo.it yahoo.es yahoo.ca yahoo.co.in "
    "yahoo.com.br ymail.com rocketmail.com",
    "smtp.mail.me.com": "icloud.com me.com mac.com",
    "smtp.fastmail.com": "fastmail.com fastmail.fm",
    "smtp.zoho.com": "zoho.com zohomail.com",
    "smtp.zoho.eu": "zoho.eu zohomail.eu",
    "smtp.zoho.in": "zoho.in zohomail.in",
    "mail.gmx.net": "gmx.net gmx.de gmx.at gmx.ch",
    "mail.gmx.com": "gmx.com gmx.us gmx.co.uk gmx.fr gmx.es",
    "smtp.web.de": "web.de",
    "smtp.aol.com": "aol.com aim.com",
    "smtp.yandex.com": "yandex.com ya.ru yandex.ru yandex.by yandex.kz",
    "smtp.mail.ru": "mail.ru inbox.ru list.ru bk.ru",
    "posteo.de": "posteo.de posteo.net posteo.eu",
    "smtp.mailbox.org": "mailbox.org",
    "securesmtp.t-online.de": "t-online.de",
    "mail.riseup.net": "riseup.net",
    "smtp.seznam.cz": "seznam.cz email.cz",
    "smtp.qq.com": "qq.com",
}
_HOSTS = {domain: host for host, domains in _PROVIDERS.items() for domain in domains.split()}
# These tell their users port 465; the others take 587 as well.
_TLS_PORT_ONLY = {"smtp.yandex.com", "smtp.mail.ru", "smtp.seznam.cz"}


_RATE = Rate(10, 2)


class SettingsError(ValueError):
    """The settings are wrong; ``mistakes`` has a sentence for each, the text a line for each."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True)
class Smtp:
    """Where mails are handed in, and what makes that connection safe; "none" is nothing."""

    host: str
    port: int
    security: Literal["tls", "starttls", "none"]


@dataclass(frozen=True)
class Settings:
    """What the operator chose; the properties say what follows from it. Times are in seconds, rates per person."""

    sender_email: str = ""
    password: str = field(default="", repr=False)
    smtp_host: str = ""
    smtp_port: int | None = None
    smtp_security: Literal["auto", "tls", "starttls", "none"] = "auto"
    chat_host: str = "127.0.0.1"
    chat_port: int = 6245
    chat_db: str = field(default="chatmail.db", repr=False)
    """A file, ``:memory:``, or the URL of a Redis, in which there may be a password."""
    outbox: Path = Path("outbox")
    tls: Literal["auto", "off"] = "auto"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    verify: Literal["auto", "yes", "no"] = "auto"
    allowed_emails: tuple[str, ...] = ()
    history: int = 50
    keep_days: int = 30
    mail_window: float = 60.0
    motd: str = ""
    max_clients: int = 10_000
    max_per_ip: int = 256
    rate: Rate | None = _RATE
    presence_max: int = 200
    max_unjoined_per_ip: int = 16
    join_time: float = 10.0
    join_errors: int = 20
    tls_time: float = 5.0
    silence_time: float = 45.0
    slow_time: float = 10.0
    bad_frames: int = 5
    journal_entries: int = 10_000
    journal_size: int = 16_384
    """In KiB, as ``send_buffer``."""
    send_buffer: int = 256
    backlog: int = 4_096
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_file: Path | None = None
    log_format: Literal["text", "json"] = "text"
    folder: Path = Path()
    """Where relative paths start."""
    check_mail: str | None = None
    """Do not serve but send a test mail to this address, "" for the sender's own; an option of this start only."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return _is_loopback(self.chat_host)

    @property
    def mail_configured(self) -> bool:
        """Whether there is a mail account; without one mails become files in ``outbox``."""
        return bool(self.sender_email)

    @property
    def verify_email(self) -> bool:
        """Whether an address has to be proved by a code that is sent to it."""
        return self.verify == "yes" or (self.verify == "auto" and not self.loopback and self.mail_configured)

    @property
    def tls_on(self) -> bool:
        """Whether the chat itself speaks TLS."""
        given = self.tls_cert is not None and self.tls_key is not None
        return self.tls != "off" and (given or not self.loopback)

    @property
    def own_certificate(self) -> Path:
        """Where the server keeps the certificate that it makes when it is given none: beside what else it keeps."""
        nowhere = self.chat_db == ":memory:" or is_url(self.chat_db)
        folder = self.folder if nowhere else Path(self.chat_db).parent
        return folder / "chatmail-tls.pem"

    @property
    def smtp(self) -> Smtp | None:
        """The mail server, None without a mail account or where nobody can know it."""
        host = self.smtp_host or _HOSTS.get(self.sender_email.rpartition("@")[2].lower(), "")
        if not self.sender_email or not host:
            return None
        tls_port = self.smtp_security == "tls" or (self.smtp_security == "auto" and host in _TLS_PORT_ONLY)
        port = self.smtp_port or (465 if tls_port else 587)
        if self.smtp_security != "auto":
            return Smtp(host, port, self.smtp_security)
        relay = _is_loopback(host) and not self.password
        return Smtp(host, port, "tls" if port == 465 else "none" if relay else "starttls")

    @property
    def warnings(self) -> list[str]:
        """What works but may surprise: a sentence each."""
        return list(_warnings(self))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _warnings(s: Settings) -> Iterator[str]:
    if not s.loopback and not s.verify_email:
        why = "VERIFY_EMAIL=no" if s.mail_configured else "no mail account (SENDER_EMAIL)"
        yield (
            f"CHAT_HOST={s.chat_host} and {why}: addresses are not proved, so anybody who can connect can come in "
            "under any free name and address"
            + (", and what is written to them is mailed there." if s.mail_configured else ".")
        )
    if s.verify_email and not s.mail_configured:
        yield f"VERIFY_EMAIL=yes without a mail account: the codes are only in the folder {s.outbox}."
    if not s.loopback and not s.tls_on:
        yield (
            f"CHAT_HOST={s.chat_host} with TLS=off: everything said crosses the network in clear. "
            "Leave TLS=auto, or use a tunnel."
        )
    if s.smtp and s.smtp.security == "none" and s.password:
        yield f"SMTP_SECURITY=none: the password goes to {s.smtp.host} in clear."
    elif s.smtp and s.smtp.security == "none" and not _is_loopback(s.smtp.host):
        yield f"SMTP_SECURITY=none: mails go to {s.smtp.host} in clear."
    if s.password and not s.sender_email:
        yield "PASSWORD is set but SENDER_EMAIL is not: no mail is sent."
    redis = host_in_clear(s.chat_db)
    if redis and not _is_loopback(redis):
        yield f"CHAT_DB=redis://…: everything said goes to {redis} in clear. rediss:// encrypts it, or a tunnel does."


class Row(NamedTuple):
    """One setting: its key in .env, how it is read, what stands for its value in the help, a line of help."""

    key: str
    read: values.Reader
    metavar: str
    help: str
    name: str = ""

    @property
    def field(self) -> str:
        """The field of ``Settings``."""
        return self.name or self.key.lower()

    @property
    def default(self) -> str:
        """Its default as it would be written."""
        default = getattr(Settings, self.field)
        match default:
            case None | ():
                return ""
            case Rate(burst=burst, per_second=per_second):
                return f"{burst:g}/{per_second:g}"
            case float():
                return f"{default:g}"
        return str(default)

    @property
    def option(self) -> str:
        """The option of the command line, "" for the password."""
        return "" if self.key == "PASSWORD" else "--" + self.key.lower().removeprefix("chat_").replace("_", "-")


_size = partial(values.whole, low=1, high=1_000_000)
_security = partial(values.choice, among="auto tls starttls none")
TABLE = (
    Row("SENDER_EMAIL", values.address, "EMAIL", "address of the mail account; without one, mails become files"),
    Row("PASSWORD", values.password, "", "its password, often an app password"),
    Row("SMTP_HOST", values.host, "HOST", "its mail server; known for Gmail, Yahoo, iCloud, Fastmail, GMX and more"),
    Row(
        "SMTP_PORT",
        partial(values.whole, low=1, high=65535),
        "PORT",
        "its port; 587, or 465 where the provider wants that",
    ),
    Row(
        "SMTP_SECURITY",
        _security,
        "HOW",
        "tls, starttls, none, or auto: tls on port 465, none on this machine without PASSWORD, else starttls",
    ),
    Row("CHAT_HOST", values.host, "HOST", "address to listen on; 0.0.0.0: every network"),
    Row("CHAT_PORT", partial(values.whole, low=0, high=65535), "PORT", "port to listen on; 0: any free one"),
    Row(
        *("CHAT_DB", values.database, "FILE"),
        "where everything is kept; :memory: keeps nothing once the server has ended; a URL, redis://HOST:6379/0, keeps "
        "it in a Redis that servers may share",
    ),
    Row("OUTBOX", values.in_folder, "FOLDER", "where mails are written while there is no mail account"),
    Row("TLS", partial(values.choice, among="auto off"), "WHEN", "auto (off loopback, or with TLS_CERT), off"),
    Row("TLS_CERT", values.file, "FILE", "certificate with its chain, PEM; without one, TLS takes one of its own"),
    Row("TLS_KEY", values.file, "FILE", "its private key, PEM"),
    Row(
        *("VERIFY_EMAIL", partial(values.choice, among="auto yes no"), "WHEN"),
        "prove addresses by a code: auto (off loopback, with a mail account), yes, no",
        name="verify",
    ),
    Row("ALLOWED_EMAILS", values.allowed, "LIST", "who may join, as in @example.org,bob@x.org; empty: everybody"),
    Row("HISTORY", partial(values.whole, low=0, high=1_000), "N", "messages shown to who comes in"),
    Row(
        "KEEP_DAYS",
        partial(values.whole, low=1, high=36_500),
        "DAYS",
        "how long everything that was said is kept",
    ),
    Row("MAIL_WINDOW", values.seconds, "SECONDS", "direct messages within it share one mail"),
    Row("MOTD", values.text, "TEXT", "message of the day, shown to who comes in, unless /motd has set another one"),
    Row("MAX_CLIENTS", _size, "N", "people at once"),
    Row("MAX_PER_IP", _size, "N", "people at once from one IP address; this machine is exempt"),
    Row("RATE", values.rate, "N/N", "messages at once / a second for each person, or off"),
    Row(
        "PRESENCE_MAX",
        partial(values.whole, low=0, high=10_000),
        "N",
        "above so many people, comings and goings go untold",
    ),
    Row(
        "MAX_UNJOINED_PER_IP",
        _size,
        "N",
        "connections from one IP address that have not joined; this machine is exempt",
    ),
    Row("JOIN_TIME", values.seconds, "SECONDS", "how long a connection has to join"),
    Row("JOIN_ERRORS", _size, "N", "mistakes while joining, after which a connection is closed"),
    Row("TLS_TIME", values.seconds, "SECONDS", "how long a connection has for its TLS handshake"),
    Row(
        "SILENCE_TIME",
        partial(values.seconds, low=30),
        "SECONDS",
        "a client that says nothing for so long is gone; ours pings every 25",
    ),
    Row("SLOW_TIME", values.seconds, "SECONDS", "a connection that takes nothing for so long is closed"),
    Row("BAD_FRAMES", _size, "N", "lines that are no frames, after which a connection is closed"),
    Row("JOURNAL_ENTRIES", _size, "N", "the newest entries, kept in memory for those who lag behind"),
    Row("JOURNAL_SIZE", _size, "KIB", "at most so much of them, in KiB"),
    Row("SEND_BUFFER", _size, "KIB", "what the system may hold of one connection's output, in KiB"),
    Row("LOG_LEVEL", partial(values.choice, among="debug info warning error"), "LEVEL", "what is logged, at the least"),
    Row("LOG_FILE", values.in_folder, "FILE", "what is logged also goes there, a line each, with the time in UTC"),
    Row(
        *("LOG_FORMAT", partial(values.choice, among="text json"), "FORMAT"),
        "text, or json: an object a line, in LOG_FILE and, without a terminal, on standard output",
    ),
    Row("BACKLOG", _size, "N", "connections that may wait in the system until they are accepted"),
)


def load(argv: Sequence[str], environ: Mapping[str, str], folder: Path) -> Settings:
    """The settings of this start.

    Args:
        argv: the command line without the name of the program; ``--help`` and the like end the program.
        environ: the environment.
        folder: where ``.env`` is, and where relative paths start; normally the current folder.

    Raises:
        SettingsError: with every mistake there is.
    """
    options = vars(_parser().parse_args(argv))
    mistakes: list[str] = []
    written = _read_env_file(folder / ".env", mistakes)
    chosen: dict[str, Any] = {}
    wrong: set[str] = set()
    for row in TABLE:
        sources = ((row.option, options.get(row.field)), ("the environment", environ.get(row.key)))
        given = ((source, value) for source, value in (*sources, (".env", written.get(row.key))) if value is not None)
        source, value = next(given, ("", ""))
        if not value.strip():
            value = row.default
        try:
            if value:
                chosen[row.field] = row.read(value.strip() if row.option else value, folder)
        except ValueError as error:
            wrong.add(row.key)
            shown = f"={_shorten(public(value) if row.field == 'chat_db' else value)}" if row.option else ""
            mistakes.append(f"{row.key}{shown} (from {source}) should be {error}")
    settings = Settings(folder=folder, check_mail=_test_address(options["check_mail"], mistakes), **chosen)
    if has_password(options["chat_db"] or "") and "CHAT_DB" not in wrong:
        mistakes.append("CHAT_DB with a password should stand in .env or the environment: everybody sees options")
    mistakes += [text for keys, text in _contradictions(settings) if not keys & wrong]
    if mistakes:
        raise SettingsError(mistakes)
    return settings


def _test_address(given: str | None, mistakes: list[str]) -> str | None:
    """Where ``--check-mail`` sends its mail: "" for the sender's own address, None when it was not asked for."""
    try:
        return check_email(given) if given else given
    except BadEmail as error:
        mistakes.append(f"--check-mail: {error}")
        return None


def _contradictions(s: Settings) -> Iterator[tuple[set[str], str]]:
    """What is wrong between several settings, with the keys that it is about."""
    mail = {"SENDER_EMAIL", "PASSWORD", "SMTP_HOST"}
    if s.sender_email and not s.password and not s.smtp_host:
        yield (
            mail,
            f"PASSWORD is missing: SENDER_EMAIL={s.sender_email} needs it, or SMTP_HOST a relay that asks for none",
        )
    if s.sender_email and not s.smtp:
        domain = s.sender_email.rpartition("@")[2]
        yield mail, f"SMTP_HOST is missing: the mail server of {domain} is not known here; its provider names it"
    if s.smtp_security == "starttls" and s.smtp_port == 465:
        yield {"SMTP_SECURITY", "SMTP_PORT"}, "SMTP_SECURITY=starttls does not go with SMTP_PORT=465, which speaks tls"
    if s.journal_entries < s.history:
        keys = {"JOURNAL_ENTRIES", "HISTORY"}
        yield keys, f"JOURNAL_ENTRIES={s.journal_entries} is too few for HISTORY={s.history}: history comes out of it"
    if (s.tls_cert is None) != (s.tls_key is None):
        given, missing = ("TLS_CERT", "TLS_KEY") if s.tls_cert else ("TLS_KEY", "TLS_CERT")
        yield {"TLS_CERT", "TLS_KEY"}, f"{missing} is missing: it belongs to {given}"


def _shorten(value: str) -> str:
    return repr(value if len(value) <= 60 else value[:59] + "…")


def _read_env_file(path: Path, mistakes: list[str]) -> dict[str, str]:
    """The values of ``.env``, if it is there; what cannot be read becomes mistakes that quote no line of it."""
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it should be UTF-8"
        mistakes.append(f"{path} cannot be read: {why}")
        return {}
    statements = list(parse_stream(StringIO(text)))
    good = "".join(statement.original.string for statement in statements if not statement.error)
    lines = [statement.original.line for statement in statements if statement.error]
    mistakes += [f"{path}, line {line}, should be KEY=value; is a quote left open?" for line in lines]
    written = dotenv_values(stream=StringIO(good), interpolate=False)  # a password may hold ${this}
    known = [row.key for row in TABLE]
    for key, value in written.items():
        meant = difflib.get_close_matches(key.upper(), known, n=1, cutoff=0.8)
        if key not in known and meant:
            mistakes.append(f"{_shorten(key)} in {path} is no setting; did you mean {meant[0]}?")
        elif key in known and value is None:
            mistakes.append(f"{key} in {path} has no value: write {key}=, or nothing")
    return {key: value for key, value in written.items() if value is not None}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chatmail-server",
        description="Start a chat whose direct messages also reach people by email.",
        epilog="Each of these can also stand in the environment or in a file .env, under the name in brackets: an "
        "option wins over the environment, that over .env. The password of the mail account is PASSWORD, and no "
        "option, since everybody on a machine sees options. Without a mail account everything works, and mails are "
        "written as files.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chatmail {__version__}")
    parser.add_argument(
        "--check-mail",
        metavar="ADDRESS",
        nargs="?",
        const="",
        help="do not serve: send a test mail to ADDRESS, or to SENDER_EMAIL itself, and tell step by step what works",
    )
    for row in TABLE:
        if row.option:
            known = f"{row.key}={row.default}" if row.default else row.key
            parser.add_argument(row.option, dest=row.field, metavar=row.metavar, help=f"{row.help} [{known}]")
    return parser
