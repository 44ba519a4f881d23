"""A mail server that takes everything, and keeps nothing but the addresses: raw sockets on epoll, as fast as Python is.

Run as a program: how many mails to expect, and for TLS a file with a certificate and its key. It prints the port, once
the last mail is taken the time of that (in nanoseconds), and, when its standard input ends, to whom the mails were, as
JSON. It uses nothing of chatmail, and only what Linux has.
"""

import json
import select
import socket
import ssl
import sys
import time

EHLO = b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
OK = b"250 2.0.0 Ok\r\n"
REPLIES = {b"EHLO": EHLO, b"DATA": b"354 go ahead\r\n", b"QUIT": b"221 2.0.0 Bye\r\n"}
END = b"\r\n.\r\n"
RECEIVE = 16 * 1024  # more than 128 KiB would be fetched from the system, and given back, each time


class Client:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._heard = b""
        self._in_mail = False
        self._recipients: list[str] = []

    def hear(self, taken: list[str]) -> bool:
        """Answer what came, and note whom a mail is to once it is taken; whether there may be more."""
        try:
            data = self.socket.recv(RECEIVE)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except ConnectionError:
            return False
        if not data:
            return False
        self._heard += data
        replies = b""
        while True:
            end = END if self._in_mail else b"\r\n"
            line, found, rest = self._heard.partition(end)
            if not found:
                break
            self._heard = rest
            if self._in_mail:
                taken += self._recipients
                self._recipients.clear()
                self._in_mail = False
                replies += OK
                continue
            verb = line[:4].upper()
            if verb == b"RCPT":
                self._recipients.append(line[8:].strip(b"<> ").decode())
            self._in_mail = verb == b"DATA"
            replies += REPLIES.get(verb, OK)
        if replies:
            self.socket.send(replies)
        # A connection with TLS may have read more than it has given out.
        return not isinstance(self.socket, ssl.SSLSocket) or not self.socket.pending() or self.hear(taken)


def main() -> None:
    expected = int(sys.argv[1])
    context = None
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2])
    taken: list[str] = []
    clients: dict[int, Client] = {}
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server, select.epoll() as epoll:
        epoll.register(server, select.EPOLLIN)
        epoll.register(sys.stdin, select.EPOLLIN)
        print(server.getsockname()[1], flush=True)
        while True:
            for fd, _ in epoll.poll():
                if client := clients.get(fd):
                    before = len(taken)
                    if not client.hear(taken):
                        del clients[fd]
                        client.socket.close()
                    if before < expected <= len(taken):
                        print(time.monotonic_ns(), flush=True)
                elif fd == server.fileno():
                    connection, _ = server.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    if context:
                        connection = context.wrap_socket(connection, server_side=True)
                    connection.send(b"220 sink ESMTP\r\n")
                    connection.setblocking(False)
                    clients[connection.fileno()] = Client(connection)
                    epoll.register(connection, select.EPOLLIN)
                else:
                    print(json.dumps(taken))
                    return


if __name__ == "__main__":
    main()
