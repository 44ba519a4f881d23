"""Looking up what was said, and what the operator did. It only reads."""

from chatmail.core.records import Found, Question
from chatmail.server.stores.redis.line import Line


async def look_up(line: Line, query: Question) -> Found:
    """See ``Store.look_up``."""
    raise NotImplementedError
