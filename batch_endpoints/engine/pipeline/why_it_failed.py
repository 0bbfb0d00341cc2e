"""Why a command failed, as its user would say it: their own exception, or the last lines of its stderr."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass

from batch_endpoints.scoring.contract import UserError
from batch_endpoints.specs import JobError

CODE = "StepFailed"
_FRAME = re.compile(r'\s+(?:\| +)?File "(.+)", line (\d+)')
_RAISED = re.compile(r"([A-Za-z_][\w.]*)(?:: (.*))?$")
_NOT_FOUND = re.compile(r"(?:\S+: )*?(?:line )?(?:\d+: )?(\S+): (?:command )?not found$")
_MOST_AFTER = 10  # lines of stderr after an exception that is still taken for the cause
_HEADLINES, _DETAILS = 3, 100  # lines


@dataclass(frozen=True)
class Ended:
    """How a command has ended.

    Args:
        code: its exit code, or minus a signal's number.
        stdout, stderr: the last of what it has written there.
        folder: its working directory, with the user's code.
    """

    code: int
    stdout: str
    stderr: str
    folder: str


def why_it_failed(ended: Ended) -> JobError:
    """The error of a step whose command did not exit with 0."""
    how = how_it_ended(ended.code)
    stderr = _lines(ended.stderr.replace(os.path.join(ended.folder, ""), ""))
    last = stderr or _lines(ended.stdout)
    if found := _exception(ended):
        message = f"{found} ({how})"
    elif ended.code in (126, 127):
        message = f"{_not_started(stderr, ended.code)} ({how})"
    elif stderr:
        message = f"{' / '.join(line.strip() for line in stderr[-_HEADLINES:])[-1000:]} ({how})"
    else:
        message = f"the command failed: {how}"
    details = "\n".join(last[-_DETAILS:])
    return JobError(code=CODE, message=message, details=details)


def how_it_ended(code: int) -> str:
    """An exit code in words; a shell adds 128 to the signal that ended its program."""
    number = -code if code < 0 else code - 128
    if (code < 0 or 128 < code < 128 + 65) and number in signal.valid_signals():
        name = signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
        why = {
            "SIGKILL": ", perhaps because memory ran out",
            "SIGSEGV": ", a crash in compiled code",
            "SIGABRT": ", a crash in compiled code",
        }.get(name, "")
        return f"killed by {name}{why}" + (f"; exit code {code}" if code > 0 else "")
    return f"exit code {code}"


def _exception(ended: Ended) -> str:
    """The headline of the last Python exception in stderr that can be the cause; "" where there is none."""
    lines = ended.stderr.splitlines()
    found: list[tuple[int, UserError, bool]] = []
    frames: list[tuple[str, int]] = []
    for number, line in enumerate(lines):
        if frame := _FRAME.match(line):
            frames.append((frame[1], int(frame[2])))
        elif frames and line[:1].strip() and (raised := _RAISED.match(line)):
            own = [(file, at) for file, at in frames if file.startswith(os.path.join(ended.folder, ""))]
            file, at = own[-1] if own else ("", 0)
            place = os.path.relpath(file, ended.folder) if file else ""
            found.append((number, UserError(raised[1], raised[2] or "", place, at), bool(own)))
            frames = []
        elif line[:1].strip():
            frames = []
    if ended.code != 1:
        found = [one for one in found if len(lines) - one[0] <= _MOST_AFTER]
    best = [one for one in found if one[2]] or found
    return best[-1][1].headline if best else ""


def _not_started(stderr: list[str], code: int) -> str:
    missing = next((match[1] for line in reversed(stderr) if (match := _NOT_FOUND.match(line))), "")
    if code == 127 and missing:
        return (
            f"the command '{missing}' was not found: it has to be in the step's code folder (then as ./{missing}), "
            "in its environment, or installed on every node"
        )
    last = stderr[-1].strip() if stderr else "the command could not be started"
    return f"{last}: is the file executable, and is its first line right? Try 'bash FILE' or 'python FILE'"


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]
