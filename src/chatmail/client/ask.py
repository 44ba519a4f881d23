"""Asking for a name and an address before connecting, until they are right."""

from collections.abc import Callable

from msgspec import Struct
from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.styles import Style

from chatmail.client import screen
from chatmail.core.names import BadEmail, BadName, check_email, check_name
from chatmail.terminal.display import Display


class Question(Struct, frozen=True):
    """What is asked, and what makes an answer right: ``check`` gives it back in its final form, or raises."""

    label: str
    check: Callable[[str], str]


NAME = Question("Your name: ", check_name)
EMAIL = Question("Your email address: ", check_email)


def check(question: Question, answer: str) -> tuple[str | None, str]:
    """The answer in its final form, or None and what is wrong with it."""
    try:
        return question.check(answer.strip()), ""
    except (BadName, BadEmail) as mistake:
        return None, str(mistake)


async def ask(question: Question, wrong: str) -> str:
    """Ask at the terminal until the answer is right.

    Args:
        question: what to ask.
        wrong: what is wrong with the last answer; may be empty.

    Raises:
        EOFError, KeyboardInterrupt: the person would rather not.
    """
    session: PromptSession[str] = PromptSession(style=Style.from_dict(screen.STYLE))
    while True:
        if wrong:
            complain(wrong)
        label = FormattedText([("class:prompt", question.label)])
        typed = await session.prompt_async(label, handle_sigint=False, set_exception_handler=False)
        answer, wrong = check(question, typed)
        if answer is not None:
            return answer


def complain(text: str) -> None:
    """Say what is wrong while no prompt is there."""
    Display(screen.STYLE, links=True).show(screen.status(text, trouble=True))
