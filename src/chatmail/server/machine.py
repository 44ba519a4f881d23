"""What the process around the chat takes of its machine: memory and disk."""

import resource
import sys
from pathlib import Path

from chatmail.server.place import is_url
from chatmail.server.stores.database import MEMORY


def resident_memory() -> int | None:
    """The memory this process has now, in bytes (proc(5), statm); None where the system doesn't tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * resource.getpagesize()


def peak_memory() -> int:
    """The most memory this process ever had, in bytes (getrusage(2) counts in KiB, but in bytes on macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def disk_space(database: str) -> int | None:
    """The size of a database in bytes, with what lies beside it until it is part of it; None where no file is."""
    if database == MEMORY or is_url(database):
        return None
    total = 0
    for name in (database, f"{database}-wal"):
        try:
            total += Path(name).stat().st_size
        except OSError:  # there is none of these just now
            continue
    return total
