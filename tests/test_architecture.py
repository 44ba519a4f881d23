"""The shape of the house: which way imports point, and that files stay small enough to read in one sitting."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
FILES = sorted(path.relative_to(SRC) for path in SRC.rglob("*.py"))
CORE = [path for path in FILES if path.parts[:2] == ("chatmail", "core")]

TERMINAL = [path for path in FILES if path.parts[:2] == ("chatmail", "terminal")]

LINES_MAX = 450
"""The aim is 300; a file that outgrows this tells of a missing part."""

IMPURE = frozenset(
    [
        "argparse",
        "asyncio",
        "atexit",
        "builtins",
        "concurrent",
        "contextvars",
        "ctypes",
        "fcntl",
        "fileinput",
        "ftplib",
        "getpass",
        "glob",
        "http",
        "imaplib",
        "importlib",
        "io",
        "locale",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "pathlib",
        "platform",
        "poplib",
        "pty",
        "queue",
        "sched",
        "secrets",
        "select",
        "selectors",
        "shelve",
        "shutil",
        "signal",
        "smtplib",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "stat",
        "subprocess",
        "sys",
        "tempfile",
        "termios",
        "threading",
        "time",
        "tty",
        "urllib",
        "uuid",
        "warnings",
        "weakref",
        "xmlrpc",
        "zoneinfo",
    ]
)
"""What reaches out of the process, waits, or has a clock or randomness of its own."""


def tree(path: Path) -> ast.Module:
    return ast.parse((SRC / path).read_text(encoding="utf-8"), str(path))


def imported(module: ast.Module) -> Iterator[str]:
    """The full names of all that a module imports, anywhere in it: ``a.b`` for both ``import a.b`` and its parts."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the whole path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reaches(name: str, *packages: str) -> bool:
    """Whether an imported name is one of these packages or lies in it."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def test_the_house_has_four_parts() -> None:
    """Otherwise the rules below would hold of nothing."""
    assert {path.parts[1] for path in FILES if len(path.parts) > 2} == {"core", "server", "client", "terminal"}
    assert any(reaches(name, "chatmail.core.hub") for path in FILES for name in imported(tree(path)))
    assert list(imported(ast.parse("def f():\n  import os.path\n  from asyncio import sleep"))) == [
        "os.path",
        "asyncio.sleep",
    ]


@pytest.mark.parametrize("path", CORE, ids=str)
def test_the_core_imports_nothing_of_ours_and_nothing_that_reaches_outside(path: Path) -> None:
    for name in imported(tree(path)):
        top = name.partition(".")[0]
        assert top not in IMPURE, f"{name} is for the server"
        assert top in sys.stdlib_module_names or reaches(name, "msgspec", "chatmail.core"), (
            f"{name} is not for the core"
        )
        assert top != "random" or name == "random.Random", "randomness is passed in"


@pytest.mark.parametrize("path", CORE, ids=str)
def test_the_core_has_no_clock_and_touches_nothing(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "utcnow", "today", "localtime"}, f"line {node.lineno}: time is passed in"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            outside = {"open", "print", "input", "eval", "exec", "__import__"}
            assert node.func.id not in outside, f"line {node.lineno}: {node.func.id} is not for the core"
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), "the core is plain synchronous calls"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_server_and_client_never_import_each_other(path: Path) -> None:
    other = {"server": "chatmail.client", "client": "chatmail.server"}.get(path.parts[1])
    for name in imported(tree(path)):
        assert other is None or not reaches(name, other)


@pytest.mark.parametrize("path", TERMINAL, ids=str)
def test_what_both_programs_share_knows_neither_of_them(path: Path) -> None:
    for name in imported(tree(path)):
        assert not reaches(name, "chatmail") or reaches(name, "chatmail.core", "chatmail.files", "chatmail.terminal")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    assert len((SRC / path).read_text(encoding="utf-8").splitlines()) <= LINES_MAX
