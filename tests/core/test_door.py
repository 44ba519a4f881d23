"""The door: who may connect, who may come in under which name, and how an address is proved."""

import pytest
from msgspec import UNSET

from chatmail.core.limits import Limits
from chatmail.core.wire import (
    Bye,
    Challenge,
    Code,
    Error,
    Joined,
    Leave,
    Refused,
    Resume,
    Say,
    Verify,
    Welcome,
    stamp,
)
from tests.core.house import House, Peer, joining

VERIFY = Limits(verify_email=True)
HOST = "192.0.2.1"


def refusal(peer: Peer, name: str, email: str | None = None, token: str | None = None) -> Error:
    """What a join is refused with."""
    (error,) = peer.ask(joining(name, email, token=token))
    assert isinstance(error, Error)
    return error


class TestConnections:
    def test_no_more_than_max_clients(self) -> None:
        house = House(Limits(max_clients=2))
        first, _ = house.peer(), house.peer()
        with pytest.raises(Refused) as refused:
            house.peer()
        assert refused.value.frame() == Error(
            code=Code.SERVER_FULL, text="this server is full: 2 people are connected; try again later"
        )
        assert refused.value.final
        first.cut()
        house.peer()

    def test_a_site_of_ipv6_is_one_host(self) -> None:
        house = House(Limits(max_per_ip=1))
        peers = [house.peer(f"2001:db8:1:2::{number}") for number in range(16)]
        with pytest.raises(Refused, match="2001:db8:1:2::/64 have not joined"):
            house.peer("2001:db8:1:2:ffff::1")
        peers[0].join("Ada")
        error, _ = peers[1].ask(joining("Bo"))
        assert isinstance(error, Error)
        assert error.text == "as many people as may (1) are here from 2001:db8:1:2::/64; try again later"
        house.peer("2001:db8:1:3::1").join("Cy")

    def test_no_more_than_sixteen_of_one_host_that_have_not_joined(self) -> None:
        house = House()
        peers = [house.peer(HOST) for _ in range(16)]
        with pytest.raises(Refused) as refused:
            house.peer(HOST)
        assert (refused.value.code, refused.value.text) == (
            Code.SERVER_FULL,
            f"16 connections from {HOST} have not joined yet; let those join or end first",
        )
        house.peer("192.0.2.2")
        with pytest.raises(Refused):
            house.peer(f"::ffff:{HOST}")
        peers[0].join("Ada")
        house.peer(HOST)
        peers[1].cut()
        house.peer(HOST)

    def test_nor_than_max_per_ip_that_have(self) -> None:
        house = House(Limits(max_per_ip=2))
        ada = house.join("Ada", host=HOST)
        house.join("Bo", host=HOST)
        cy = house.peer(HOST)
        assert cy.ask(joining("Cy")) == [
            Error(code=Code.SERVER_FULL, text=f"as many people as may (2) are here from {HOST}; try again later"),
            Bye(reason=f"as many people as may (2) are here from {HOST}; try again later", retry=True),
        ]
        house.join("Cy", host="192.0.2.2")
        ada.cut()
        house.join("Di", host=HOST)

    def test_nor_when_they_all_join_in_one_moment(self) -> None:
        house = House(Limits(max_per_ip=2))
        peers = [house.peer(HOST) for _ in range(3)]
        for name, peer in zip(("Ada", "Bo", "Cy"), peers, strict=True):
            peer.send(joining(name))
        house.settle()
        assert [type(peer.frames()[0]) for peer in peers] == [Welcome, Welcome, Error]

    @pytest.mark.parametrize("gone", [False, True])
    def test_a_join_that_is_not_stored_takes_no_place(self, gone: bool) -> None:
        house = House(Limits(max_per_ip=1))
        ada, bo = house.peer(HOST), house.peer(HOST)
        ada.send(joining("Ada"))
        house.take()
        if gone:
            ada.cut()
        house.refuse()
        bo.join("Bo")

    def test_nor_more_new_names_of_one_host_than_names_per_ip_within_an_hour(self) -> None:
        house = House(Limits(names_per_ip=2))
        for name in ("Ada", "Bo"):
            house.join(name, host=HOST).ask(Leave())
        text = f"2 new names were taken from {HOST} within the hour; try again later"
        cy = house.peer(HOST)
        assert cy.ask(joining("Cy")) == [Error(code=Code.TOO_FAST, text=text, field="name")]
        cy.join("Ada")
        house.join("Cy", host="192.0.2.2")
        house.wait(3_600)
        house.join("Di", host=HOST)

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
    def test_loopback_is_exempt(self, host: str) -> None:
        house = House(Limits(max_per_ip=2))
        for name in ("Ada", "Bo", "Cy"):
            house.join(name, host=host)
        assert len([house.peer(host) for _ in range(17)]) == 17

    def test_a_host_that_is_no_address_is_counted_like_any_other(self) -> None:
        house = House()
        for _ in range(16):
            house.peer("")
        with pytest.raises(Refused):
            house.peer("")

    def test_a_banned_host_may_not_even_connect(self) -> None:
        house = House()
        house.operator.ban(HOST, 60, "flood", house.now)
        house.settle()
        with pytest.raises(Refused) as refused:
            house.peer(HOST)
        until = f"{stamp(house.now + 60):%Y-%m-%d %H:%M} UTC"
        text = f"{HOST} is banned here until {until}: flood"
        assert refused.value.frame() == Error(code=Code.BANNED, text=text)
        assert refused.value.final
        house.wait(60)
        house.peer(HOST)


class TestJoin:
    def test_a_bad_name(self) -> None:
        error = refusal(House().peer(), "no name", "nor an address")
        assert (error.code, error.field) == (Code.BAD_NAME, "name")
        assert "'no name' is no name: it holds a space" in error.text

    def test_a_bad_address(self) -> None:
        assert refusal(House().peer(), "John", "john@example") == Error(
            code=Code.BAD_EMAIL,
            text="'john@example' is no email address: after the @ comes a domain with a dot, as in name@example.org",
            field="email",
        )

    def test_the_address_is_asked_for_again_until_it_is_right(self) -> None:
        john = House().peer()
        refusal(john, "John", "john@example")
        assert john.join("John", "john@example.org").name == "John"

    @pytest.mark.parametrize("email", ["bob@x.org", "BOB@X.ORG", "anyone@Example.org"])
    def test_allowed_addresses_and_domains_may_join(self, email: str) -> None:
        house = House(Limits(allowed_emails=("@example.org", "Bob@x.org")))
        assert house.peer().join("Bob", email).name == "Bob"

    @pytest.mark.parametrize("email", ["ann@x.org", "bob@sub.example.org", "bob@x.org.evil.net"])
    def test_others_may_not(self, email: str) -> None:
        house = House(Limits(allowed_emails=("@example.org", "Bob@x.org")))
        assert refusal(house.peer(), "Bob", email) == Error(
            code=Code.NOT_ALLOWED, text=f"{email} may not join here; ask the operator to allow it", field="email"
        )

    def test_a_name_belongs_to_the_address_that_first_took_it(self) -> None:
        house = House()
        house.join("Mary").ask(Leave())
        error = refusal(house.peer(), "mary", "another@example.org")
        assert error == Error(
            code=Code.NAME_TAKEN,
            text="the name 'mary' belongs to somebody with another address; take another name",
            field="name",
        )

    def test_a_look_alike_of_it_cannot_be_taken(self) -> None:
        house = House()
        house.join("Mary")
        assert refusal(house.peer(), "M\N{CYRILLIC SMALL LETTER A}ry", "m@example.org") == Error(
            code=Code.NAME_TAKEN,
            text="the name 'M\N{CYRILLIC SMALL LETTER A}ry' looks like 'Mary', which is taken; take another name",
            field="name",
        )

    def test_a_name_that_is_being_taken_is_taken(self) -> None:
        house = House()
        first, second = house.peer(), house.peer()
        first.send(joining("Mary"))
        second.send(joining("Mary", "other@example.org"))
        house.settle()
        assert isinstance(first.frames()[0], Welcome)
        assert second.only(Error).code == Code.NAME_TAKEN

    def test_the_same_name_and_address_come_back_as_who_they_were(self) -> None:
        house = House()
        house.join("Mary").ask(Leave())
        assert house.peer().join("MARY", "Mary@Example.org").name == "Mary"
        assert house.operator.figures().accounts == 1

    def test_not_while_the_first_is_alive(self) -> None:
        house = House()
        mary = house.join("Mary")
        text = "Mary is here already, from another terminal; leave there first, or take another name"
        assert refusal(house.peer(), "Mary") == Error(code=Code.NAME_TAKEN, text=text, field="name")
        assert refusal(house.peer(), "Mary", token="1.0.forged") == Error(code=Code.NAME_TAKEN, text=text, field="name")
        mary.cut()
        assert house.peer().join("Mary").name == "Mary"

    @pytest.mark.parametrize("what", ["Mary", "mary@example.org", HOST])
    def test_who_is_banned_may_not_join(self, what: str) -> None:
        house = House()
        peer = house.peer(HOST)
        house.operator.ban(what, None, "", house.now)
        house.commit()
        if what != HOST:
            assert peer.ask(joining("Mary")) == [
                Error(code=Code.BANNED, text="Mary is banned here"),
                Bye(reason="Mary is banned here", retry=False),
            ]
        else:
            assert peer.frames() == [Bye(reason="banned", retry=False)]
        assert not peer.connected


class TestVerification:
    """With VERIFY_EMAIL, who has no token answers with a code that went to the address."""

    def challenged(self, house: House, name: str = "Mary", resume: Resume | None = None) -> tuple[Peer, str]:
        """Somebody who was sent a code, and the code."""
        peer = house.peer()
        (challenge,) = peer.ask(joining(name, resume=resume))
        assert isinstance(challenge, Challenge)
        return peer, house.codes[-1][1]

    def wrong(self, code: str) -> str:
        return f"{(int(code) + 1) % 10**6:06}"

    def test_the_right_code_leads_in(self) -> None:
        house = House(VERIFY)
        mary = house.peer()
        (challenge,) = mary.ask(joining("Mary"))
        assert isinstance(challenge, Challenge)
        assert challenge.email == "m***@example.org"
        assert challenge.expires.timestamp() == house.now + 600
        ((address, code),) = house.codes
        assert address == "mary@example.org"
        assert len(code) == 6
        assert house.posts == 1
        (letter,) = house.deliver()
        assert (letter.address, letter.content, letter.reader) == (address, f"Mary: {code}".encode(), None)
        welcome, joined = mary.ask(Verify(code=f" {code} "))
        assert isinstance(welcome, Welcome)
        assert isinstance(joined, Joined)

    def test_the_token_saves_the_code_next_time(self) -> None:
        house = House(VERIFY)
        mary, code = self.challenged(house)
        welcome = mary.ask(Verify(code=code))[0]
        assert isinstance(welcome, Welcome)
        mary.ask(Leave())
        assert house.peer().join("Mary", token=welcome.token).name == "Mary"
        assert len(house.codes) == 1

    def test_a_code_is_a_proof_and_resumes(self) -> None:
        house = House(VERIFY)
        mary, code = self.challenged(house)
        mary.ask(Verify(code=code))
        mary.cut()
        mary, code = self.challenged(house, resume=Resume(epoch="first", seq=1))
        (welcome,) = mary.ask(Verify(code=code))
        assert isinstance(welcome, Welcome)
        assert welcome.resumed

    def test_a_wrong_code_may_be_tried_five_times(self) -> None:
        house = House(VERIFY)
        mary, code = self.challenged(house)
        for left in (4, 3, 2, 1):
            assert mary.ask(Verify(code=self.wrong(code))) == [
                Error(
                    code=Code.WRONG_CODE,
                    text=f"this code is not right; look for the newest mail ({left} tries left)",
                    field="code",
                )
            ]
        over = "this code is not right, or too old, and cannot be tried again; join once more to get a new one"
        assert mary.ask(Verify(code=self.wrong(code))) == [Error(code=Code.WRONG_CODE, text=over, field="code")]
        assert mary.ask(Verify(code=code)) == [Error(code=Code.NOT_JOINED, text="no code was asked for; join first")]

    def test_the_fifth_try_may_be_right(self) -> None:
        house = House(VERIFY)
        mary, code = self.challenged(house)
        for _ in range(4):
            mary.ask(Verify(code=self.wrong(code)))
        assert isinstance(mary.ask(Verify(code=code))[0], Welcome)

    def test_a_code_gets_old(self) -> None:
        house = House(VERIFY)
        mary, code = self.challenged(house)
        house.tick(599.9)
        other, second = self.challenged(house, "Ada")
        house.now += 0.1
        (error,) = mary.ask(Verify(code=code))
        assert isinstance(error, Error)
        assert error.code == Code.WRONG_CODE
        assert "too old" in error.text

    def test_until_then_the_connection_waits(self) -> None:
        house = House(VERIFY)
        mary, code = self.challenged(house)
        house.wait(599)
        assert isinstance(mary.ask(Verify(code=code))[0], Welcome)

    def test_but_no_longer(self) -> None:
        house = House(VERIFY)
        mary, _ = self.challenged(house)
        house.wait(601)
        assert mary.frames() == [Bye(reason="the code was not given in time", retry=True)]

    def test_a_code_counts_only_where_it_was_asked_for(self) -> None:
        house = House(VERIFY)
        _, code = self.challenged(house)
        assert [type(frame) for frame in house.peer().ask(Verify(code=code))] == [Error]

    def test_a_new_join_voids_the_code(self) -> None:
        house = House(VERIFY)
        mary, code = self.challenged(house)
        mary.ask(joining("Mary", "mary@example"))
        (error,) = mary.ask(Verify(code=code))
        assert isinstance(error, Error)
        assert error.code == Code.NOT_JOINED

    def test_few_codes_an_hour_go_to_one_address(self) -> None:
        house = House(VERIFY)
        for name in ("A", "B", "C", "D", "E"):
            (challenge,) = house.peer().ask(joining(name, "mary@example.org"))
            assert isinstance(challenge, Challenge)
        text = (
            "enough codes went to MARY@example.org, or were asked for from 127.0.0.1, within the hour;"
            " use the last one where it was asked for, or try again in an hour"
        )
        assert refusal(house.peer(), "F", "MARY@example.org") == Error(code=Code.TOO_FAST, text=text, field="email")
        house.wait(3_600)
        (challenge,) = house.peer().ask(joining("F", "mary@example.org"))
        assert isinstance(challenge, Challenge)

    def test_a_code_takes_over_from_who_is_alive_and_before_it_nothing_tells_that_they_are(self) -> None:
        house = House(VERIFY)
        mary, code = self.challenged(house)
        mary.ask(Verify(code=code))
        again, code = self.challenged(house)
        assert refusal(again, "Mary", "another@example.org").code == Code.NAME_TAKEN
        again, code = self.challenged(house)
        assert mary.connected
        welcome, *_ = again.ask(Verify(code=code))
        assert isinstance(welcome, Welcome)  # a code is a proof like the token
        assert not mary.connected

    def test_who_comes_again_while_they_are_coming_in_is_asked_to_try_again(self) -> None:
        house = House()
        mary = house.peer()
        mary.join("Mary")
        token = mary.token
        mary.cut()
        first, second = house.peer(), house.peer()
        first.send(joining("Mary", token=token))
        house.take()
        second.send(joining("Mary", token=token))
        house.settle()
        text = "Mary is coming in at this moment; try again"
        assert second.only(Error) == Error(code=Code.UNAVAILABLE, text=text)

    def test_whose_a_name_is_can_be_guessed_only_so_often(self) -> None:
        house = House(Limits(guesses_per_ip=2))
        house.join("Mary")
        for number in range(2):
            assert refusal(house.peer(HOST), "Mary", f"{number}@example.org").code == Code.NAME_TAKEN
        guesser = house.peer(HOST)
        text = f"too many joins from {HOST} with names of others within the hour; try again later"
        assert guesser.ask(joining("Mary", "3@example.org"))[0] == Error(code=Code.TOO_FAST, text=text)
        assert not guesser.connected
        assert refusal(house.peer("127.0.0.1"), "Mary", "3@example.org").code == Code.NAME_TAKEN
        house.wait(3_600)
        assert refusal(house.peer(HOST), "Mary", "3@example.org").code == Code.NAME_TAKEN

    def test_the_join_is_judged_again_when_the_code_is_right(self) -> None:
        house = House(VERIFY)
        mary, code = self.challenged(house)
        rival = house.peer()
        rival.ask(joining("Mary", "rival@example.org"))
        rival.ask(Verify(code=house.codes[-1][1]))
        (error,) = mary.ask(Verify(code=code))
        assert isinstance(error, Error)
        assert (error.code, error.field) == (Code.NAME_TAKEN, "name")

    def test_a_code_is_asked_for_only_when_the_name_may_be_had(self) -> None:
        house = House(VERIFY)
        mary, code = self.challenged(house)
        mary.ask(Verify(code=code))
        assert refusal(house.peer(), "Mary", "other@example.org").code == Code.NAME_TAKEN
        assert len(house.codes) == 1

    def test_saying_something_first_is_not_joined(self) -> None:
        house = House(VERIFY)
        mary, _ = self.challenged(house)
        (error,) = mary.ask(Say(text="hello", id="1"))
        assert error == Error(code=Code.NOT_JOINED, text="join first: this needs a name", id="1", field=UNSET)
