"""The operator's console."""
import contextlib, logging, sys
class Console:
    @contextlib.contextmanager
    def logging(self):
        h=logging.StreamHandler(sys.stdout); l=logging.getLogger("chatmail"); l.addHandler(h); l.setLevel("INFO")
        yield
    async def run(self, operator, clock, quit):
        pass
