"""Runs a fuzz target under atheris: ``python -m tests.fuzz decode`` or ``render``, for how many seconds, which seed.

It starts from the corpus, and what it finds on its way is thrown away at the end. An input that breaks a promise is
printed with the traceback, and the exit code is not 0: make a file of the corpus of it, so that it stays mended.
"""

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

CORPUS = Path(__file__).parent / "corpus"
MAX_LEN = 4096
"""Inputs are at most so long, in bytes: a few frames. What only longer ones do is for the tests."""
TIMEOUT = 20
"""One input that takes longer than this, in seconds, is a bug as well."""


def fuzz(target: str, seconds: int, seed: int, found: str) -> None:
    """Run the target; this process ends with it. The same seed goes the same way, 0 another one each time."""
    import atheris  # only here: it does not install everywhere

    with atheris.instrument_imports(include=["chatmail"]):
        from tests.fuzz import targets
    from tests.fuzz.mutator import mutate

    run = {"decode": targets.decode, "render": targets.render}[target]

    def tell(data: bytes) -> None:
        try:
            run(data)
        except BaseException:
            print(f"\n{target} fails with this input:\n{data!r}", file=sys.stderr)
            raise

    limits = [f"-max_total_time={seconds}", f"-max_len={MAX_LEN}", f"-timeout={TIMEOUT}", f"-artifact_prefix={found}/"]
    limits.append(f"-seed={seed}")
    folders = [found, str(CORPUS / target)]  # the first is written to
    atheris.Setup(
        [sys.argv[0], *limits, "-verbosity=0", "-print_final_stats=1", *folders],
        tell,
        custom_mutator=lambda data, most, seed: mutate(data, most, seed, atheris.Mutate),
    )
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Run a fuzz target under atheris.")
    parser.add_argument("target", choices=("decode", "render"))
    parser.add_argument("seconds", nargs="?", type=int, default=60)
    parser.add_argument("seed", nargs="?", type=int, default=0)
    options = parser.parse_args()
    with TemporaryDirectory() as found:
        child = os.fork()  # the fuzzer ends its process by itself
        if not child:
            fuzz(options.target, options.seconds, options.seed, found)
        _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
