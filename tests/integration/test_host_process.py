"""Scoring scripts in real host processes: what they are offered, what they may do, and what becomes of it."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from scoring_workers import bench

from batch_endpoints.errors import InitFailed
from batch_endpoints.planning.variables import for_user_code
from batch_endpoints.processes.family import families
from batch_endpoints.processes.memory import node_memory
from batch_endpoints.scoring.worker import OWN_END_SECONDS, WorkerStopped

PYENV = Path.home() / ".pyenv" / "versions"
ECHO = "def run(mini_batch): return list(mini_batch)"


def gone(pid, seconds=60.0):
    """Does a process end within some seconds? A zombie has ended: nobody here can reap it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        threading.Event().wait(0.02)
    return False


# what a script is offered


def test_init_is_called_once_and_run_gets_the_paths_of_each_mini_batch(tmp_path):
    script = """
    calls = []
    def init(): calls.append("init")
    def run(mini_batch):
        calls.append(mini_batch)
        return [str(calls)] * len(mini_batch)
    """
    with bench(tmp_path, script) as b:
        b.score("a", "b")
        told = b.value("c")

    assert told == "['init', ['/in/a', '/in/b'], ['/in/c']]"


def test_a_script_finds_model_output_variables_siblings_and_arguments(tmp_path, monkeypatch):
    monkeypatch.setenv("BATCH_ENDPOINTS_DATABASE", "a secret of the server")
    script = """
    import argparse, os, sys
    from sibling import NAME
    from package.inner import DEEP
    parsed, _ = argparse.ArgumentParser().parse_known_args()
    def run(mini_batch):
        with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.txt")) as file:
            model = file.read()
        output = os.environ["AZUREML_BI_OUTPUT_PATH"]
        return [{"model": model, "output": os.path.isdir(output), "greeting": os.environ["GREETING"],
                 "names": NAME + DEEP, "arguments": sys.argv[1:], "main": __name__,
                 "secrets": [name for name in os.environ if name.startswith("BATCH_ENDPOINTS_")]}]
    """
    files = [("sibling.py", "NAME = 'sib'"), ("package/__init__.py", ""), ("package/inner.py", "DEEP = 'ling'")]
    with bench(tmp_path, script, files=files, environment_variables={"GREETING": "hello"}) as b:
        (b.model / "model.txt").write_text("weights")
        row = b.score("a").table.to_pylist()[0]

    assert row == {
        "model": "weights",
        "output": True,
        "greeting": "hello",
        "names": "sibling",
        "arguments": [],
        "main": "score",
        "secrets": [],
    }


def test_a_script_gets_no_variable_of_the_server_but_those_of_a_list(tmp_path, monkeypatch):
    for name in ("LAKE_KEY", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN_PATH", "PYTHONPATH", "LD_PRELOAD", "HF_TOKEN"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("AZUREML_POND_KEY", "of the server")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    script = """
    import os, pathlib, subprocess
    mine = sorted(os.environ)
    child = subprocess.run(["env"], capture_output=True, text=True).stdout
    with open("/proc/self/environ") as file:
        begun = sorted(line.partition("=")[0] for line in file.read().split("\\0") if line)
    def run(mini_batch):
        own = [os.environ["OMP_NUM_THREADS"], os.environ["LAKE_KEY"], str(pathlib.Path.home())]
        children = sorted(line.partition("=")[0] for line in child.splitlines())
        return [{"mine": mine, "begun": begun, "children": children, "own": own}]
    """
    own = {"LAKE_KEY": "of the deployment"}
    with bench(tmp_path, script, secret_variables={"AZUREML_POND_KEY"}, environment_variables=own) as b:
        (row,) = b.score("a").table.to_pylist()

    ours = {"AZUREML_BI_OUTPUT_PATH", "AZUREML_MODEL_DIR", "HOME", "LAKE_KEY", "PYTHONDONTWRITEBYTECODE", "TMPDIR"}
    ours |= {"PYTHONPATH", "BATCH_HOST_CODE", "BATCH_HOST_LOG_LEVEL"}  # by which its children find what it finds
    listed = set(for_user_code(os.environ)) - {"AZUREML_POND_KEY"}
    assert set(row["mine"]) - {"LC_CTYPE", "PYTHONUSERBASE"} == (ours | listed) - {"LC_CTYPE"}
    assert set(row["begun"]) <= set(row["mine"])
    assert set(row["children"]) - {"_", "PWD", "SHLVL"} <= set(row["mine"])
    assert row["own"] == ["7", "of the deployment", str(tmp_path / "scratch" / "home")]


def test_a_script_in_a_folder_imports_from_there_and_from_the_code_folder(tmp_path):
    files = [
        ("src/score.py", "import beside, above\ndef run(mini_batch): return [beside.X + above.Y]"),
        ("src/beside.py", "X = 1"),
        ("above.py", "Y = 2"),
    ]
    with bench(tmp_path, None, files=files) as b:
        object.__setattr__(b.contract, "script", "src/score.py")
        assert b.value() == 3


def test_a_script_may_import_azures_entry_script(tmp_path):
    script = """
    from azureml_user.parallel_run import EntryScript
    entry = EntryScript()
    def run(mini_batch):
        EntryScript().logger.info("seen %d", len(mini_batch))
        return [entry.output_dir, entry.log_dir, entry.agent_name]
    """
    with bench(tmp_path, script) as b:
        rows = b.score("a", "b", "c").table["prediction"].to_pylist()

    assert rows[0] == str(b.output)
    assert all(rows)
    assert b.log.read_text().count("seen 3") == 1


STARTS_CHILDREN = """
import logging, multiprocessing, os, subprocess, sys
from azureml_user.parallel_run import EntryScript
from sibling import NAME
ASK = '''
import logging, sibling
from azureml_user.parallel_run import EntryScript
print(sibling.NAME, EntryScript().logger.level, logging.getLogger().level)
'''
def work(number):
    logging.getLogger("mine").info("a child's word %d", number)
    return f"{NAME} {EntryScript().logger.level} {number}"
def run(mini_batch):
    how = os.path.basename(mini_batch[0])
    if how == "subprocess":
        return [subprocess.run([sys.executable, "-c", ASK], cwd="/", capture_output=True, text=True).stdout.strip()]
    with multiprocessing.get_context(how).Pool(2) as pool:
        return [" / ".join(pool.map(work, [1, 2]))]
"""


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("spawn", "sib 10 1 / sib 10 2"),
        ("forkserver", "sib 10 1 / sib 10 2"),
        ("fork", "sib 10 1 / sib 10 2"),
        ("subprocess", "sib 10 10"),
    ],
)
@pytest.mark.parametrize("script", ["score.py", "src/score.py"])
def test_children_of_a_script_find_what_it_finds_itself(how, told, script):
    files = [(script, STARTS_CHILDREN), ("sibling.py", "NAME = 'sib'")]
    with (
        tempfile.TemporaryDirectory() as place,  # a forkserver has a socket below it, whose path must be short
        bench(Path(place), None, files=files, logging_level="debug") as b,
    ):
        object.__setattr__(b.contract, "script", script)
        assert b.value(how) == told
        assert b.log.read_text().count("a child's word") == (0 if how == "subprocess" else 2)


def test_a_child_of_a_script_finds_other_packages_before_its_siblings(tmp_path):
    script = """
    import subprocess, sys
    def run(mini_batch):
        ask = "import json, logging, platform; print(json.dumps([platform.__file__.endswith('mine'), logging.INFO]))"
        return [subprocess.run([sys.executable, "-c", ask], cwd="/", capture_output=True, text=True).stdout.strip()]
    """
    with bench(tmp_path, script, files=[("platform.py", "__file__ = 'mine'")]) as b:
        assert b.value() == "[false, 20]"


def test_the_sitecustomize_of_an_interpreter_runs_in_the_children_of_a_script_as_well(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import os\nos.environ['CUSTOM'] = 'yes'")
    script = """
    import os, subprocess, sys
    def run(mini_batch):
        ask = "import os; print(os.environ.pop('CUSTOM', ''))"
        return [os.environ.pop("CUSTOM") + subprocess.run([sys.executable, "-c", ask], stdout=-1, text=True).stdout]
    """
    with bench(tmp_path, script, environment_variables={"PYTHONPATH": str(own)}) as b:
        assert b.value() == "yesyes\n"


INSTEAD = 'the model is in the folder os.environ["AZUREML_MODEL_DIR"] (instead of Model.get_model_path)'


@pytest.mark.parametrize(
    "script",
    [
        "from azureml.core import Run\ndef run(b): return b",
        "from azureml.core.model import Model\ndef run(b): return b",
        "def init():\n  from azureml.core.model import Model\n  Model.get_model_path('wine')\ndef run(b): return b",
        "import azureml.core\ndef run(b): return b",
    ],
    ids=["Run", "Model", "in init", "the package"],
)
def test_a_script_that_asks_for_a_workspace_is_answered_with_what_to_use_instead(tmp_path, script):
    with bench(tmp_path, script) as b, pytest.raises(InitFailed) as caught:
        b.score("a")

    assert "ModuleNotFoundError: No module named 'azureml" in caught.value.what
    assert INSTEAD in caught.value.what


def test_a_workspace_that_the_real_package_does_not_find_is_answered_likewise(tmp_path):
    model = """
    class Model:
        @staticmethod
        def get_model_path(name, version=None, _workspace=None):
            raise RuntimeError(f"Model {name} not found in cache or in root at AzureMLWorkspace")
    """
    script = """
    from azureml.core.model import Model
    def run(mini_batch): return [Model.get_model_path("wine")]
    """
    files = [("azureml/core/model.py", model), ("azureml/__init__.py", ""), ("azureml/core/__init__.py", "")]
    with bench(tmp_path, script, files=files) as b:
        assert INSTEAD in b.reason("a")


@pytest.mark.parametrize(("level", "heard"), [("info", True), ("warning", False)])
def test_what_a_scripts_logger_says_from_the_logging_level_on_is_in_the_log(tmp_path, level, heard):
    script = """
    import logging
    def run(mini_batch):
        logging.getLogger("mine").info("a quiet word")
        return mini_batch
    """
    with bench(tmp_path, script, logging_level=level) as b:
        b.score("a")

    assert ("a quiet word" in b.log.read_text()) is heard


def test_the_deployments_code_stays_as_it_is_when_a_script_writes_beside_itself(tmp_path):
    script = """
    import os
    def run(mini_batch):
        with open(os.path.join(os.path.dirname(__file__), "cache.txt"), "w") as file:
            file.write("x")
        return mini_batch
    """
    with bench(tmp_path, script) as b:
        assert not b.score("a").failed

    assert sorted(os.listdir(b.code)) == ["score.py"]


def test_a_script_finds_a_sibling_that_is_a_relative_link(tmp_path):
    code = tmp_path / "code"
    (code / "lib").mkdir(parents=True)
    (code / "lib" / "real.py").write_text("X = 1")
    (code / "near.py").symlink_to("lib/real.py")
    (code / "nowhere.py").symlink_to("gone.py")
    with bench(tmp_path, "import near\ndef run(mini_batch): return [near.X]") as b:
        assert b.value() == 1


@pytest.mark.parametrize("version", ["3.8.18", "3.9.18", "3.13.0"])
def test_a_script_runs_under_another_python_that_has_none_of_our_packages(tmp_path, version):
    interpreter = PYENV / version / "bin" / "python"
    if not interpreter.exists():
        pytest.skip(f"there is no Python {version} on this machine")
    script = """
    import subprocess, sys
    def run(mini_batch):
        if mini_batch[0].endswith("bad"):
            raise ValueError("bad file")
        if mini_batch[0].endswith("slow"):
            subprocess.call(["sleep", "60"])
        return [sys.version.split()[0], 0.1 + 0.2, ("x", None), {"a": float("nan")}]
    """
    with bench(tmp_path, script, interpreter=str(interpreter), timeout_seconds=2) as b:
        rows = b.score("a", "b", "c", "d").table["prediction"].to_pylist()
        assert b.reason("bad") == "score.py:5: ValueError: bad file"
        assert "did not end within 2 seconds" in b.reason("slow")
        assert b.score("a", "b", "c", "d").table.num_rows == 4

    assert rows == [version, "0.30000000000000004", '["x", null]', '{"a": null}']


# what goes wrong


@pytest.mark.parametrize(
    ("script", "headline"),
    [
        pytest.param("def run(x):\n  return (", "score.py:2: SyntaxError: '(' was never closed", id="syntax error"),
        pytest.param("import math\n\nVALUE = 1\n", "score.py:3: the scoring script has no function run", id="no run"),
        pytest.param("", "score.py:1: the scoring script has no function run", id="an empty script"),
        pytest.param("import wrong\n" + ECHO, "wrong.py:1: SyntaxError: invalid syntax", id="a sibling's syntax"),
        pytest.param("import nump\n" + ECHO, "score.py:1: ModuleNotFoundError: No module named 'nump'", id="import"),
        pytest.param("x = 1 / 0\n" + ECHO, "score.py:1: ZeroDivisionError: division by zero", id="at import"),
        pytest.param(
            "def init():\n  deeper()\ndef deeper():\n  raise KeyError('model.pkl')\n" + ECHO,
            "score.py:4: KeyError: 'model.pkl'",
            id="init raises",
        ),
        pytest.param("import sys\nsys.exit(3)", "score.py:2: SystemExit: the script called sys.exit(3)", id="exit"),
        pytest.param(
            "import os\nos._exit(3)",
            "the scoring script could not be loaded: the scoring process ended itself with exit code 3",
            id="hard exit",
        ),
        pytest.param(None, "FileNotFoundError: the code folder has no file 'score.py'", id="no script"),
    ],
)
def test_a_script_that_cannot_be_loaded_fails_at_once_with_file_and_line(tmp_path, script, headline):
    files = [("wrong.py", "for in 3"), ("tries.txt", "")]
    with bench(tmp_path, script, files=files, max_retries=3) as b, pytest.raises(InitFailed) as caught:
        b.score("a")

    assert caught.value.what.startswith(headline)
    assert b.log.read_text().count("Traceback") <= 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('odd')", "score.py:3: ValueError: odd"),
        ("import json; json.loads('{')", "score.py:3: JSONDecodeError: Expecting property name"),
        ("import sys; sys.exit('enough')", "score.py:3: SystemExit: the script called sys.exit(enough)"),
        ("raise KeyboardInterrupt", "score.py:3: KeyboardInterrupt"),
        ("import asyncio; raise asyncio.CancelledError('gone')", "score.py:3: CancelledError: gone"),
        ("os._exit(0)", "the scoring process ended itself with exit code 0"),
        ("os._exit(7)", "the scoring process ended itself with exit code 7"),
        ("os.kill(os.getpid(), 11)", "the scoring process was killed by SIGSEGV; a crash in compiled code"),
        ("import ctypes; ctypes.string_at(0)", "the scoring process was killed by SIGSEGV; a crash in compiled code"),
        (
            "os.kill(os.getpid(), 9)",
            "the scoring process was killed by SIGKILL; because memory ran out, or because the job",
        ),
        ("os.abort()", "the scoring process was killed by SIGABRT; a crash in compiled code"),
        ("return None", "TypeError: run() returned None; it must return a list, a tuple or a pandas.DataFrame"),
        ("yield 1", "TypeError: run() returned a generator; it must return"),
        ("return 'text'", "TypeError: run() returned a str; it must return"),
        ("return 7", "TypeError: run() returned an int; it must return"),
        ("return []", "run() returned no rows for 1 file. Return one row per file"),
        ("raise ValueError('\\udcff')", "score.py:3: ValueError: \\udcff"),
    ],
    ids=lambda text: text[:40],
)
def test_a_run_that_goes_wrong_is_a_failed_item_and_the_next_one_is_scored(tmp_path, body, reason):
    script = f"import os\ndef run(mini_batch):\n  if mini_batch[0] == '/in/bad': {body}\n  return list(mini_batch)"
    if "yield" in body:
        script = f"def work(): {body}\ndef run(files):\n  return work() if 'bad' in files[0] else files"
    with bench(tmp_path, script) as b:
        assert b.reason("bad").startswith(reason)
        assert b.value("good") == "/in/good"

    log = b.log.read_text()
    assert "host.py" not in log, "a stack is that of the script"
    assert str(tmp_path) not in log, "with its files as the deployment names them"


BUSY = {
    "a busy loop": "while True: pass",
    "a sleep": "time.sleep(600)",
    "a sleep in C that holds the lock": "ctypes.PyDLL(None).sleep(600)",
    "signals ignored": "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; time.sleep(600)",
}


@pytest.mark.parametrize("body", BUSY.values(), ids=BUSY)
def test_a_run_without_end_is_killed_in_time_and_the_next_one_is_scored(tmp_path, body):
    script = f"""
    import ctypes, signal, time
    def run(mini_batch):
        if mini_batch[0] == "/in/bad":
            {body}
        return mini_batch
    """
    with bench(tmp_path, script, timeout_seconds=1) as b:
        b.value("first")
        began = time.monotonic()
        assert b.reason("bad") == "run() did not end within 1 seconds, so its process was killed"
        assert time.monotonic() - began < 10  # it is not waited for any longer
        assert b.value("good") == "/in/good"


@pytest.mark.parametrize("max_retries", [0, 2])
@pytest.mark.parametrize("body", ["raise ValueError", "os._exit(1)", "return None", "return []"])
def test_a_mini_batch_is_tried_once_and_then_max_retries_times(tmp_path, monkeypatch, max_retries, body):
    monkeypatch.setattr("batch_endpoints.scoring.worker.pause_seconds", lambda attempt, jitter: 0.0)
    tries = tmp_path / "tries"
    script = f"import os\ndef run(mini_batch):\n  open({str(tries)!r}, 'a').write('x')\n  {body}"
    with bench(tmp_path, script, max_retries=max_retries) as b:
        scored, attempts = b.worker.score(["/in/a"], ["a"])

    expected = 1 if body.startswith("return") else max_retries + 1  # it would be returned again
    assert tries.read_text() == "x" * expected
    assert attempts == expected
    assert list(scored.failed) == ["a"]


def test_between_two_tries_are_pauses_that_grow(tmp_path):
    with bench(tmp_path, "def run(mini_batch): raise ValueError('odd')", max_retries=4) as b:
        b.reason("a")

    assert [base / 2 <= pause <= base for base, pause in zip((0.1, 0.2, 0.4, 0.8), b.pauses, strict=True)] == [
        True
    ] * 4


@pytest.mark.parametrize(("kills", "scored"), [(3, True), (5, False)])
def test_a_kill_for_the_nodes_memory_uses_up_no_try_unless_it_comes_each_time(tmp_path, monkeypatch, kills, scored):
    tries = tmp_path / "tries"
    script = f"""
    import time
    def run(mini_batch):
        with open({str(tries)!r}, "a") as file:
            file.write("x")
        if len(open({str(tries)!r}).read()) <= {kills}:
            time.sleep(60)
        return mini_batch
    """
    ended = []

    def why_to_end(host, share):
        if tries.exists() and len(ended) < min(len(tries.read_text()), kills):
            ended.append(host)
            return "it held all"
        return ""

    monkeypatch.setattr("batch_endpoints.processes.user_process.why_to_end", why_to_end)
    with bench(tmp_path, script, max_retries=0) as b:
        if scored:
            assert b.value() == "/in/a"
        else:
            assert b.reason() == "the scoring process was killed for want of memory: it held all"

    assert tries.read_text() == "x" * (kills + scored)
    pauses = [pause for pause in b.pauses if pause != OWN_END_SECONDS]
    assert [base / 2 <= pause <= base for base, pause in zip((1, 2, 4, 8), pauses, strict=False)] == [True] * len(
        pauses
    )
    assert len(pauses) == min(kills, 4)


def test_a_try_that_succeeds_is_the_last_one(tmp_path):
    tries = tmp_path / "tries"
    script = f"""
    import os
    def run(mini_batch):
        with open({str(tries)!r}, "a") as file:
            file.write("x")
        if os.path.getsize({str(tries)!r}) < 3:
            raise OSError("not yet")
        return mini_batch
    """
    with bench(tmp_path, script, max_retries=9) as b:
        scored, attempts = b.worker.score(["/in/a"], ["a"])

    assert (attempts, scored.failed, tries.read_text()) == (3, {}, "xxx")


def test_a_host_that_cannot_be_replaced_costs_its_mini_batch_and_not_the_job(tmp_path):
    once = tmp_path / "once"
    script = f"""
    import os
    def init():
        if os.path.exists({str(once)!r}):
            os.remove({str(once)!r})
            raise MemoryError("no room yet")
    def run(mini_batch):
        if mini_batch[0] == "/in/crash":
            open({str(once)!r}, "w").close()
            os._exit(1)
        return mini_batch
    """
    with bench(tmp_path, script) as b:
        assert b.value("a") == "/in/a"
        assert "exit code 1" in b.reason("crash")
        assert b.reason("b") == "score.py:6: MemoryError: no room yet"
        assert b.value("c") == "/in/c"


# what a script may do


@pytest.mark.parametrize(
    "body",
    [
        "print('x' * 3_000_000)",
        "os.write(1, b'raw'); os.write(2, b'raw')",
        "sys.stdin.close(); os.close(0)",
        "sys.stdout.close(); sys.stderr.close()",
        "sys.stdout = sys.stderr = None",
        "os.close(1); os.close(2)",
        "os.chdir('/')",
        "assert input and sys.stdin.read() == ''",
        "threading.Thread(target=time.sleep, args=(600,)).start()",
        "os.environ.clear()",
        "subprocess.Popen(['sleep', '600'])",
        "subprocess.run(['true'], check=True)",
        "os.killpg(0, 0); signal.signal(15, signal.SIG_IGN); os.killpg(0, 15)",
        "import multiprocessing; multiprocessing.get_context('spawn').Pool(1).map(abs, [1])",
        "import multiprocessing; multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,)).start()",
    ],
    ids=lambda text: text[:40],
)
def test_a_script_may_do_odd_things_and_goes_on_scoring(tmp_path, body):
    script = f"""
    import os, signal, subprocess, sys, threading, time
    def run(mini_batch):
        if mini_batch == ["/in/odd"]:
            {body}
        return mini_batch
    """
    with bench(tmp_path, script) as b:
        assert b.value("odd") == "/in/odd"
        pid = b.worker._host.pid
        assert b.value("b") == "/in/b"
        assert b.worker._host.pid == pid


def test_where_memory_runs_short_the_largest_host_is_ended_and_says_what_it_held(tmp_path, monkeypatch):
    monkeypatch.setattr("batch_endpoints.scoring.worker.MOST_MEMORY_KILLS", 1)
    script = """
    import time
    kept = []
    def run(mini_batch):
        while mini_batch == ["/in/greedy"]:
            kept.append(b"x" * (64 << 20))
            time.sleep(0.01)
        return mini_batch
    """
    memory = node_memory()
    share = (memory.used + (1 << 30)) / memory.total
    places = tmp_path / "one", tmp_path / "other"
    for place in places:
        place.mkdir()
    with bench(places[0], script, memory_share=share) as one, bench(places[1], script, memory_share=share) as other:
        assert other.value("b") == "/in/b"
        bystander = other.worker._host.pid
        reason = one.reason("greedy")
        assert one.value("a") == "/in/a"
        assert other.value("b") == "/in/b"
        assert other.worker._host.pid == bystander

    held = re.fullmatch(
        r"the scoring process was killed for want of memory: it held (\d+\.\d) GB when \d+\.\d GB of its node's "
        r"\d+\.\d GB of memory were in use",
        reason,
    )
    assert held, reason
    assert float(held[1]) > 0.5


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="memory is attributed by what /proc has")
def test_what_a_script_starts_is_its_own_whatever_variables_session_or_parent_it_has(tmp_path):
    script = """
    import os, subprocess, sys
    from batch_endpoints.scoring.host_process import HOST_SCRIPT
    def run(mini_batch):
        mark = {"AZUREML_BI_OUTPUT_PATH": "/of/another"}
        alone = {"start_new_session": True, "stdout": subprocess.PIPE}
        child = subprocess.Popen(["sleep", "600"])
        stranger = subprocess.Popen(["/bin/sleep", "600"], env=mark, start_new_session=True)
        orphan = subprocess.run(["/bin/sh", "-c", "/bin/sleep 600 > /dev/null & echo $!"], env={}, **alone)
        feigned = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(HOST_SCRIPT)], env=mark)
        os.environ["AZUREML_BI_OUTPUT_PATH"] = "/of/another"
        return [[os.getpid(), child.pid, stranger.pid, int(orphan.stdout), feigned.pid]]
    """
    places = tmp_path / "one", tmp_path / "other"
    for place in places:
        place.mkdir()
    with bench(places[0], script) as one, bench(places[1], ECHO) as other:
        pids = one.value()
        other.value()
        found = families()

        assert {found.get(pid) for pid in pids} == {one.worker._host.pid}
        assert sorted(pid for pid, first in found.items() if first == other.worker._host.pid)
        assert os.getpid() not in found


def test_a_script_that_waits_for_its_children_meets_only_its_own(tmp_path):
    script = """
    import os
    def run(mini_batch):
        try:
            os.wait()
        except ChildProcessError:
            return ["none"]
    """
    with bench(tmp_path, script) as b:
        assert b.value() == "none"


def test_a_mini_batch_of_thousands_of_paths_arrives(tmp_path):
    many = [f"{'deep/' * 20}{n}" for n in range(3000)]
    with bench(tmp_path, ECHO) as b:
        assert b.score(*many).table["prediction"].to_pylist() == [f"/in/{name}" for name in many]


def test_a_host_that_does_not_read_its_request_is_killed_in_time(tmp_path):
    many = [f"{'deep/' * 20}{n}" for n in range(30_000)]  # more than a pipe holds
    script = """
    import os
    def run(mini_batch): return [os.getpid() for _ in mini_batch]
    """
    with bench(tmp_path, script, timeout_seconds=1) as b:
        host = b.value("a")
        os.kill(host, signal.SIGSTOP)

        assert "within 1 seconds" in b.reason(*many)
        assert b.value("a") != host


# what is left behind

CHILDREN = """
import os, subprocess, time
def run(mini_batch):
    child = subprocess.Popen(["sleep", "600"])
    daemon = subprocess.Popen(["sleep", "600"], start_new_session=True)
    stranger = subprocess.Popen(["/bin/sleep", "600"], env={}, start_new_session=True)
    leave = ["/bin/sh", "-c", "/bin/sleep 600 > /dev/null & echo $!"]
    orphan = subprocess.run(leave, env={}, start_new_session=True, stdout=subprocess.PIPE)
    with open(os.environ["PIDS"], "w") as file:
        file.write(f"{os.getpid()} {child.pid} {daemon.pid} {stranger.pid} {int(orphan.stdout)}")
    os.rename(os.environ["PIDS"], os.environ["PIDS"] + ".done")
    if "hang" in mini_batch[0]:
        time.sleep(600)
    if "exit" in mini_batch[0]:
        os._exit(1)
    if "crash" in mini_batch[0]:
        os.kill(os.getpid(), 9)
    return mini_batch
"""


@pytest.mark.parametrize("how", ["close", "hang", "exit", "crash"])
def test_what_a_script_started_ends_with_its_host(tmp_path, how):
    pids = tmp_path / "pids"
    seconds = 2 if how == "hang" else 60
    with bench(tmp_path, CHILDREN, timeout_seconds=seconds, environment_variables={"PIDS": str(pids)}) as b:
        failed = b.score(how).failed
        assert [why.headline for why in failed.values()] == {
            "close": [],
            "hang": ["run() did not end within 2 seconds, so its process was killed"],
            "exit": ["the scoring process ended itself with exit code 1"],
            "crash": [
                "the scoring process was killed by SIGKILL; because memory ran out, or because the job was ended"
            ],
        }[how]

    found = [int(pid) for pid in Path(f"{pids}.done").read_text().split()]
    assert [pid for pid in found if not gone(pid)] == []


@pytest.mark.parametrize("busy", [True, False], ids=["in run()", "between two calls"])
def test_no_process_is_left_when_the_worker_itself_is_killed(tmp_path, busy):
    pids = tmp_path / "pids"
    program = f"""
import sys, threading
from pathlib import Path
sys.path.insert(0, {os.path.dirname(__file__)!r})
from scoring_workers import Bench
b = Bench(Path({str(tmp_path)!r}), {CHILDREN!r}, timeout_seconds=600, environment_variables={{"PIDS": {str(pids)!r}}})
b.score({"hang" if busy else "a"!r})
threading.Event().wait()
"""
    worker = subprocess.Popen([sys.executable, "-c", program])
    done = Path(f"{pids}.done")
    try:
        until = time.monotonic() + 120
        while not done.exists():
            assert time.monotonic() < until
            assert worker.poll() is None
            threading.Event().wait(0.05)
        host, child, *others = (int(pid) for pid in done.read_text().split())
        group = {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _group(pid) == host}
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    assert group >= {host, child}
    assert [pid for pid in {*group, *others} if not gone(pid)] == []


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="what is left is found in /proc")
def test_what_a_script_started_ends_with_its_worker_also_where_the_process_beside_the_host_is_killed_first(tmp_path):
    pids = tmp_path / "pids"
    script = """
    import os, subprocess
    def run(mini_batch):
        daemon = subprocess.Popen(["sleep", "600"], start_new_session=True)
        with open(os.environ["PIDS"], "w") as file:
            file.write(f"{os.getpid()} {daemon.pid}")
        return mini_batch
    """
    program = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {os.path.dirname(__file__)!r})
from scoring_workers import Bench
b = Bench(Path({str(tmp_path)!r}), {script!r}, environment_variables={{"PIDS": {str(pids)!r}}})
b.score("a")
os.kill(b.worker._host.pid, signal.SIGKILL)  # as Ray does with the children of a worker that it ends
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], timeout=120)
    assert [pid for pid in map(int, pids.read_text().split()) if not gone(pid)] == []


def _group(pid):
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def test_a_worker_told_to_stop_ends_its_host_at_once_and_scores_nothing_more(tmp_path):
    pids = tmp_path / "pids"
    with bench(tmp_path, CHILDREN, max_retries=5, environment_variables={"PIDS": str(pids)}) as b:
        caught = []

        def score():
            try:
                b.score("hang")
            except WorkerStopped as stopped:
                caught.append(stopped)

        thread = threading.Thread(target=score)
        thread.start()
        until = time.monotonic() + 120
        while not Path(f"{pids}.done").exists():
            assert time.monotonic() < until
            threading.Event().wait(0.02)
        began = time.monotonic()
        b.worker.stop()
        thread.join(timeout=120)
        assert time.monotonic() - began < 20
        assert len(caught) == 1
        with pytest.raises(WorkerStopped):
            b.score("a")


# what a script writes to its output folder


@pytest.mark.parametrize(("kills", "loaded"), [(2, True), (3, False)], ids=["twice", "each time"])
def test_a_host_that_is_killed_while_it_loads_the_code_is_started_again(tmp_path, kills, loaded):
    script = f"""
    import os, pathlib, signal
    def init():
        seen = pathlib.Path({str(tmp_path / "seen")!r})
        seen.open("a").write("x")
        if len(seen.read_text()) <= {kills}:
            os.kill(os.getpid(), signal.SIGKILL)
    def run(mini_batch): return ["scored"]
    """
    with bench(tmp_path, script) as b:
        if loaded:
            assert b.value() == "scored"
        else:
            with pytest.raises(InitFailed, match=r"could not be loaded: .* killed by SIGKILL; because memory"):
                b.score("a")
    assert (tmp_path / "seen").read_text() == "xxx"


def test_a_failed_try_leaves_no_file_and_what_init_wrote_stays(tmp_path):
    script = """
    import os
    FOLDER = os.environ["AZUREML_BI_OUTPUT_PATH"]
    def init():
        os.makedirs(os.path.join(FOLDER, "sub"))
        open(os.path.join(FOLDER, "sub", "labels.txt"), "w").close()
    def run(mini_batch):
        open(os.path.join(FOLDER, "sub", "half.txt"), "w").close()
        if "bad" in mini_batch[0]:
            raise ValueError("odd")
        return mini_batch
    """
    with bench(tmp_path, script, max_retries=1) as b:
        b.reason("bad")
        written = sorted(path.name for path in b.output.rglob("*.txt"))
        b.value("good")

    assert written == ["labels.txt"]
    assert sorted(path.name for path in b.output.rglob("*.txt")) == ["half.txt", "labels.txt"]


def test_the_log_has_what_the_script_printed_and_the_stack_of_failed_tries(tmp_path):
    script = """
    def run(mini_batch):
        print("scoring", mini_batch)
        raise ValueError("odd")
    """
    with bench(tmp_path, script, max_retries=1) as b:
        b.reason("a", "b", "c", "d", "e")
    log = b.log.read_text()

    assert log.count("scoring ['/in/a'") == 2
    assert re.findall(r"try \d failed for .*", log) == [
        "try 1 failed for a, b, c and 2 more: score.py:4: ValueError: odd",
        "try 2 failed for a, b, c and 2 more: score.py:4: ValueError: odd (again)",
    ]
    assert log.count('File "score.py", line 4, in run') == 1, "the same stack is not written for each try"
    assert "host.py" not in log


MAKES_A_FOLDER = """
import os
FOLDER = os.environ["AZUREML_BI_OUTPUT_PATH"]
def init():
    os.makedirs(os.path.join(FOLDER, "sub"))
    open(os.path.join(FOLDER, "sub", "labels.txt"), "w").close()
def run(mini_batch):
    os.makedirs(os.path.join(FOLDER, os.path.basename(mini_batch[0])))
    open(os.path.join(FOLDER, "sub", os.path.basename(mini_batch[0])), "w").close()
    if mini_batch == ["/in/crash"]:
        os._exit(1)
    if mini_batch == ["/in/bad"]:
        raise ValueError("odd")
    return mini_batch
"""


def below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_host_that_replaces_another_finds_the_output_folder_as_the_first_one_did(tmp_path):
    with bench(tmp_path, MAKES_A_FOLDER, max_retries=1) as b:
        assert "exit code 1" in b.reason("crash")
        assert below(b.output) == []
        assert b.value("a") == "/in/a"
        assert below(b.output) == ["a", "sub", "sub/a", "sub/labels.txt"]


def test_what_a_failed_try_has_made_in_the_output_folder_goes_with_its_folders(tmp_path):
    with bench(tmp_path, MAKES_A_FOLDER, max_retries=1) as b:
        b.value("a")
        assert b.reason("bad") == "score.py:13: ValueError: odd"
        assert below(b.output) == ["a", "sub", "sub/a", "sub/labels.txt"]


def test_files_that_init_made_are_told_once_for_each_host(tmp_path):
    with bench(tmp_path, MAKES_A_FOLDER) as b:
        b.value("a")
        first, again = b.worker.files_of_init(), b.worker.files_of_init()
        b.reason("crash")
        b.value("b")
        assert first == b.worker.files_of_init() == {b.output / "sub", b.output / "sub" / "labels.txt"}
        assert again == set()


# what a script answers in the host's name

FORGES = """
import json, os, stat, struct
def _pipes():
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            is_pipe, flags = stat.S_ISFIFO(os.fstat(fd).st_mode), open(f"/proc/self/fdinfo/{name}").read()
        except OSError:
            continue
        if is_pipe and int(flags.split("flags:")[1].split()[0], 8) & 3 == os.O_WRONLY:
            yield fd
def say(header, payload=b"", sizes=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    for fd in _pipes():
        os.write(fd, struct.pack(">IQ", *(sizes or (len(header), len(payload)))) + header + payload)
def run(mini_batch):
    if mini_batch[0] != "/in/good":
        BODY
    return mini_batch
"""


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="the pipe is found in /proc")
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("say({})", "it is not the one to this request"),
        ("say(b'', sizes=(1, 1 << 63))", "it claims to have 1 and 9223372036854775808 bytes"),
        ("say(b'', sizes=((1 << 32) - 1, 0))", "it claims to have 4294967295 and 0 bytes"),
        ("say({'kind': 'values', 'values': [1], 'number': 1})", "it is not the one to this request"),
        ("say({'kind': 'table', 'rows': 1, 'number': 3}, b'wild')", "its rows are damaged"),
        ("say(b'[' * 5000)", "recursion limit"),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_no_reply_ends_its_host_and_the_next_mini_batch_is_scored(tmp_path, body, why):
    with bench(tmp_path, FORGES.replace("BODY", body)) as b:
        assert b.value("good") == "/in/good"
        reason = b.reason("bad")
        assert b.value("good") == "/in/good"

    assert reason.startswith("the scoring process sent a reply that cannot be used, so it was killed: ")
    assert why in reason


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="the pipe is found in /proc")
def test_a_reply_that_comes_one_call_too_late_is_not_taken_for_the_next_one(tmp_path):
    twice = "say({'kind': 'values', 'values': ['mine'], 'number': 3})"  # the host's own comes after it
    with bench(tmp_path, FORGES.replace("BODY", twice), max_retries=1) as b:
        assert b.value("good") == "/in/good"
        assert b.value("bad") == "mine"
        assert b.value("good") == "/in/good"
