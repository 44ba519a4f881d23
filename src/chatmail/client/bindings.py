"""The keys of the input line, as far as they are not prompt-toolkit's own; and what ``/help`` says about keys."""

from collections.abc import Callable

from prompt_toolkit.buffer import Buffer, CompletionState
from prompt_toolkit.completion import CompleteEvent, get_common_complete_suffix
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import (
    emacs_insert_mode,
    emacs_mode,
    has_focus,
    has_selection,
    vi_insert_mode,
    vi_navigation_mode,
)
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from chatmail.terminal.text import shows_itself


def help_text(*, vi: bool, width: int = 0) -> str:
    """The keys that are worth knowing, as lines; what they do begins after ``width`` characters at least."""
    keys = (
        ("Tab, Shift-Tab", "complete a command, a name or an emoji (:smile)"),
        ("Alt-Enter", "begin a new line; what is pasted stays one message"),
        ("Up, Down, Ctrl-R", "what you typed before; search in it"),
        ("Escape v" if vi else "Ctrl-X Ctrl-E", "go on in your editor ($VISUAL or $EDITOR)"),
        ("Ctrl-C, Ctrl-D", "clear the line; leave"),
    )
    width = max(width, *(len(key) for key, _ in keys))
    return "\n".join(f"{key:{width}}  {what}" for key, what in keys)


def bindings(
    *,
    enter: Callable[[str], bool],
    interrupt: Callable[[], None],
    edit: Callable[[], None],
    partner: Callable[[], str | None],
) -> KeyBindings:
    """The keys.

    Args:
        enter: deals with the text; whether the line is done.
        interrupt: what Ctrl-C does.
        edit: takes the line to an editor.
        partner: whom ``/r`` answers.
    """
    keys = KeyBindings()
    here = has_focus(DEFAULT_BUFFER)
    typing = here & (emacs_insert_mode | vi_insert_mode)

    @keys.add("enter", filter=here)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state:
            buffer.complete_state = None  # this Enter takes what was chosen from the menu; the next one sends
        elif enter(buffer.text):
            buffer.validate_and_handle()

    @keys.add("tab", filter=typing)
    def _(event: KeyPressEvent) -> None:
        _complete(event.current_buffer)

    @keys.add("escape", "enter", filter=typing)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add(" ", filter=typing)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        name = partner()
        if buffer.text == "/r" and name and shows_itself(name):
            buffer.text = f"/dm {name}"  # seen before it is sent, and fixed from here on
            buffer.cursor_position = len(buffer.text)
        buffer.insert_text(" " * event.arg)

    @keys.add("c-c", filter=here)
    def _(event: KeyPressEvent) -> None:
        del event
        interrupt()

    @keys.add("c-x", "c-e", filter=here & emacs_mode & ~has_selection)
    @keys.add("v", filter=here & vi_navigation_mode)
    def _(event: KeyPressEvent) -> None:
        del event
        edit()

    return keys


def _complete(buffer: Buffer) -> None:
    """Insert what is sure, and offer the rest in the menu, or choose the next one there.

    prompt-toolkit does it in a task of its own; keys that come together with Tab, Enter among them, are faster.
    """
    if buffer.complete_state:
        buffer.complete_next()
        return
    wanted = CompleteEvent(completion_requested=True)
    found = list(buffer.completer.get_completions(buffer.document, wanted))
    if len(found) == 1:
        buffer.apply_completion(found[0])
    elif found:
        if common := get_common_complete_suffix(buffer.document, found):
            buffer.insert_text(common)
            found = list(buffer.completer.get_completions(buffer.document, wanted))
        buffer.complete_state = CompletionState(buffer.document, found)
