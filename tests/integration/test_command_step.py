"""Attempts of command steps: real programs, their inputs and outputs, and what is said where they fail."""

import os
import threading

import pytest

from batch_endpoints.engine.pipeline.local_commands import LocalCommands
from batch_endpoints.storage.job.step_record import step_record
from tests.integration.step_folders import Step


def test_a_command_reads_its_inputs_and_its_outputs_count_when_it_exits_with_0(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1\n")
    step = Step(
        tmp_path,
        "python add.py --data ${{inputs.data}} --by ${{inputs.by}} --to ${{outputs.table}}\n"
        "echo ok > ${{outputs.note}}",
        code={
            "add.py": "import sys, pathlib\n_, _, data, _, by, _, to = sys.argv\n"
            "n = int(pathlib.Path(data, 'a.csv').read_text()) + int(by)\n"
            "pathlib.Path(to, 'b.csv').write_text(str(n)); print('added', flush=True)\n"
        },
        inputs={"data": ("uri_folder", tmp_path / "data"), "by": ("integer", 41)},
        outputs={"table": "uri_folder", "note": "uri_file"},
    )
    outcome = step.run()
    assert outcome.error is None
    assert (step.output(outcome, "table") / "b.csv").read_text() == "42"
    assert step.output(outcome, "note").read_text() == "ok\n"
    assert step_record(step.files) == outcome.record
    assert "added\n" in step.log()


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("echo first >&2; echo boom >&2; echo out; exit 3", "StepFailed", "first / boom (exit code 3)"),
        ("python -c 'import os; os.kill(os.getpid(), 9)'", "StepFailed", "the command failed: killed by SIGKILL"),
        ("no-such-program --x", "StepFailed", "the command 'no-such-program' was not found"),
        ("python fail.py", "StepFailed", "fail.py:2: ValueError: bad value 7 (exit code 1)"),
        ("true", "OutputMissing", "the output 'file' ('file') was not written: the command wrote no file there"),
        ("mkdir ${{outputs.file}}", "OutputMissing", "what is there is a folder, where a file is expected"),
        ("ln -s /etc/passwd ${{outputs.file}}", "OutputMissing", "what is there is a link"),
        ("echo ${{inputs.x}}", "ValidationError", "the command refers to ${{inputs.x}}"),
        ("sleep 1000", "StepTimedOut", "did not end within 1 seconds"),
    ],
    ids=["exit", "signal", "not found", "exception", "no file", "a folder", "a link", "unknown", "timeout"],
)
def test_what_went_wrong_is_said_first(tmp_path, command, code, message):
    script = {"fail.py": "def f(x):\n    raise ValueError(f'bad value {x}\\nmore')\nf(7)\n"}
    step = Step(
        tmp_path, command, code=script, outputs={"file": "uri_file"}, timeout=1 if "sleep" in command else None
    )
    outcome = step.run()
    assert outcome.record is None
    assert (outcome.error.code, message in outcome.error.message) == (code, True), outcome.error
    assert step_record(step.files) is None
    assert f"attempt 1 failed: {outcome.error.message}" in step.log()
    assert not (tmp_path / "step" / "attempts" / "1").exists()


def test_a_second_attempt_has_clean_outputs_and_the_first_that_succeeds_counts(tmp_path):
    step = Step(tmp_path, "ls -A ${{outputs.o}}; test -e ../../go || true; touch ${{outputs.o}}/x; test -e $GO",
                outputs=["o"], environment_variables={"GO": str(tmp_path / "go")})  # fmt: skip
    assert step.run(1).error
    (tmp_path / "go").touch()
    second = step.run(2).record
    assert second.attempt == 2
    assert step.log(2).count("x\n") == 0
    assert step.run(3).record == second


def test_inputs_cannot_be_written_and_the_registered_code_stays_as_it_is(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("as it was")
    step = Step(
        tmp_path,
        "for f in a b; do echo x > ${{inputs.data}}/$f; done; rm -rf ${{inputs.data}}/a; echo x >> code.py; true",
        code={"code.py": "1\n"},
        inputs={"data": ("uri_folder", tmp_path / "data")},
    )
    assert step.run().record
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["a"]
    assert (tmp_path / "data" / "a").read_text() == "as it was"
    assert (tmp_path / "code" / "code.py").read_text() == "1\n"


def test_a_step_that_is_stopped_leaves_no_process(tmp_path):
    fifo = tmp_path / "pids"
    os.mkfifo(fifo)
    step = Step(tmp_path, f"setsid sleep 1000 & echo $! $$ > {fifo}; sleep 1000")
    runner = LocalCommands()
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(runner.run(step.uri, 1)))
    thread.start()
    pids = [int(pid) for pid in fifo.read_text().split()]
    runner.stop()
    thread.join()
    assert outcomes[0].stopped
    assert [pid for pid in pids if os.path.exists(f"/proc/{pid}")] == []
    assert runner.run(step.uri, 2).stopped


def test_a_step_ends_when_its_program_ends_and_what_it_has_left_is_ended(tmp_path):
    step = Step(tmp_path, "setsid sleep 1000 & echo $! > ${{outputs.pid}}", outputs={"pid": "uri_file"})
    outcome = step.run()
    assert not os.path.exists(f"/proc/{step.output(outcome, 'pid').read_text().strip()}")
