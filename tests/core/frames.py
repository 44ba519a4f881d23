"""Every frame, and the line that it is on the wire: with all its fields, and with as few as it can have."""

from datetime import UTC, datetime

from chatmail.core import wire
from chatmail.core.decoder import Decoder
from chatmail.core.wire import WireError

TIME = datetime(2026, 11, 22, 14, 2, 11, 120_000, UTC)
TIME_TEXT = '"2026-11-22T14:02:11.120000Z"'

FROM_CLIENTS: list[tuple[wire.ClientFrame, str]] = [
    (
        wire.Join(name="John", email="john@example.org"),
        '{"type":"join","name":"John","email":"john@example.org","version":1}',
    ),
    (
        wire.Join(name="John", email="john@example.org", token="t", resume=wire.Resume(epoch="k2f9", seq=41)),
        (
            '{"type":"join","name":"John","email":"john@example.org","version":1,"token":"t",'
            '"resume":{"epoch":"k2f9","seq":41}}'
        ),
    ),
    (wire.Verify(code="123456"), '{"type":"verify","code":"123456"}'),
    (wire.Say(text="hi"), '{"type":"say","text":"hi"}'),
    (wire.Say(text="hi", id="7c1e-1"), '{"type":"say","text":"hi","id":"7c1e-1"}'),
    (wire.Dm(to="Mary", text="lunch?"), '{"type":"dm","to":"Mary","text":"lunch?"}'),
    (wire.Dm(to="Mary", text="lunch?", id="7c1e-2"), '{"type":"dm","to":"Mary","text":"lunch?","id":"7c1e-2"}'),
    (wire.Who(), '{"type":"who"}'),
    (wire.Whois(name="Mary"), '{"type":"whois","name":"Mary"}'),
    (wire.Whois(name="Mary", id="i"), '{"type":"whois","name":"Mary","id":"i"}'),
    (wire.Notify(when="always"), '{"type":"notify","when":"always"}'),
    (wire.Notify(when="away"), '{"type":"notify","when":"away"}'),
    (wire.Notify(when="never", id="i"), '{"type":"notify","when":"never","id":"i"}'),
    (wire.Away(), '{"type":"away"}'),
    (wire.Away(reason="tea", id="i"), '{"type":"away","reason":"tea","id":"i"}'),
    (wire.Ping(), '{"type":"ping"}'),
    (wire.Ping(seq=43), '{"type":"ping","seq":43}'),
    (wire.Leave(), '{"type":"leave"}'),
    (wire.History(), '{"type":"history"}'),
    (wire.History(count=5, before=43, id="i"), '{"type":"history","count":5,"before":43,"id":"i"}'),
    (wire.Search(words="tea"), '{"type":"search","words":"tea"}'),
    (
        wire.Search(words="tea time", count=100, before=43, id="i"),
        '{"type":"search","words":"tea time","count":100,"before":43,"id":"i"}',
    ),
]

MARY, MARY_TEXT = wire.Person(name="Mary", since=TIME), f'{{"name":"Mary","since":{TIME_TEXT}}}'
JOHN = wire.Person(name="John", since=TIME, away="tea")
JOHN_TEXT = f'{{"name":"John","since":{TIME_TEXT},"away":"tea"}}'
ENTRY = f'"seq":7,"time":{TIME_TEXT}'

FROM_SERVERS: list[tuple[wire.ServerFrame, str]] = [
    (
        wire.Message(seq=7, time=TIME, sender="John", text="hi"),
        f'{{"type":"message",{ENTRY},"from":"John","text":"hi"}}',
    ),
    (
        wire.Message(seq=7, time=TIME, sender="John", text="hi", id="i"),
        f'{{"type":"message",{ENTRY},"from":"John","text":"hi","id":"i"}}',
    ),
    (
        wire.Direct(seq=7, time=TIME, sender="John", to="Mary", text="hi"),
        f'{{"type":"direct",{ENTRY},"from":"John","to":"Mary","text":"hi"}}',
    ),
    (
        wire.Direct(seq=7, time=TIME, sender="John", to="Mary", text="hi", id="i"),
        f'{{"type":"direct",{ENTRY},"from":"John","to":"Mary","text":"hi","id":"i"}}',
    ),
    (wire.Notice(seq=7, time=TIME, text="hi"), f'{{"type":"notice",{ENTRY},"text":"hi"}}'),
    (wire.Joined(seq=7, time=TIME, name="John"), f'{{"type":"joined",{ENTRY},"name":"John"}}'),
    (
        wire.Left(seq=7, time=TIME, name="John", reason="kicked"),
        f'{{"type":"left",{ENTRY},"name":"John","reason":"kicked"}}',
    ),
    (
        wire.Welcome(name="John", epoch="k2", seq=7, resumed=False, token="t", people=[MARY], total=1, notify="always"),
        (
            '{"type":"welcome","name":"John","epoch":"k2","seq":7,"resumed":false,"token":"t",'
            f'"people":[{MARY_TEXT}],"total":1,"notify":"always"}}'
        ),
    ),
    (
        wire.Welcome(
            name="John", epoch="k2", seq=7, resumed=True, token="t", people=[], total=0, notify="never", motd="hello"
        ),
        (
            '{"type":"welcome","name":"John","epoch":"k2","seq":7,"resumed":true,"token":"t",'
            '"people":[],"total":0,"notify":"never","motd":"hello"}'
        ),
    ),
    (
        wire.Welcome(
            name="John",
            epoch="k2",
            seq=7,
            resumed=True,
            token="t",
            people=[],
            total=0,
            notify="never",
            motd="hello",
            seen=5,
        ),
        (
            '{"type":"welcome","name":"John","epoch":"k2","seq":7,"resumed":true,"token":"t",'
            '"people":[],"total":0,"notify":"never","motd":"hello","seen":5}'
        ),
    ),
    (
        wire.Challenge(email="j***@example.org", expires=TIME),
        f'{{"type":"challenge","email":"j***@example.org","expires":{TIME_TEXT}}}',
    ),
    (wire.Ack(), '{"type":"ack"}'),
    (wire.Ack(id="i", seq=7), '{"type":"ack","id":"i","seq":7}'),
    (
        wire.Receipt(seq=7, to="Mary", online=True, mail="queued"),
        '{"type":"receipt","seq":7,"to":"Mary","online":true,"mail":"queued"}',
    ),
    (
        wire.Receipt(id="i", seq=7, to="Mary", online=False, mail="failed", detail="no such mailbox (5.1.1)"),
        (
            '{"type":"receipt","id":"i","seq":7,"to":"Mary","online":false,"mail":"failed",'
            '"detail":"no such mailbox (5.1.1)"}'
        ),
    ),
    (
        wire.People(people=[wire.Person(name="Mary", since=TIME, idle=61, mailed="away")], total=1),
        f'{{"type":"people","people":[{{"name":"Mary","since":{TIME_TEXT},"idle":61,"mailed":"away"}}],"total":1}}',
    ),
    (wire.People(people=[MARY, JOHN], total=9), f'{{"type":"people","people":[{MARY_TEXT},{JOHN_TEXT}],"total":9}}'),
    (wire.Gap(missed=3), '{"type":"gap","missed":3}'),
    (wire.Page(entries=[], more=False), '{"type":"page","entries":[],"more":false}'),
    (
        wire.Page(entries=[wire.Notice(seq=7, time=TIME, text="hi")], more=True, id="i"),
        f'{{"type":"page","entries":[{{"type":"notice",{ENTRY},"text":"hi"}}],"more":true,"id":"i"}}',
    ),
    (wire.Profile(name="Mary", mailed="never"), '{"type":"profile","name":"Mary","mailed":"never"}'),
    (
        wire.Profile(name="John", mailed="always", since=TIME, away="tea", idle=61, id="i"),
        f'{{"type":"profile","name":"John","mailed":"always","since":{TIME_TEXT},"away":"tea","idle":61,"id":"i"}}',
    ),
    (wire.Pong(), '{"type":"pong"}'),
    (wire.Error(code="banned", text="no"), '{"type":"error","code":"banned","text":"no"}'),
    (
        wire.Error(code="too-long", text="no", id="i", field="text"),
        '{"type":"error","code":"too-long","text":"no","id":"i","field":"text"}',
    ),
    (wire.Bye(reason="full", retry=True), '{"type":"bye","reason":"full","retry":true}'),
]


def client(data: bytes | str, *pieces: bytes, limit: int = wire.LINE_MAX) -> list[wire.ClientFrame | WireError]:
    """What a server makes of these bytes of a client."""
    decoder = Decoder[wire.ClientFrame](wire.ClientFrame, limit)
    data = data.encode() if isinstance(data, str) else data
    return [frame for piece in (data, *pieces) for frame in decoder.feed(piece)]
