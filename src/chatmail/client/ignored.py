"""Whom this person does not want to hear, at one server; kept from one start to the next."""

from collections.abc import Callable

from chatmail.client.link import Server
from chatmail.client.state import Lines, lament
from chatmail.core.names import WRITTEN_MAX, fold


class Ignored:
    """The names, as they were typed; whether one is among them is judged as the server judges names.

    Args:
        file: has a line ``HOST:PORT NAME`` for each; None: they are not kept.
        server: where these people are.
        report: where a sentence goes when the file can't be read or written; nothing here raises anything.
    """

    def __init__(
        self, server: Server, file: Lines | None = None, report: Callable[[str], None] = lambda _: None
    ) -> None:
        self._begin = f"{server.key} "
        self._file = file
        self._report = report
        lines = []
        try:
            lines = file.read() if file is not None else []
        except OSError as error:
            self._lament(error)
        mine = (line.removeprefix(self._begin) for line in lines if line.startswith(self._begin))
        self._names = {fold(name): name for name in mine}

    def __contains__(self, name: object) -> bool:
        if not self._names or not isinstance(name, str) or len(name) > WRITTEN_MAX:
            return False
        return fold(name) in self._names

    def names(self) -> list[str]:
        """All of them, in the order in which they were added."""
        return list(self._names.values())

    def add(self, name: str) -> None:
        """Hear no more of somebody."""
        self._names[fold(name)] = name
        self._keep()

    def remove(self, name: str) -> None:
        """Hear them again."""
        self._names.pop(fold(name), None)
        self._keep()

    def _keep(self) -> None:
        mine = [f"{self._begin}{name}" for name in self._names.values()]
        try:
            if self._file is not None:
                self._file.change(lambda lines: [*(line for line in lines if not line.startswith(self._begin)), *mine])
        except OSError as error:
            self._lament(error)

    def _lament(self, error: OSError) -> None:
        if self._file is not None:
            self._report(f"whom you ignore is not kept for the next start: {lament(self._file.path, error)}")
