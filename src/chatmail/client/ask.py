"""Asking before there is a prompt: for a name, an address, and whether a certificate is trusted; until it is right."""

from collections.abc import Callable, Mapping

from msgspec import Struct
from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.styles import Style

from chatmail.client import screen, wording
from chatmail.client.link import Server
from chatmail.client.trust import Stranger
from chatmail.core.names import check_email, check_name
from chatmail.terminal.display import Display


class Question(Struct, frozen=True):
    """What is asked, and what makes an answer right: ``check`` gives it back in its final form, or raises."""

    label: str
    check: Callable[[str], str]


def _check_yes_or_no(text: str) -> str:
    if text.lower() not in {"yes", "no"}:
        raise ValueError("please type yes or no")
    return text.lower()


NAME = Question("Your name: ", check_name)
EMAIL = Question("Your email address: ", check_email)
TRUST = Question("Trust it? (yes/no) ", _check_yes_or_no)


def check(question: Question, answer: str) -> tuple[str | None, str]:
    """The answer in its final form, or None and what is wrong with it."""
    try:
        return question.check(answer.strip()), ""
    except ValueError as mistake:  # BadName and BadEmail are of this family
        return None, str(mistake)


async def ask(question: Question, wrong: str, *, default: str = "", style: Mapping[str, str] = screen.STYLE) -> str:
    """Ask at the terminal until the answer is right.

    Args:
        question: what to ask.
        wrong: what is wrong with the last answer; may be empty.
        default: an answer that Enter takes.
        style: what the classes look like.

    Raises:
        EOFError, KeyboardInterrupt: the person would rather not.
    """
    session: PromptSession[str] = PromptSession(style=Style.from_dict(dict(style)))
    while True:
        if wrong:
            complain(wrong, style=style)
        label = FormattedText([("class:prompt", question.label)])
        typed = await session.prompt_async(label, default=default, handle_sigint=False, set_exception_handler=False)
        default = ""
        answer, wrong = check(question, typed)
        if answer is not None:
            return answer


async def trusts(server: Server, stranger: Stranger, *, style: Mapping[str, str] = screen.STYLE) -> bool:
    """Ask whether an unknown certificate is trusted; raises as ``ask`` does."""
    tell(wording.who_is_it(server, stranger), style=style)
    return await ask(TRUST, "", style=style) == "yes"


def tell(text: str, *, style: Mapping[str, str] = screen.STYLE) -> None:
    """Say something while no prompt is there."""
    _show(text, style, trouble=False)


def complain(text: str, *, style: Mapping[str, str] = screen.STYLE) -> None:
    """Say what is wrong while no prompt is there."""
    _show(text, style, trouble=True)


def _show(text: str, style: Mapping[str, str], *, trouble: bool) -> None:
    Display(style, links=True).show(screen.status(text, trouble=trouble))
