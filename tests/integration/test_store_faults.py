"""Everything in stores that answer badly: nothing is lost, and nothing is there twice."""

import csv
import io
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import cycle

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from faulty_proxy import FaultyProxy, now_and_then
from job_folders import ECHO

from batch_endpoints.engine.driver import run_job as driver
from batch_endpoints.engine.driver.run_job import run_job
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.engine.worker import bundle
from batch_endpoints.engine.worker.bundle import BundleScorer
from batch_endpoints.errors import InputError, StoreUnavailable
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.partitions import Part, partition_size
from batch_endpoints.scoring.worker import WorkerStopped
from batch_endpoints.specs import ScoringJob
from batch_endpoints.storage.files.patience import patience
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.inputs.fetch import fetch, fetch_tree
from batch_endpoints.storage.inputs.listing import list_files
from batch_endpoints.storage.job.commits import CommitLog
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.tables.column_types import ColumnTypes
from batch_endpoints.storage.tables.parts import PartReader, cut_tables, open_table


@pytest.fixture
def folder(store):
    return f"{store.PLACE}/jobs/job"


@pytest.fixture
def behind(request, store, monkeypatch):
    """Puts a proxy with chosen faults between this process and the store; pauses are short."""
    monkeypatch.setattr(
        "batch_endpoints.storage.files.patience.pause_seconds", lambda attempt, jitter: 0.002 * jitter
    )
    url = request.getfixturevalue(f"{request.node.callspec.params['store']}_url")
    proxies = []

    def put_between(choose, timeout="1.5", **more):
        proxy = FaultyProxy(url, choose, **more).__enter__()
        proxies.append(proxy)
        store.use_store(monkeypatch, proxy.url, timeout=timeout)
        return proxy

    yield put_between
    for proxy in proxies:
        proxy.__exit__()


def first(faults, *methods):
    """A choice of faults for the first requests of some methods."""
    left = list(faults)
    return lambda asked, path: left.pop(0) if asked in methods and left else ""


def put(uri, *names):
    """Files that hold their names."""
    for name in names:
        writable_place(uri).replace(name, name.encode())


@pytest.mark.parametrize("fault", ["500", "503", "reset", "lost 500", "lost reset", "stall"])
def test_a_put_wins_though_its_first_answer_was_bad(behind, store, folder, fault):
    proxy = behind(first([fault], store.WRITES))
    files = writable_place(folder)
    assert files.put_if_absent("commits/0", b"mine")
    assert files.read("commits/0") == b"mine"
    assert proxy.seen[fault] == 1


@pytest.mark.parametrize("fault", ["500", "lost reset"])
def test_a_put_of_the_same_content_does_not_take_another_ones_win_for_its_own(behind, store, folder, fault):
    behind(first(["", fault], store.WRITES))
    files = writable_place(folder)
    assert files.put_if_absent("cancel", b"")
    assert not files.put_if_absent("cancel", b"")


def test_threads_that_put_one_file_have_one_winner_also_where_answers_are_lost(behind, folder):
    behind(now_and_then(seed=1, rate=0.5, faults=FaultyProxy.FAULTS))
    files = writable_place(folder)
    won = []

    def put(name):
        if files.put_if_absent("x", name.encode()):
            won.append(name)

    racers = [threading.Thread(target=put, args=(str(number),)) for number in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(won) == 1
    assert files.read("x") == won[0].encode()


def test_a_large_file_appears_though_the_answer_that_completed_it_was_lost(behind, store, folder):
    answers = cycle(["lost 500", ""])
    behind(lambda method, path: next(answers) if re.match(store.COMPLETES, f"{method} {path}") else "")
    files = writable_place(folder)
    with files.open_output("large") as file:
        file.write(b"x" * (9 << 20))
    with files.open_input("large") as file:
        assert file.read() == b"x" * (9 << 20)


@pytest.mark.parametrize("fault", ["half", "reset", "503"])
def test_a_body_that_breaks_off_is_read_again(behind, folder, fault):
    with writable_place(folder).open_output("x") as file:
        file.write(bytes(range(256)) * 40_000)  # beyond one piece
    behind(first([fault, "", fault], "GET"))
    with writable_place(folder).open_input("x") as file:
        assert file.read() == bytes(range(256)) * 40_000


def test_a_store_that_stays_broken_is_told_and_not_waited_for_for_ever(behind, store, folder, tmp_path):
    proxy = behind(lambda method, path: "503")
    with patience(0.3):
        with pytest.raises(OSError, match="the store answers") as told:
            writable_place(folder).read("job.json")
        assert f"{folder}/job.json" in str(told.value)
        with pytest.raises(InputError, match=f"the input '{store.PLACE}/in' cannot be read: the store answers"):
            list_files(f"{store.PLACE}/in")
        with pytest.raises(StoreUnavailable, match=f"'{store.PLACE}/in/a' cannot be read now: .*the store answers"):
            fetch(f"{store.PLACE}/in", "a", tmp_path)
        with pytest.raises(StoreUnavailable, match=f"'{store.PLACE}/m' cannot be read now: .*the store answers"):
            fetch_tree(f"{store.PLACE}/m", tmp_path)
    assert proxy.seen["503"] > 10


@pytest.mark.parametrize("kind", ["parquet", "csv", "arrow"])
def test_a_table_in_a_store_that_stays_broken_has_not_failed(behind, store, tmp_path, kind):
    rows = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"a": range(9)}), rows) if kind == "parquet" else rows.write(b"a\n1\n")
    writable_place(store.PLACE).replace(f"in/a.{kind}", rows.getvalue())
    behind(lambda method, path: "503")
    with patience(0.3), pytest.raises(StoreUnavailable, match=f"'a.{kind}' cannot be read now"):
        open_table(f"{store.PLACE}/in", f"a.{kind}", tmp_path).read(Part(0, 9, 0, -1), None, None)


def put_batches(store, name, new, batches, **options):
    """An Arrow file, or stream, in a store."""
    written = io.BytesIO()
    with new(written, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    writable_place(store.PLACE).replace(f"in/{name}", written.getvalue())
    return len(written.getvalue())


def in_parts(store, name, size, scratch):
    """The parts of a file that is cut where it is, and a reader of its own for each, as other workers have."""
    types, root = ColumnTypes(), f"{store.PLACE}/in"
    batches = list(cut_tables(root, [InputFile(name)], partition_size(size), types, scratch))
    return [(part, lambda: PartReader(root, types.schema(), scratch)) for ((_, part),) in batches]


@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream], ids=["file", "stream"])
@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}], ids=["plain", "zstd"])
def test_of_a_large_arrow_file_in_a_store_a_part_fetches_its_own_bytes(behind, store, tmp_path, new, options):
    batches = [
        pa.record_batch({"n": range(at, at + 50_000), "x": [random.random() for _ in range(50_000)]})
        for at in range(0, 1_000_000, 50_000)
    ]
    size = put_batches(store, "a.arrow", new, batches, **options)
    proxy = behind(lambda method, path: "")

    parts = in_parts(store, "a.arrow", "25000 rows", tmp_path)

    assert sum(proxy.sent.values()) < size / 4, "to cut it, only what stands before each batch is looked at"
    assert [part.rows for part, _ in parts] == [25_000] * 40
    for number in (0, 21, 39):
        proxy.sent.clear()
        part, reader = parts[number]
        assert reader().read("a.arrow", part)["n"].to_pylist() == list(
            range(25_000 * number, 25_000 * number + 25_000)
        )
        assert 0 < sum(proxy.sent.values()) < size / 8


@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream], ids=["file", "stream"])
def test_an_arrow_file_is_cut_and_read_though_its_store_answers_badly(behind, store, tmp_path, new):
    words = pa.array(["a", "b", "c"])
    batches = [
        pa.record_batch({"n": range(at, at + 9), "d": pa.DictionaryArray.from_arrays(pa.array([1, 0, 2] * 3), words)})
        for at in range(0, 90, 9)
    ]
    put_batches(store, "a.arrow", new, batches)
    faults = cycle(["503", "", "", "reset", "", "", "half", "", "", "500", "", ""])
    proxy = behind(lambda method, path: next(faults) if "a.arrow" in path else "")

    parts = in_parts(store, "a.arrow", "5 rows", tmp_path)
    found = pa.concat_tables([reader().read("a.arrow", part) for part, reader in parts])

    assert found.to_pylist() == pa.Table.from_batches(batches).to_pylist()
    assert all(proxy.seen[fault] for fault in ("503", "reset", "half", "500"))


def test_what_is_refused_or_absent_is_told_at_once(behind, store, folder):
    proxy = behind(lambda method, path: "")
    with pytest.raises(FileNotFoundError):
        writable_place(folder).read("job.json")
    assert proxy.seen[""] == 1


def test_a_model_folder_is_fetched_whole(behind, store, tmp_path):
    put(f"{store.PLACE}/models/m", "MLmodel", "data/weights")
    behind(now_and_then(seed=2, rate=0.3))
    tree = fetch_tree(f"{store.PLACE}/models/m", tmp_path)
    assert (tree / "data" / "weights").read_text() == "data/weights"
    assert fetch_tree(f"{store.PLACE}/models/m/MLmodel", tmp_path / "one").read_text() == "MLmodel"


def job_of_20_files(store, tmp_path):
    """Their names, and a job that scores them from and into a store."""
    names = [f"part-{number:03}.txt" for number in range(20)]
    put(f"{store.PLACE}/in/deep", *names)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "m.bin").write_bytes(b"m")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(ECHO + "print('the script is loaded', flush=True)\n")
    spec = ScoringJob.model_validate(
        {
            "name": "job",
            "deployment": {
                "name": "echo",
                "model": {"name": "m", "version": "1", "path": (tmp_path / "model" / "m.bin").as_uri()},
                "code_configuration": {"code": (tmp_path / "code").as_uri(), "scoring_script": "score.py"},
                "settings": {
                    "mini_batch_size": 2,
                    "max_concurrency_per_instance": 2,
                    "retry_settings": {"max_retries": 0},
                },
            },
            "inputs": {"data": {"type": "uri_folder", "path": f"{store.PLACE}/in"}},
            "outputs": {"score": {"type": "uri_folder", "path": f"{store.PLACE}/out"}},
        }
    )
    return names, spec


TABLES = """
import os
import pandas as pd

def run(mini_batch: pd.DataFrame):
    name = f"{mini_batch['n'].iloc[0]}.txt"
    with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], name), "w") as file:
        file.write(" ".join(map(str, mini_batch["n"])))
    return mini_batch
"""


def job_of_tables(store, tmp_path):
    """A job whose script gets parts of files of all formats, writes a file for each, and returns 1,200 rows."""
    _, spec = job_of_20_files(store, tmp_path)
    for number, kind in enumerate(["parquet", "csv", "arrow", "feather"]):
        rows, text = pa.table({"n": range(300 * number, 300 * number + 300)}), io.BytesIO()
        if kind == "csv":
            pyarrow.csv.write_csv(rows, text)
        elif kind == "parquet":
            pyarrow.parquet.write_table(rows, text, row_group_size=60)
        else:
            with (pa.ipc.new_file if kind == "feather" else pa.ipc.new_stream)(text, rows.schema) as writer:
                writer.write_table(rows, max_chunksize=50)
        writable_place(store.PLACE).replace(f"tables/{number}.{kind}", text.getvalue())
    (tmp_path / "code" / "score.py").write_text(TABLES)
    asked = spec.model_dump(exclude_none=True)
    asked["deployment"]["settings"] |= {"mini_batch_size": "60 rows", "output_file_name": "predictions/"}
    asked["inputs"]["data"]["path"] = f"{store.PLACE}/tables"
    return ScoringJob.model_validate(asked)


def check_output_of_tables(store, job):
    """Each row is there once, in order, and in one of the scripts' files."""
    state = run_job(job, LocalRunner)
    assert state.status == "Completed", state.error
    out = writable_place(f"{store.PLACE}/out")
    parts = [pyarrow.parquet.read_table(pa.py_buffer(out.read(f"predictions/{x}"))) for x in out.names("predictions")]
    assert [n for part in parts for n in part.column("n").to_pylist()] == list(range(1200))
    texts = [out.read(name).decode() for name in out.names("") if name.endswith(".txt")]
    assert sorted(int(n) for text in texts for n in text.split()) == list(range(1200))
    assert len(texts) == job.plan().mini_batches > 12


def asked_for(name, faults):
    """A choice of one fault for the first requests for one file."""
    left = list(faults)
    return lambda method, path: left.pop(0) if left and method == "GET" and name in path else ""


def test_a_file_that_its_store_does_not_give_for_a_while_does_not_fail(behind, store, folder, tmp_path):
    _, spec = job_of_20_files(store, tmp_path)
    proxy = behind(asked_for("part-007.txt", ["503", "reset", "500"] * 10))
    job = JobFolder(writable_place(folder), folder)
    job.write_job(spec)
    state = run_job(job, LocalRunner)
    assert (state.status, state.progress.items_failed) == ("Completed", 0)
    assert proxy.seen["503"] == 10


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_a_job_ends_where_a_store_stays_away_and_what_it_was_asked_for_is_scored_by_its_resumption(
    behind, store, folder, tmp_path, monkeypatch
):
    _, spec = job_of_20_files(store, tmp_path)
    monkeypatch.setattr(driver, "PATIENT_SECONDS", 0.5)
    monkeypatch.setattr(bundle, "PATIENT_SECONDS", 0.5)
    away = [True]
    behind(lambda method, path: "503" if away and method == "GET" and "part-007.txt" in path else "")
    job = JobFolder(writable_place(folder), folder)
    job.write_job(spec)

    state = run_job(job, LocalRunner)

    assert (state.status, state.error.code) == ("Failed", "StoreUnavailable")
    assert re.match(r"worker '.+' cannot go on: '.*/in/deep/part-007.txt' cannot be read now", state.error.message)
    assert "job resume" in state.error.details
    assert state.progress.items_failed == 0
    away.clear()
    job.write_job(spec.model_copy(update={"resumption": 1}))
    state = run_job(job, LocalRunner)
    assert (state.status, state.progress.items_succeeded) == ("Completed", 20)


@pytest.mark.parametrize("store", ["s3"], indirect=True)
@pytest.mark.parametrize(("method", "name"), [("GET", "part-007.txt"), ("PUT", "/parts/"), ("PUT", "/commits/")])
def test_a_worker_that_waits_for_a_store_ends_at_once_when_it_is_told_to(
    behind, store, folder, tmp_path, monkeypatch, method, name
):
    _, spec = job_of_20_files(store, tmp_path)
    waits = threading.Event()

    def choose(asked, path):
        if asked != method or name not in path:
            return ""
        waits.set()
        return "503"

    behind(choose)
    monkeypatch.setattr("batch_endpoints.storage.files.patience.pause_seconds", lambda attempt, jitter: 600)
    job = JobFolder(writable_place(folder), folder)
    job.write_job(spec)
    files = tuple((f"deep/part-{number:03}.txt",) for number in range(20))
    with closing(BundleScorer(folder, f"{store.PLACE}/in")) as scorer, ThreadPoolExecutor() as pool:
        running = pool.submit(scorer.run, Bundle(0, 0, files))
        assert waits.wait(30)
        began = time.monotonic()
        scorer.stop()
        with pytest.raises(WorkerStopped):
            running.result(120)
        assert time.monotonic() - began < 60  # of the 600 that it would wait


def test_a_job_in_a_store_that_answers_badly_loses_nothing_and_has_nothing_twice(behind, store, folder, tmp_path):
    names, spec = job_of_20_files(store, tmp_path)
    proxy = behind(now_and_then(seed=3, rate=0.25, stall_at=40))
    job = JobFolder(writable_place(folder), folder)
    job.write_job(spec)

    state = run_job(job, LocalRunner)

    assert state.status == "Completed", state.error
    assert (state.progress.items_succeeded, state.progress.items_failed) == (20, 0)
    text = writable_place(f"{store.PLACE}/out").read("predictions.csv").decode()
    assert [row["file"] for row in csv.DictReader(io.StringIO(text))] == [f"deep/{name}" for name in names]
    assert proxy.seen["stall"] == 1
    assert all(proxy.seen[fault] for fault in (*FaultyProxy.FAULTS, "half"))
    plan = job.plan()
    ranges = [(c.start, c.end) for chain in CommitLog(job.files).chains(plan).values() for c in chain]
    assert [start for start, _ in ranges[1:]] == [end for _, end in ranges[:-1]]
    assert (ranges[0][0], ranges[-1][1]) == (0, 10)
    logs = job.files.names("logs")
    assert logs
    assert all("the script is loaded" in job.files.read(f"logs/{log}").decode() for log in logs)


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_tables_and_files_of_scripts_are_all_there_once_though_their_store_answers_badly(
    behind, store, folder, tmp_path
):
    job = JobFolder(writable_place(folder), folder)
    job.write_job(job_of_tables(store, tmp_path))
    spoil = now_and_then(seed=4, rate=0.2)
    left = {  # the first requests of these kinds are spoilt in any case
        ("GET", ".parquet"): "half",
        ("GET", ".csv"): "reset",
        ("GET", ".arrow"): "503",
        ("GET", ".feather"): "half",
        ("PUT", ".txt"): "lost 500",
        ("PUT", "/parts/0000"): "503",
        ("PUT", "/commits/"): "lost reset",
    }

    def choose(method, path):
        kind = next((kind for kind in list(left) if kind[0] == method and kind[1] in path), None)
        return left.pop(kind, "") or spoil(method, path)

    proxy = behind(choose)
    check_output_of_tables(store, job)
    assert not left
    assert all(proxy.seen[fault] for fault in (*FaultyProxy.FAULTS, "half"))


@pytest.mark.chaos
@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_a_commit_that_its_store_is_silent_about_for_half_a_minute_counts_once(behind, store, folder, tmp_path):
    job = JobFolder(writable_place(folder), folder)
    job.write_job(job_of_tables(store, tmp_path))
    left = ["stall"]
    proxy = behind(
        lambda method, path: left.pop() if left and method == "PUT" and "/commits/" in path else "",
        timeout="",  # what is shipped
        stall_seconds=30,
    )
    check_output_of_tables(store, job)
    assert proxy.seen["stall"] == 1
