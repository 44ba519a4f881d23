"""The other chat server of the textbooks: a thread for each client, which reads a line and sends it to all.

It speaks what ``naive`` speaks. A lock keeps the list of clients and the order of messages.
"""

import json
import resource
import socket
import threading
from datetime import UTC, datetime
from itertools import count

clients: list[socket.socket] = []
numbers = count(1)
lock = threading.Lock()


def converse(client: socket.socket) -> None:
    name = ""
    try:
        for line in client.makefile("rb"):
            frame = json.loads(line)
            if frame["type"] == "join":
                name = frame["name"]
                with lock:
                    clients.append(client)
                    client.sendall(b'{"type":"welcome"}\n')
            elif frame["type"] == "say":
                with lock:
                    broadcast(name, frame)
    except OSError:
        pass
    finally:
        with lock:
            if client in clients:
                clients.remove(client)
        client.close()


def broadcast(name: str, frame: dict[str, str]) -> None:
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    message = {"type": "message", "seq": next(numbers), "time": time, "from": name, "text": frame["text"]}
    data = (json.dumps(message | {"id": frame["id"]}, separators=(",", ":")) + "\n").encode()
    for client in clients.copy():
        client.sendall(data)


def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    threading.stack_size(256 * 1024)
    server = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print("threaded listens on 127.0.0.1 port", server.getsockname()[1], flush=True)
    while True:
        client, _ = server.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=converse, args=(client,), daemon=True).start()


if __name__ == "__main__":
    main()
