"""Attempts of command steps: real programs, their inputs and outputs, and what is said where they fail."""

import os
import sys
import threading
from contextlib import closing

import pytest
from step_folders import Step

from batch_endpoints.engine.pipeline.local_commands import LocalCommands
from batch_endpoints.engine.pipeline.step_place import prepare
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.job.step_record import step_record


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


def test_an_input_above_the_steps_own_folders_is_protected_and_they_are_not(tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "kept").write_text("1")
    step = Step(
        tmp_path / "a b",
        "echo 2 > ${{inputs.all}}/kept; echo ok > ${{outputs.o}}/x; echo ok > $HOME/y && echo ok > ./z",
        inputs={"all": ("uri_folder", tmp_path / "a b")},
        outputs=["o"],
    )
    outcome = step.run()
    assert (step.output(outcome, "o") / "x").read_text() == "ok\n"
    assert (tmp_path / "a b" / "kept").read_text() == "1"


def test_names_of_files_arrive_byte_for_byte_and_what_is_no_file_is_left_out(tmp_path):
    (tmp_path / "data").mkdir()
    name = os.fsdecode(b"\xff a\n'b")
    (tmp_path / "data" / name).write_text("1")
    step = Step(
        tmp_path,
        "cp ${{inputs.data}}/* ${{outputs.o}}; cd ${{outputs.o}}; ln -s x link; mkfifo fifo; mkdir sub",
        inputs={"data": ("uri_folder", tmp_path / "data")},
        outputs=["o"],
    )
    outcome = step.run()
    assert sorted(file.name for file in step.output(outcome, "o").iterdir()) == sorted([name, "sub"])
    assert [note for note in outcome.record.notes if "link" in note or "pipe" in note] == list(outcome.record.notes)
    assert len(outcome.record.notes) == 2


def test_the_last_words_are_in_the_log_after_megabytes_without_a_line_end(tmp_path):
    step = Step(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x; echo half a line >&2; printf end; exit 1")
    assert "half a line" in step.run().error.message
    log = step.log()
    assert log.count("x") > 3_000_000
    assert "half a line\n" in log
    assert "end\n" in log


def test_a_command_sees_no_secret_and_python_is_its_interpreter(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "hush")
    step = Step(tmp_path, "env > ${{outputs.env}}; python -c 'import sys; print(sys.prefix)' >> ${{outputs.env}}",
                outputs={"env": "uri_file"}, environment_variables={"MINE": "a b"})  # fmt: skip
    text = step.output(step.run(), "env").read_text()
    assert "hush" not in text
    assert "MINE=a b\n" in text
    assert text.endswith(f"\n{sys.prefix}\n")
    assert "AZUREML_RUN_ID=step" in text


def test_pytorch_with_several_processes_runs_through_torchrun(tmp_path):
    distribution = {"type": "pytorch", "process_count_per_instance": 3}
    step = Step(tmp_path, "python train.py", component={"distribution": distribution})
    job = JobFolder(step.files, step.uri).job()
    (tmp_path / "scratch").mkdir()
    with closing(prepare(job, step.files, "attempts/1", tmp_path / "scratch")) as place:
        command = place.command
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3", "--no-python")
    assert command[:7] == (sys.executable, *launcher)
    assert command[-2:] == ("-c", "python train.py")


def test_an_input_of_another_kind_or_that_is_not_there_is_named(tmp_path):
    (tmp_path / "data").mkdir()
    for kind, path, message in (("uri_file", "data", "is a folder, where"), ("uri_folder", "no", "does not exist")):
        step = Step(tmp_path / kind, "true", inputs={"x": (kind, tmp_path / path)})
        assert message in step.run().error.message


def test_an_input_in_mode_direct_is_its_uri(tmp_path):
    step = Step(
        tmp_path,
        "echo ${{inputs.x}} > ${{outputs.o}}",
        inputs={"x": ("uri_folder", "s3://b/it's $HOME")},
        outputs={"o": "uri_file"},
        component={"inputs": {"x": {"type": "uri_folder", "mode": "direct"}}},
    )
    assert step.output(step.run(), "o").read_text() == "s3://b/it's $HOME\n"
