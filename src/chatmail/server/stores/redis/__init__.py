"""The store on Redis, for several servers that are one chat.

The stream is the log of what was committed; the hashes are the state at its end, written by the same script. Every
server follows the stream, and takes in every change in that one order. A script commits a batch, whole, and nothing
else writes but beats and tidying.

    log       1-0    2-0    2-1    2-2    3-0    …      N-0 is entry N; N-1, N-2 … came after it and have no entry
              ┌──────┬──────┬──────┬──────┬──────┐
              │  a   │  b   │  a   │  c   │  b   │      the server that committed it
              └──────┴──────┴──────┴──────┴──────┘
                       ↑ b is here: the next it takes in is 2-1, and 2-2; of 3-0 it knew before all others
"""

from chatmail.server.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
