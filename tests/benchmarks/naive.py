"""What chatmail is measured against: the chat server of the textbooks.

One task a connection reads a line, then goes round all clients: encode, write, wait until the socket has drained. It
speaks just enough of the wire for the load: ``join`` is answered with ``welcome``, ``say`` becomes a ``message`` with
a number for everybody. No checks, no history, no slow readers.
"""

import asyncio
import json
import resource
from datetime import UTC, datetime
from itertools import count

clients: list[asyncio.StreamWriter] = []
numbers = count(1)


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    name = ""
    try:
        while line := await reader.readline():
            frame = json.loads(line)
            if frame["type"] == "join":
                name = frame["name"]
                clients.append(writer)
                writer.write(b'{"type":"welcome"}\n')
                await writer.drain()
            elif frame["type"] == "say":
                time = datetime.now(UTC).isoformat(timespec="milliseconds")
                message = {"type": "message", "seq": next(numbers), "time": time, "from": name, "text": frame["text"]}
                await broadcast(json.dumps(message | {"id": frame["id"]}, separators=(",", ":")))
    except ConnectionError:
        pass
    finally:
        if writer in clients:
            clients.remove(writer)
        writer.close()


async def broadcast(message: str) -> None:
    for client in clients.copy():
        client.write((message + "\n").encode())
        await client.drain()


async def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = await asyncio.start_server(converse, "127.0.0.1", 0, backlog=1024)
    print("naive listens on 127.0.0.1 port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
