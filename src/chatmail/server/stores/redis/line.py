"""A connection to Redis, made when it is needed, and what can go wrong on it. It knows no key and no record.

A commit has to know what a fault means for what it sent. So there are three: Redis did not do it (``Refused``); it was
never sent (``Unreachable``); nobody knows (``Broken``).
"""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    RedisError,
    ResponseError,
)

from chatmail.server.stores import StoreError

PATIENCE = 5.0
"""So many seconds a connection, and then an answer, may take."""

Argument = str | bytes | int | float
Command = tuple[Argument, ...]

_REFUSALS = (ResponseError, AuthenticationError, AuthorizationError, BusyLoadingError)

AWAY = "the server can't reach what keeps the chat; try again later"
UNABLE = "what keeps the chat takes nothing at the moment; try again later"
"""What people are told, who need not know where Redis is, nor can help it."""

_REMEDIES = {
    "OOM": "Redis has no memory left; raise its maxmemory, or keep less (KEEP_DAYS)",
    "READONLY": "this Redis is a replica and takes nothing; let CHAT_DB name the master",
    "MISCONF": "Redis can't write to its disk; see its log, and make room there",
    "NOAUTH": "Redis asks for a password; put it into CHAT_DB, as in redis://:PASSWORD@HOST",
    "WRONGPASS": "Redis does not take this name and password; put the right ones into CHAT_DB",
    "NOPASS": "Redis has no password; take it out of CHAT_DB",
    "NOPERM": "Redis does not let this user do it; give it more rights (ACL SETUSER)",
    "LOADING": "Redis is still reading what it keeps; try again in a while",
    "BUSY": "Redis is busy with the script of somebody else; end that one (SCRIPT KILL)",
    "NOREPLICAS": "Redis has fewer replicas than it wants (min-replicas-to-write); see to these",
    "MASTERDOWN": "this Redis is a replica that has lost its master; let CHAT_DB name a master",
    "CLUSTERDOWN": "the cluster of this Redis is down; see to it",
    "MOVED": "this is one of a cluster of Redis, and not the one that keeps the chat; let CHAT_DB name that one",
}
"""By the first word of what Redis says: what the operator is told."""


class Unreachable(StoreError):  # noqa: N818 - a state, as the other two
    """There is no connection, so nothing was sent."""

    def __init__(self, text: str) -> None:
        super().__init__(text, AWAY)


class Broken(StoreError):  # noqa: N818
    """The connection broke, or the answer took too long: what was sent may be done, now or later."""

    def __init__(self, text: str) -> None:
        super().__init__(text, AWAY)


class Refused(StoreError):  # noqa: N818
    """Redis would not do it, and ``code`` is the first word of what it says; ``text`` is all of it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.code = "NOPASS" if "without any password configured" in text else text.partition(" ")[0]
        super().__init__(_REMEDIES.get(self.code, f"Redis says: {text}"), UNABLE)


class Script:
    """A script in Lua, which Redis knows by the hash of its text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Line:
    """One connection, of one who speaks at a time; it is made anew after each fault.

    Args:
        url: where Redis is: ``redis://``, ``rediss://`` or ``unix://``.

    Raises StoreError when it is none of these. Every call raises one of the three faults.
    """

    def __init__(self, url: str) -> None:
        try:
            options: dict[str, Any] = dict(parse_url(url))
            kind: type[AbstractConnection] = options.pop("connection_class", Connection)
            # The time for an answer is kept here, once and not for each part of it.
            options |= {"protocol": 2, "decode_responses": False, "socket_timeout": None}
            options.setdefault("socket_connect_timeout", PATIENCE)
            self._connection = kind(**options)
        except (RedisError, TypeError, ValueError) as error:
            raise StoreError("it is no address of a Redis; name it as in redis://HOST:6379/0") from error
        self._lock = asyncio.Lock()
        self._answered = False
        """Redis has answered there: what it speaks, and where it is, was right."""

    async def call(self, *command: Argument, patience: float = PATIENCE) -> Any:
        """The answer to one command, which may take so many seconds."""
        (answer,) = await self.calls([command], patience=patience)
        return answer

    async def calls(self, commands: Sequence[Command], *, patience: float = PATIENCE) -> list[Any]:
        """The answers to several, sent at once; the first refusal among them is raised once all were answered."""
        async with self._lock:
            await self._connect()
            try:
                async with asyncio.timeout(patience):
                    return await self._exchange(commands)
            except TimeoutError:
                raise Broken(f"Redis has not answered for {patience:g} s; see how it is") from None

    async def run(self, script: Script, key: str, *arguments: Argument) -> Any:
        """The answer of a script, which Redis may not know yet."""
        try:
            return await self.call("EVALSHA", script.sha, 1, key, *arguments)
        except Refused as refusal:
            if refusal.code != "NOSCRIPT":
                raise
        return await self.call("EVAL", script.text, 1, key, *arguments)

    async def close(self) -> None:
        """End the connection; the next call makes another."""
        with suppress(RedisError):  # it has a bound of its own
            await self._connection.disconnect()

    async def _connect(self) -> None:
        """Have a connection on which Redis answers."""
        connection = self._connection
        try:
            if connection.is_connected:
                if not (_was_reset(connection) or await connection.can_read()):
                    return
                await connection.disconnect(nowait=True)  # it was ended from the other side
            async with asyncio.timeout(PATIENCE):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_packed_command(connection.pack_command("PING"), check_health=False)
                await connection.read_response()
            self._answered = True
        except (RedisError, OSError) as error:  # TimeoutError is one
            await connection.disconnect(nowait=True)
            # Where the library shakes hands, a refusal may come wrapped.
            for reason in (error, error.__cause__):
                if isinstance(reason, _REFUSALS):
                    raise Refused(_words(reason)) from error
            why = str(error) or "no answer"
            remedy = "see whether it runs, and where" if self._answered else _remedy(connection, error)
            raise Unreachable(f"Redis can't be reached ({why}); {remedy}") from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._connection
        packed = connection.pack_command(*commands[0]) if len(commands) == 1 else connection.pack_commands(commands)
        answers = []
        refusal: Refused | None = None
        try:
            await connection.send_packed_command(packed, check_health=False)
            for _ in commands:
                try:
                    answers.append(await connection.read_response())
                except _REFUSALS as error:
                    refusal = refusal or Refused(_words(error))
                    if not connection.is_connected:
                        break
        except (RedisError, OSError) as error:
            await connection.disconnect(nowait=True)
            raise Broken(f"the connection to Redis broke ({error}); see whether it runs") from error
        except BaseException:  # an answer is still to come, which nobody would read
            await connection.disconnect(nowait=True)
            raise
        if refusal is not None:
            raise refusal
        return answers


def masked(url: str) -> str:
    """An address without what is secret in it."""
    return re.sub(r"//.*@", "//***@", url).partition("?")[0]


def _remedy(connection: AbstractConnection, error: Exception) -> str:
    """What to look at where there is no connection: one end may speak TLS and the other not."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "let CHAT_DB name it as its certificate does, and SSL_CERT_FILE the authority's that signed that"
    if isinstance(connection, UnixDomainSocketConnection) or "Connect call failed" in text:
        return "see whether it runs, and where"
    if isinstance(connection, SSLConnection):
        return (
            "see whether it runs, and speaks TLS on that port: if not, CHAT_DB begins with redis:// and not rediss://"
        )
    if isinstance(error, TimeoutError):
        return "see whether it runs, and where"
    return "see whether it runs, and whether it wants TLS on that port: then CHAT_DB begins with rediss://"


def _was_reset(connection: AbstractConnection) -> bool:
    """Whether the other side broke it off; the library sees only the ends that are in good order."""
    writer = connection._writer
    return writer is None or writer.is_closing()


def _words(error: RedisError) -> str:
    """What Redis said; the library takes the first word off the errors it knows."""
    code = error.status_code
    return f"{code} {error}" if code and not str(error).startswith(code) else str(error)
