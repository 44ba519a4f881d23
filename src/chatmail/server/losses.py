"""What is lost with changes that are not stored, in words. Pure."""

from collections.abc import Iterable

from chatmail.core.records import Act, Arrival, Change, Departure, Gone, Leader, Letter, Row
from chatmail.server.lines import clip, several

_SAID = frozenset({"message", "direct", "notice"})


def losses(changes: Iterable[Change]) -> str:
    """What these would have kept, "" for nothing: who is here, and which server leads, is found out anew."""
    said = letters = others = 0
    acts: list[str] = []
    for change in changes:
        rows = [row for row in change.rows if not _is_found_anew(row)]
        audited = [row.text for row in rows if isinstance(row, Act)]
        acts += audited
        if change.entry is not None and change.entry.kind in _SAID:
            said += 1
        elif any(isinstance(row, Letter) for row in rows):
            letters += 1
        elif len(rows) > len(audited):
            others += 1
    named = [
        several(said, "message") if said else "",
        f"what became of {several(letters, 'mail')}" if letters else "",
        f"{several(len(acts), 'line')} of the audit ({clip(acts[-1])})" if acts else "",
        several(others, "other change") if others else "",
    ]
    return ", ".join(filter(None, named))


def _is_found_anew(row: Row) -> bool:
    return isinstance(row, Arrival | Departure | Leader) or (isinstance(row, Gone) and row.table == "node")
