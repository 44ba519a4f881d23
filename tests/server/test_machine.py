"""What the process takes of its machine."""

import mmap
from pathlib import Path

import pytest

from chatmail.server.machine import disk_space, peak_memory, resident_memory


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell")
def test_memory_now_and_at_most() -> None:
    before = resident_memory()
    assert before is not None
    size = 64 << 20
    with mmap.mmap(-1, size) as some:
        for page in range(0, size, mmap.PAGESIZE):
            some[page] = 1
        during = resident_memory()
    after = resident_memory()
    assert during is not None
    assert after is not None
    assert during - before > size // 2
    assert during - after > size // 2
    assert peak_memory() > before + size // 2


def test_the_size_of_a_database_with_what_is_not_in_it_yet(tmp_path: Path) -> None:
    database = tmp_path / "chat.db"
    assert disk_space(str(database)) == 0
    database.write_bytes(bytes(100))
    assert disk_space(str(database)) == 100
    Path(f"{database}-wal").write_bytes(bytes(11))
    assert disk_space(str(database)) == 111
    assert disk_space(":memory:") is None
    assert disk_space("redis://127.0.0.1:6379/0") is None
