"""Where a Redis is: which URLs say so, and that nobody ever sees the password in one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatmail.server.place import has_password, is_url, place
from chatmail.server.settings import Settings, SettingsError, load


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1", "127.0.0.1:6379"),
        ("redis://db", "db:6379"),
        ("redis://db/", "db:6379"),
        ("redis://db:6380/0", "db:6380"),
        ("redis://db:6380/12", "db:6380/12"),
        ("redis://[::1]:6380/1", "[::1]:6380/1"),
        ("redis://:s3cret@db", "db:6379"),
        ("redis://chat:s3cret@db:6380/0", "db:6380"),
        ("redis://chat:s3cret%40%2F%23@db:6380/0", "db:6380"),
        ("REDISS://chat:s3cret@Db.Example.org", "db.example.org:6379"),
        ("unix:///run/redis.sock", "/run/redis.sock"),
        ("unix://:s3cret@/run/redis.sock", "/run/redis.sock"),
        ("unix:///run/redis%20server.sock?db=2", "/run/redis server.sock"),
    ],
)
def test_a_redis_is_called_by_where_it_is(url: str, shown: str) -> None:
    settings = load([], {"CHAT_DB": url}, Path())
    assert settings.chat_db == url
    assert is_url(url)
    assert place(url) == f"Redis at {shown}"
    assert has_password(url) == ("s3cret" in url)
    assert "s3cret" not in f"{settings!r} {settings.warnings}"


@pytest.mark.parametrize(
    "url",
    [
        "redis:",
        "redis:db",
        "redis:/chat:s3cret@db",
        "redis://",
        "redis:///0",
        "redis://db:0",
        "redis://db:65536",
        "redis://db:s3cret",
        "redis://chat:s3cret",
        "redis://s3cret@db",
        "redis://:@db",
        "redis://chat:s3c#ret@db",
        "redis://chat:s3c/ret@db",
        "redis://chat:s3c?ret@db",
        "redis://chat:s3c ret@db",
        "redis://chat:s3c\nret@db",
        "redis://chat:s3c\tret@db",
        "redis://chat:caf\udce9@db",
        "redis://[chat:s3cret@db",
        "redis://two words",
        "redis://db/0/1",
        "redis://db/chat",
        "redis://db/0?password=s3cret",
        "redis://db?ssl_cert_reqs=none",
        "redis://db#0",
        "unix:",
        "unix://",
        "unix://run/redis.sock",
        "unix:///run/redis.sock?password=s3cret",
        "valkey://chat:s3cret@db",
        "http://chat:s3cret@db",
        "rediss:s3cret",
    ],
)
def test_what_is_no_url_of_a_redis_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load([], {"CHAT_DB": url}, Path())
    [mistake] = caught.value.mistakes
    assert mistake.startswith(f"CHAT_DB='{url.partition(':')[0]}:")
    assert "(from the environment) should be a file, :memory:, or a Redis, as in redis://host:6379/0" in mistake
    assert "s3c" not in mistake
    assert mistake.isprintable()


@pytest.mark.parametrize(
    "path", ["redis", "redis.db", "redis/chat.db", "unix/redis:6379", "./redis:x", "chat@home.db", "./db:6379", "db:x"]
)
def test_a_path_stays_a_path(path: str) -> None:
    assert load([], {"CHAT_DB": path}, Path("there")).chat_db == str(Path("there") / path)


@pytest.mark.parametrize(
    ("given", "shown", "url", "file"),
    [
        ("localhost:6390", "localhost:6390", "redis://localhost:6390/0", "./localhost:6390"),
        ("[::1]:6379/2", "[::1]:6379/2", "redis://[::1]:6379/2", "./[::1]:6379/2"),
        (":s3cret@db.example.org:6379", "…@db.example.org:6379", "redis://:password@db.example.org:6379/0",
         "./db.example.org:6379"),
    ],
)  # fmt: skip
def test_where_a_redis_seems_to_be_meant_a_file_must_be_named_as_one(
    given: str, shown: str, url: str, file: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load([], {"CHAT_DB": given}, Path())
    assert caught.value.mistakes == (
        f"CHAT_DB={shown!r} (from the environment) should be {url} for a Redis, or {file} for a file",
    )


def test_a_password_is_no_option() -> None:
    with pytest.raises(SettingsError) as caught:
        load(["--db=redis://:s3cret@db"], {}, Path())
    assert caught.value.mistakes == (
        "CHAT_DB with a password should stand in .env or the environment: everybody sees options",
    )
    assert load(["--db=redis://db"], {"CHAT_DB": "redis://:s3cret@db"}, Path()).chat_db == "redis://db"


@given(st.sampled_from(["redis", "rediss", "unix", "valkey", "REDIS"]), st.text(min_size=1), st.text())
def test_whatever_stands_in_a_url_its_password_is_not_shown(scheme: str, password: str, rest: str) -> None:
    url = f"{scheme}://chat:s3cret{password}@{rest}"
    try:
        settings: Settings | None = load([], {"CHAT_DB": url}, Path())
        shown = f"{settings} {settings.warnings} {place(url)}" if settings else ""
    except SettingsError as error:
        shown = f"{error} {error!r}"
    assert "s3cret" not in shown
