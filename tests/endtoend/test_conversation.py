"""A team's first conversation, as people have it: installed programs, real terminals, a real mail server."""

import email
import email.policy
import signal

from tests.endtoend.conftest import Desk
from tests.server.mailserver import MailServer


async def test_people_talk_write_to_each_other_and_get_mail(desk: Desk) -> None:
    async with MailServer() as mail:
        server = await desk.server(SENDER_EMAIL="chat@team.example", SMTP_HOST="127.0.0.1", SMTP_PORT=str(mail.port))
        await server.shows(f"port {desk.port}")

        # John is asked for what is missing, and again when it is wrong.
        john = await desk.client("john")
        await john.shows("name")
        john.type("John\n")
        await john.shows("mail")
        john.type("john@example\n")
        await john.shows("no email address")
        john.type("john@example.org\n")
        await john.shows("John@")

        mary = await desk.client("mary", "--name", "Mary", "--email", "mary@example.org")
        await john.shows("Mary joined")

        # Both see what is said, once, above the line they type in.
        john.type("hello everybody\n")
        await mary.shows("hello everybody")
        await john.shows("hello everybody")
        mary.type("half a sent")
        await mary.until(lambda: "half a sent" in mary.cursor_line, "what Mary types")
        john.type("second thought\n")
        await mary.shows("second thought")
        await mary.until(lambda: "half a sent" in mary.cursor_line, "what Mary types, still in her input line")
        mary.type("ence\n")
        for terminal in (john, mary):
            await terminal.shows("half a sentence")
        assert [mary.count(text) for text in ("hello everybody", "second thought", "half a sentence")] == [1, 1, 1]

        # A direct message reaches its reader only, and the mailbox.
        ann = await desk.client("ann", "--name", "Ann", "--email", "ann@example.org")
        await john.shows("Ann joined")
        john.type("/dm Mary lunch at noon?\n")
        await mary.shows("lunch at noon?")
        await john.shows("lunch at noon?")
        await mail.received(1)
        [letter] = mail.mails
        message = email.message_from_bytes(letter.content, policy=email.policy.SMTP)
        assert letter.to == ["mary@example.org"]
        assert "> lunch at noon?" in message.get_content()
        john.type("/dm Nobody hi\n")
        await john.shows("nobody here was ever called")

        # What the operator types at the server's prompt does what it says.
        server.type("/broadcast tea is ready\n")
        for terminal in (john, mary, ann):
            await terminal.shows("tea is ready")
        assert ann.count("lunch at noon?") == 0
        server.type("/kick Ann go home\n")
        await ann.shows("go home")
        assert await ann.ends() == 4
        await john.shows("Ann left")

        # A DM to somebody who left is kept for them.
        mary.type("/quit\n")
        assert await mary.ends() == 0
        await john.shows("Mary left")
        john.type("/dm Mary see you tomorrow\n")
        await john.shows("see you tomorrow")
        mary = await desk.client("mary", "--name", "Mary", "--email", "mary@example.org")
        await mary.shows("see you tomorrow")

        server.process.send_signal(signal.SIGTERM)
        assert await server.ends() == 0
        assert b"Traceback" not in server.raw + john.raw + mary.raw


async def test_a_newcomer_looks_further_back_than_what_is_shown_at_first(desk: Desk) -> None:
    """To all that was said to everybody; what others said to each other is not found."""
    server = await desk.server(HISTORY="2", RATE="off")
    await server.shows(f"port {desk.port}")
    john = await desk.client("john", "--name", "John", "--email", "john@example.org")
    await john.shows("John@")
    john.type("there is tea in the kitchen\n/dm John I hid the good tea\n")
    john.type("".join(f"line {number}\n" for number in range(1, 111)))
    await john.shows("you: line 110")

    mary = await desk.client("mary", "--name", "Mary", "--email", "mary@example.org")
    await mary.shows("John: line 110")
    assert mary.count("John: ") == 2
    mary.type("/search tea\n")
    await mary.shows("-- end of the search")
    assert (mary.count("there is tea in the kitchen"), mary.count("I hid the good tea")) == (1, 0)

    # More than fits on one page of the wire; then the conversation goes on below.
    mary.type("/history 105\n")
    await mary.shows("-- end of the look back; /history 210 shows more")
    john.type("that was it\n")
    await mary.shows("that was it")
    lines = mary.lines[mary.lines.index("-- the last 105 messages:") :]
    assert [line[6:] for line in lines[1:106]] == [f"John: line {number}" for number in range(6, 111)]
    assert lines[107][6:] == "John: that was it"

    john.type("/search hid\n")
    await john.shows("-- end of the search")
    assert john.count("you → you (direct): I hid the good tea") == 2
    server.process.send_signal(signal.SIGTERM)
    assert await server.ends() == 0
    assert b"Traceback" not in server.raw + john.raw + mary.raw
