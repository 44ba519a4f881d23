"""Letting go of what is kept no longer."""

from chatmail.server.stores.redis.line import Line


async def tidy(line: Line, epoch: str, now: float, keep: float) -> int:
    """See ``Store.tidy``."""
    raise NotImplementedError
