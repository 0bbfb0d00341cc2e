"""Workers that run scoring scripts given as text, for tests."""

import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

from batch_endpoints.scoring.worker import ScoringContract, ScoringWorker


class Bench:
    """A worker with its folders."""

    def __init__(self, place, script, **settings):
        self.code, self.output, self.log = place / "code", place / "scratch" / "output", place / "log.txt"
        self.model = place / "registered"
        for folder in (self.code, self.model, place / "scratch"):
            folder.mkdir(exist_ok=True)
        if script is not None:
            (self.code / "score.py").write_text(textwrap.dedent(script), encoding="utf-8")
        defaults = {"interpreter": sys.executable, "timeout_seconds": 20, "max_retries": 0}
        self.contract = ScoringContract(
            code=self.code,
            script="score.py",
            model_folder=self.model,
            output_folder=self.output,
            scratch=place / "scratch",
            log=self.log,
            environment_variables=settings.pop("environment_variables", {}),
            **{**defaults, **settings},
        )
        self.pauses = []
        self.worker = ScoringWorker(self.contract, wait=lambda stopped, seconds: self.pauses.append(seconds))

    def score(self, *items):
        """Score files that need not exist; returns what came of them."""
        return self.worker.score([f"/in/{item}" for item in items], items)[0]

    def value(self, script_call="a"):
        """The single prediction for one file."""
        scored = self.score(script_call)
        assert not scored.failed, scored.failed
        return scored.table["prediction"][0].as_py()

    def reason(self, *items):
        """The one reason for which all items failed."""
        scored = self.score(*(items or ("a",)))
        assert scored.table is None
        (reason,) = {why.headline for why in scored.failed.values()}
        assert list(scored.failed) == list(items or ("a",))
        return reason


@contextmanager
def bench(place: Path, script, *, files=(), **settings):
    """A worker for ``script``; ``files`` are (name, text) beside it."""
    (place / "code").mkdir(exist_ok=True)
    for name, text in files:
        target = place / "code" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text), encoding="utf-8")
    made = Bench(place, script, **settings)
    try:
        yield made
    finally:
        made.worker.close()
