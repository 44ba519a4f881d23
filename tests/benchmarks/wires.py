"""What each server wants to hear and says: how a connection joins, how a message is sent, how one comes out again.

A message is the same 100 bytes everywhere: who sent it, its number, when it was sent, and dots. So all that a load
knows of a server is what stands around them.
"""

import re
from collections.abc import Sequence

TEXT_SIZE = 100
TEXT = b"%03d %%09d %019d " + b"." * (TEXT_SIZE - 34)
"""The sender, then left open the number, then the time in nanoseconds."""
TEXT_AGAIN = rb"(?P<sender>\d{3}) (?P<number>\d{9}) (?P<time>\d{19}) \.{%d}" % (TEXT_SIZE - 34)


class Wire:
    """One line in, the same line out, for everybody: what the relay speaks. It greets everybody with a line."""

    frame: re.Pattern[bytes] = re.compile(TEXT_AGAIN + rb"\n")
    """One delivery, whole. With a group ``seq``, the server numbers what it delivers."""
    newlines = 1
    """So many are in one delivery."""
    mentions = 1
    """So often a frame to send holds the number of its message."""
    echoes = True
    """Whether who sends something gets it, too."""
    reply: bytes | None = None
    """What a connection that sends gets for each message, when people listen on one and send on another; ``%d`` is the
    number of listeners."""
    sender_hello = b""
    """What such a connection says first."""
    goodbye = b""
    """What makes the server hang up."""
    welcome: re.Pattern[bytes] = re.compile(rb"^hello\n")
    """Where it stands in what came, somebody is in."""
    settled: re.Pattern[bytes] | None = None
    """Where it stands, nothing more will come that was not said; None: as soon as somebody is in."""

    waits = False
    """Whether servers of this kind leave Nagle's algorithm on, and so wait for what they wrote to be acknowledged."""
    nudge = b""
    """What makes a server that went to sleep over lines it has read go on with them."""

    def hello(self, number: int) -> bytes:
        """What this connection says first."""
        return b""

    def answers(self, number: int, heard: bytes) -> Sequence[bytes]:
        """What this connection is to say to all that has come since its beginning, until it is settled."""
        return ()

    def template(self, sender: int, time: int = 0) -> bytes:
        """A frame to send, for ``%`` with the number of the message."""
        return TEXT % (sender, time) + b"\n"

    def mark(self, sender: int, number: int) -> bytes:
        """A frame to send, that everybody gets, its sender as well."""
        return self.template(sender) % ((number,) * self.mentions)


class Chat(Wire):
    """JSON Lines, as chatmail speaks it, and the textbooks' servers as far as they have it."""

    frame = re.compile(
        rb'\{"type":"message","seq":(?P<seq>\d+),"time":"[^"]+","from":"reader\d+","text":"%s","id":"m\d+"\}\n'
        % TEXT_AGAIN
    )
    mentions = 2
    welcome = re.compile(rb'"type":"welcome"')
    goodbye = b'{"type":"leave"}\n'
    direct: re.Pattern[bytes] = re.compile(
        rb'\{"type":"direct","seq":(?P<seq>\d+),"time":"[^"]+","from":"reader(?P<author>\d+)","to":"reader(?P<reader>\d+)"'
        rb',"text":"%s","id":"d(?P<id>\d+)"\}\n' % TEXT_AGAIN
    )
    """A direct message, as its two ends get it."""
    receipt: re.Pattern[bytes] = re.compile(
        rb'\{"type":"receipt","id":"d(?P<id>\d+)","seq":(?P<seq>\d+),"to":"reader(?P<reader>\d+)",'
        rb'"online":true,"mail":"(?P<mail>\w+)"(?:,"detail":"[^"]*")?\}\n'
    )

    def hello(self, number: int) -> bytes:
        return b'{"type":"join","name":"reader%d","email":"reader%d@example.org","version":1}\n' % (number, number)

    def template(self, sender: int, time: int = 0) -> bytes:
        return b'{"type":"say","text":"%s","id":"m%%d"}\n' % (TEXT % (sender, time))

    def dm(self, author: int, reader: int, number: int) -> bytes:
        """A direct message, to send."""
        text = TEXT % (author, 0) % number
        return b'{"type":"dm","to":"reader%d","text":"%s","id":"d%d"}\n' % (reader, text, number)


class Redis(Wire):
    """RESP2. A connection that listens may not publish there, so a sender has two."""

    frame = re.compile(rb"\*3\r\n\$7\r\nmessage\r\n\$1\r\nc\r\n\$%d\r\n%s\r\n" % (TEXT_SIZE, TEXT_AGAIN))
    newlines = 7
    reply = b":%d\r\n"
    sender_hello = b"PING\r\n"
    welcome = re.compile(rb"^(\*3\r\n\$9\r\nsubscribe\r\n\$1\r\nc\r\n:1|\+PONG)\r\n")

    def hello(self, number: int) -> bytes:
        return b"SUBSCRIBE c\r\n"

    def template(self, sender: int, time: int = 0) -> bytes:
        return b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$%d\r\n%s\r\n" % (TEXT_SIZE, TEXT % (sender, time))


class Nats(Wire):
    """A server asks everybody once, some two seconds after they came, to measure the way; that is waited for."""

    frame = re.compile(rb"MSG c 1 %d\r\n%s\r\n" % (TEXT_SIZE, TEXT_AGAIN))
    newlines = 2
    welcome = re.compile(rb"PONG\r\n")
    settled = re.compile(rb"PING\r\n")

    def hello(self, number: int) -> bytes:
        return b'CONNECT {"verbose":false,"pedantic":false,"echo":true}\r\nSUB c 1\r\nPING\r\n'

    def answers(self, number: int, heard: bytes) -> Sequence[bytes]:
        return [b"PONG\r\n"] * heard.count(b"\r\nPING\r\n")

    def template(self, sender: int, time: int = 0) -> bytes:
        return b"PUB c %d\r\n%s\r\n" % (TEXT_SIZE, TEXT % (sender, time))


class Irc(Wire):
    """Nobody gets what they said themselves.

    ngircd takes but a few of the lines it has read, and then waits a second unless something comes: an empty line does.
    """

    frame = re.compile(rb":u\d+!\S+ PRIVMSG \S+ :%s\r\n" % TEXT_AGAIN)
    echoes = False
    waits = True
    nudge = b"\r\n"
    welcome = re.compile(rb":\S+ 366 ")  # the end of the list of who is in the channel

    def hello(self, number: int) -> bytes:
        return b"NICK u%d\r\nUSER u 0 * :u\r\n" % number

    def answers(self, number: int, heard: bytes) -> Sequence[bytes]:
        asked = re.findall(rb"^(?:PING (\S+)|:\S+ 001 .*)\r\n", heard, re.MULTILINE)
        return [b"PONG %s\r\n" % token if token else b"JOIN #c\r\n" for token in asked]

    def template(self, sender: int, time: int = 0) -> bytes:
        return b"PRIVMSG #c :" + TEXT % (sender, time) + b"\r\n"

    def mark(self, sender: int, number: int) -> bytes:
        own = self.template(sender).replace(b"#c", b"u%d" % sender, 1)
        return (self.template(sender) + own) % (number, number)


class Told(Chat):
    """The same where people come and go, of which everybody is told."""

    frame = re.compile(
        rb'\{"type":"(?:message|joined|left)","seq":(?P<seq>\d+),"time":"[^"]+",'
        rb'(?:"from":"reader\d+","text":"%s","id":"m\d+"|"name":"reader\d+"(?:,"reason":"[^"]*")?)\}\n' % TEXT_AGAIN
    )


class Framed(Wire):
    """What the relay speaks, with lines like the frames that chatmail delivers, so that it moves the same bytes.

    Where several talk, the number of a frame is that of the sender's message: it may be a digit or two shorter.
    """

    frame = re.compile(
        rb'\{"type":"message","seq":\d+,"time":"[^"]+","from":"reader\d+","text":"%s","id":"m\d+"\}\n' % TEXT_AGAIN
    )
    mentions = 3

    def template(self, sender: int, time: int = 0) -> bytes:
        return (
            b'{"type":"message","seq":%%d,"time":"2026-01-01T00:00:00.000000Z","from":"reader%d","text":"%s","id":"m%%d"}\n'
            % (sender, TEXT % (sender, time))
        )


CHAT, TOLD = Chat(), Told()
WIRES: dict[str, Wire] = {
    "chat": CHAT,
    "framed": Framed(),
    "irc": Irc(),
    "line": Wire(),
    "nats": Nats(),
    "redis": Redis(),
}
