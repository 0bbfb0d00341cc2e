"""Command steps in folders of their own, run on this machine, for tests."""

import threading
from pathlib import Path

from batch_endpoints.engine.pipeline.command_step import run_attempt
from batch_endpoints.specs import CommandJob
from batch_endpoints.storage.files.addresses import local_path
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.job_folder import JobFolder


class Step:
    """One command step: its folder, its code and what else it needs below a folder."""

    def __init__(self, place: Path, command, *, code=None, inputs=None, outputs=(), uri=None, component=None, **job):
        """Args: inputs: name -> (type, path or value). outputs: names of folders, or name -> type."""
        self.place = place
        self.uri = uri or (place / "step").as_uri()
        self.files = writable_place(self.uri)
        inputs = inputs or {}
        outputs = outputs if isinstance(outputs, dict) else dict.fromkeys(outputs, "uri_folder")
        spec = {
            "name": "step",
            "type": "command",
            "component": {
                "name": "it",
                "command": command,
                "inputs": {name: {"type": kind} for name, (kind, _) in inputs.items()},
                "outputs": {name: {"type": kind} for name, kind in outputs.items()},
                **(component or {}),
            },
            "inputs": {name: _given(kind, value) for name, (kind, value) in inputs.items() if value is not None},
            **job,
        }
        if code:
            for name, text in code.items():
                (place / "code" / name).parent.mkdir(parents=True, exist_ok=True)
                (place / "code" / name).write_text(text)
            spec["component"]["code"] = (place / "code").as_uri()
        JobFolder(self.files, self.uri).write_job(CommandJob.model_validate(spec))

    def run(self, attempt=1, stop=None):
        return run_attempt(self.uri, attempt, stop or threading.Event())

    def log(self, attempt=1):
        return self.files.read(f"logs/attempt-{attempt}.log").decode()

    def output(self, outcome, name) -> Path:
        """Where it is, on a disk."""
        return Path(local_path(outcome.record.outputs[name].path))


def _given(kind, value):
    return (
        {"type": "literal", "value": value}
        if kind in ("string", "number", "integer", "boolean")
        else {
            "type": kind,
            "path": value.as_uri() if isinstance(value, Path) else value,
        }
    )
