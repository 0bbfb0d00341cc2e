"""Failed items that are tried again, in real job folders: the output, the counts, and what is killed on the way."""

import os
import signal
from pathlib import Path

import pandas as pd
import pytest
from job_folders import Job, noting, wait_until

from batch_endpoints.engine.driver import run_job
from batch_endpoints.engine.local import LocalRunner


def failing(place, more=""):
    """A script that fails for each file of which there is a mark ``bad-<name>``, alone or with all of its call."""
    return f"""
import os, time
from pathlib import Path
{noting(place)}
place = Path({str(place)!r})
def run(mini_batch):
    names = [os.path.basename(file) for file in mini_batch]
    for name in names:
        note(name)
        {more or "pass"}
    if (place / "bad-all").exists() and any((place / f"bad-{{name}}").exists() for name in names):
        raise ValueError(f"bad call {{names[0]}}")
    import pandas
    good = [name for name in names if not (place / f"bad-{{name}}").exists()]
    return pandas.DataFrame({{"file": good, "upper": [name.upper() for name in good]}})
"""


def mark(place, *names):
    for name in names:
        (place / f"bad-{name}").touch()


def heal(place, *names):
    for name in names:
        (place / f"bad-{name}").unlink()


def ask_for_retry(job, retries=1, resumption=None):
    """What the control plane makes of the request, and the controller writes."""
    changes = {"retries": retries, "resumption": resumption or retries}
    job.job_folder.write_job(job.job_folder.job().model_copy(update=changes))


def counts(job):
    told = job.report()["progress"]
    return told["items"], told["items_succeeded"], told["items_failed"], told["rows"]


def files_of(job):
    return [row["file"] for row in job.rows()]


def names(count):
    return [f"{n:03}.txt" for n in range(count)]


def test_whole_mini_batches_that_failed_take_their_place_in_the_same_output(tmp_path):
    job = Job(tmp_path, failing(tmp_path), files=20, settings={"mini_batch_size": 3})
    mark(tmp_path, "all", "004.txt", "019.txt")
    assert job.run().status == "Completed"
    assert counts(job) == (20, 15, 5, 15)
    assert [item["mini_batch"] for item in job.failed_items()] == [1, 1, 1, 6, 6]
    called = len(job.calls())

    heal(tmp_path, "all", "004.txt", "019.txt")
    ask_for_retry(job)
    state = job.run()

    assert state.status == "Completed"
    assert "retry 1: 5 items tried again" in state.notes
    assert files_of(job) == names(20)
    assert job.calls()[called:] == ["003.txt", "004.txt", "005.txt", "018.txt", "019.txt"]
    assert counts(job) == (20, 20, 0, 20)
    assert job.report()["progress"]["mini_batches_done"] == job.report()["progress"]["mini_batches"] == 7
    assert job.failed_items() == []
    assert job.run() == state


def test_what_fails_again_is_told_and_is_tried_in_a_second_round(tmp_path):
    job = Job(tmp_path, failing(tmp_path), files=12, settings={"mini_batch_size": 4})
    mark(tmp_path, "001.txt", "002.txt", "009.txt")
    job.run()
    assert counts(job) == (12, 9, 3, 9)

    heal(tmp_path, "002.txt")
    ask_for_retry(job)
    assert job.run().status == "Completed"
    assert counts(job) == (12, 10, 2, 10)
    assert [(item["file"], item["mini_batch"]) for item in job.failed_items()] == [("001.txt", 0), ("009.txt", 2)]
    assert files_of(job)[:4] == ["000.txt", "003.txt", "002.txt", "004.txt"]

    heal(tmp_path, "001.txt", "009.txt")
    called = len(job.calls())
    ask_for_retry(job, retries=2)
    state = job.run()
    assert state.status == "Completed"
    assert state.notes == ("retry 2: 2 items tried again",)
    assert job.calls()[called:] == ["001.txt", "009.txt"]
    assert counts(job) == (12, 12, 0, 12)
    assert files_of(job) == [f"{n:03}.txt" for n in (0, 3, 2, 1, 4, 5, 6, 7, 8, 10, 11, 9)]


def test_a_job_in_which_all_failed_completes_when_one_succeeds(tmp_path):
    job = Job(tmp_path, failing(tmp_path), files=3)
    mark(tmp_path, *names(3))
    assert job.run().status == "Failed"
    ask_for_retry(job)
    assert job.run().status == "Failed"
    assert counts(job) == (3, 0, 3, 0)
    assert not job.output.exists()

    heal(tmp_path, "001.txt")
    ask_for_retry(job, retries=2)
    assert job.run().status == "Completed"
    assert files_of(job) == ["001.txt"]
    assert [item["file"] for item in job.failed_items()] == ["000.txt", "002.txt"]


def test_a_retry_with_nothing_to_do_is_not_told(tmp_path):
    job = Job(tmp_path, failing(tmp_path) + "assert (place / 'ready').exists()\n", files=2)
    assert job.run().status == "Failed"

    (tmp_path / "ready").touch()
    ask_for_retry(job)
    state = job.run()

    assert (state.status, state.notes) == ("Completed", ())
    assert files_of(job) == names(2)


def test_a_job_over_its_threshold_scores_the_rest_first_and_counts_what_fails_again(tmp_path):
    job = Job(
        tmp_path, failing(tmp_path), files=10, settings={"error_threshold": 1, "max_concurrency_per_instance": 1}
    )
    mark(tmp_path, "002.txt", "003.txt")
    assert job.run().status == "Failed"
    assert counts(job)[1] < 8

    ask_for_retry(job)
    state = job.run()
    assert state.status == "Failed"
    assert state.error.details.startswith("2 items failed, more than error_threshold (1) allows")
    assert counts(job) == (10, 8, 2, 8)
    assert not job.output.exists()

    heal(tmp_path, "002.txt")
    ask_for_retry(job, retries=2)
    assert job.run().status == "Completed"
    assert counts(job) == (10, 9, 1, 9)
    assert files_of(job) == [name for name in names(10) if name != "003.txt"]


def test_files_that_a_script_writes_in_a_retry_join_those_before_which_keep_their_names(tmp_path):
    script = failing(tmp_path, more='Path(os.environ["AZUREML_BI_OUTPUT_PATH"], "seen.txt").write_text(name)')
    job = Job(tmp_path, script, files=3)
    mark(tmp_path, "000.txt")
    job.run()
    before = {path.name: path.read_text() for path in job.output.glob("seen*")}
    assert sorted(before.values()) == ["001.txt", "002.txt"]

    heal(tmp_path, "000.txt")
    ask_for_retry(job)
    job.run()

    after = {path.name: path.read_text() for path in job.output.glob("seen*")}
    assert after == {**before, "seen-3.txt": "000.txt"}
    assert files_of(job) == names(3)


@pytest.fixture
def plots_of_two(tmp_path):
    """A job whose script writes a file for each item but the second, which failed, and one that wrote there since."""
    write = 'Path(os.environ["AZUREML_BI_OUTPUT_PATH"], f"plot-{name}").write_text(f"{name} of {place.name}")'
    jobs = []
    for name in ("one", "other"):
        output = {"type": "uri_file", "path": (tmp_path / "out" / f"{name}.csv").as_uri()}
        jobs.append(Job(tmp_path / name, failing(tmp_path / name, more=write), files=3, outputs={"score": output}))
    mark(tmp_path / "one", "001.txt")
    for job in jobs:
        assert job.run().status == "Completed"
    heal(tmp_path / "one", "001.txt")
    return jobs[0], tmp_path / "out"


PLOTS_OF_BOTH = {
    "plot-000.txt": "000.txt of one",
    "plot-000-2.txt": "000.txt of other",
    "plot-001.txt": "001.txt of other",
    "plot-001-2.txt": "001.txt of one",
    "plot-002.txt": "002.txt of one",
    "plot-002-2.txt": "002.txt of other",
}


def plots(place):
    return {path.name: path.read_text() for path in place.glob("plot*")}


def test_a_retry_replaces_no_file_that_the_script_of_another_job_has_written_since(plots_of_two):
    job, place = plots_of_two
    ask_for_retry(job)
    state = job.run()

    assert state.status == "Completed"
    assert plots(place) == PLOTS_OF_BOTH
    assert [(one.file, one.kept_as) for one in state.renamed_files.first] == [("plot-001.txt", "plot-001-2.txt")]
    ask_for_retry(job, retries=2)
    assert job.run().status == "Completed"
    assert plots(place) == PLOTS_OF_BOTH


def test_a_driver_lost_while_it_wrote_what_a_retry_has_won_does_not_take_its_own_files_for_those_of_others(
    plots_of_two, monkeypatch
):
    job, place = plots_of_two
    ask_for_retry(job)
    with monkeypatch.context() as patch:
        patch.setattr(run_job, "write_renamed", lambda files, renamed: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            job.run()

    assert job.run().status == "Completed"
    assert plots(place) == PLOTS_OF_BOTH


SUM = """
import os
import pandas as pd
def run(mini_batch: pd.DataFrame):
    if os.path.exists({bad!r}) and (mini_batch["n"] % 70 == 35).any():
        raise ValueError("odd rows")
    return mini_batch["n"] * 2
"""


def test_parts_of_a_file_that_failed_come_back_in_the_order_of_its_rows(tmp_path):
    script = SUM.format(bad=str(tmp_path / "bad"))
    job = Job(tmp_path, script, files=0, settings={"mini_batch_size": "10 rows"})
    frame = pd.DataFrame({"n": range(200)})
    frame.to_csv(job.input / "a.csv", index=False)
    frame.to_parquet(job.input / "b.parquet")
    (tmp_path / "bad").touch()
    assert job.run().status == "Completed"
    failed = job.failed_items()
    assert [item["first_row"] for item in failed] == [30, 100, 170] * 2

    (tmp_path / "bad").unlink()
    ask_for_retry(job)
    assert job.run().status == "Completed"
    assert [(row["file"], int(row["row"])) for row in job.rows()] == [
        (file, n) for file in ("a.csv", "b.parquet") for n in range(200)
    ]
    assert [int(row["prediction"]) for row in job.rows()] == [2 * n for n in range(200)] * 2


# single rows

INVERSE = """
import os
import pandas as pd
{note}

def run(mini_batch: pd.DataFrame):
    note(str(len(mini_batch)))
    if not os.path.exists({cured!r}):
        for n in mini_batch["n"]:
            if n % 7 == 3 or 40 <= n < 60:
                raise ValueError("no inverse")
    return (mini_batch["n"] * 2).tolist()
"""


def of_rows(place, size="20 rows", **settings):
    """A job of two files of 100 rows; single rows fail until a mark is there, and a whole part of one file."""
    script = INVERSE.format(note=noting(place), cured=str(place / "cured"))
    limits = {"max_retries": 0, "timeout": 60}
    job = Job(
        place,
        script,
        files=0,
        settings={"mini_batch_size": size, "on_error": "isolate", "retry_settings": limits, **settings},
    )
    frame = pd.DataFrame({"n": range(100), "id": [f"i{n}" for n in range(100)]})
    frame.to_csv(job.input / "a.csv", index=False)
    frame.assign(n=frame["n"] + 1_001).to_parquet(job.input / "b.parquet", row_group_size=30)  # 1001 is 7 * 143
    return job


def places_of(job):
    return [(row["file"], int(row["row"])) for row in job.rows()]


def test_rows_that_failed_are_tried_again_alone_and_stand_behind_those_of_their_mini_batch(tmp_path):
    job = of_rows(tmp_path)
    assert job.run().status == "Completed"
    failed = job.failed_items()
    rows = [(one["file"], one["row"]) for one in failed if "row" in one]
    items = [(one["file"], one["first_row"]) for one in failed if "first_row" in one]
    assert items == [("a.csv", 40)]
    assert rows == [("a.csv", n) for n in range(100) if n % 7 == 3 and not 40 <= n < 60] + [
        ("b.parquet", n) for n in range(100) if n % 7 == 3
    ]
    before = job.report()
    (tmp_path / "calls").unlink()

    (tmp_path / "cured").touch()
    ask_for_retry(job)
    state = job.run()

    assert (state.status, state.error) == ("Completed", None)
    assert f"retry 1: 1 item and {len(rows)} rows tried again" in state.notes
    assert sum(map(int, job.calls())) == len(rows) + 20
    assert job.failed_items() == []
    batches = {place: (place[0], place[1] // 20) for place in places_of(job)}
    assert places_of(job) == sorted(batches, key=lambda place: (batches[place], place in rows, place[1]))
    assert len(batches) == 200
    assert all(int(row["prediction"]) == 2 * (int(row["row"]) + 1_001 * (row["file"] > "b")) for row in job.rows())
    report = job.report()
    assert report["items"] == before["items"] | {"succeeded": before["items"]["given"], "failed": 0}
    assert report["rows"] == {"read": 220, "failed": 0, "written": 200}  # those of the item that failed twice
    assert job.run() == state


@pytest.mark.parametrize("size", ["20 rows", 2])
def test_rows_that_fail_again_are_told_with_their_values_and_are_won_another_time(tmp_path, size):
    job = of_rows(tmp_path, size, keep_failed_inputs=True)
    job.run()
    first = job.failed_items()
    output = job.rows()
    ask_for_retry(job)

    assert job.run().status == "Completed"

    again = job.failed_items()
    assert [{**one, "stack": ""} for one in again] == [{**one, "stack": ""} for one in first]
    assert all(one["input"]["id"] == f"i{one['row']}" for one in again if "row" in one)
    assert job.rows() == output
    assert job.report()["progress"]["rows_failed"] == sum("row" in one for one in first)

    (tmp_path / "cured").touch()
    ask_for_retry(job, retries=2)
    assert job.run().status == "Completed"
    assert job.failed_items() == []
    assert sorted(places_of(job)) == [(file, n) for file in ("a.csv", "b.parquet") for n in range(100)]


def test_rows_that_fail_again_count_towards_the_threshold_and_those_before_do_not(tmp_path):
    job = of_rows(tmp_path, error_threshold=3)
    assert job.run().status == "Failed"

    ask_for_retry(job)
    state = job.run()
    assert state.status == "Failed"
    assert "rows failed, more than error_threshold (3) allows" in state.error.details

    (tmp_path / "cured").touch()
    ask_for_retry(job, retries=2)
    assert job.run().status == "Completed"
    assert job.failed_items() == []
    assert sorted(places_of(job)) == [(file, n) for file in ("a.csv", "b.parquet") for n in range(100)]


def test_rows_of_a_file_that_is_gone_stay_failed_with_that_reason(tmp_path):
    job = of_rows(tmp_path)
    job.run()
    rows = [(one["file"], one["row"]) for one in job.failed_items() if "row" in one]
    (job.input / "b.parquet").unlink()
    (tmp_path / "cured").touch()
    ask_for_retry(job)

    assert job.run().status == "Completed"

    left = job.failed_items()
    assert [(one["file"], one["row"]) for one in left] == [place for place in rows if place[0] == "b.parquet"]
    assert all("b.parquet" in one["reason"] for one in left)


# killed and canceled in the middle of a retry


@pytest.fixture
def in_a_retry(tmp_path):
    """A job of 40 files of which 21 failed; the engine, a process, has tried some again and stays with one."""
    script = (
        failing(tmp_path, more="stay(name)")
        + """
def stay(name):
    while name == "020.txt" and (place / "gated").exists() and not (place / "gate").exists():
        time.sleep(0.02)
"""
    )
    settings = {"retry_settings": {"timeout": 600, "max_retries": 1}, "max_concurrency_per_instance": 1}
    job = Job(tmp_path, script, files=40, settings=settings)
    bad = names(40)[5:26]
    mark(tmp_path, *bad)
    assert job.run().status == "Completed"
    heal(tmp_path, *bad)
    (tmp_path / "gated").touch()
    (tmp_path / "calls").unlink()
    ask_for_retry(job)
    with job.started_until("020.txt") as process:
        yield job, process


def retried(job):
    return sorted(job.folder.glob("retries/1/commits/*/*.json"))


def test_a_driver_killed_in_a_retry_is_followed_by_one_that_tries_only_what_is_left(in_a_retry):
    job, process = in_a_retry
    before, output = retried(job), files_of(job)
    process.kill()
    process.wait()
    assert files_of(job) == output == names(5) + names(40)[26:]
    (job.place / "gate").touch()

    assert job.run().status == "Completed"

    assert len(before) >= 14
    assert files_of(job) == names(40)
    assert counts(job) == (40, 40, 0, 40)
    again = {name for name in job.calls() if job.calls().count(name) > 1}
    assert again <= {"020.txt", "019.txt"}
    assert set(job.calls()) == set(names(40)[5:26])
    assert retried(job)[: len(before)] == before


def test_a_host_killed_in_a_retry_costs_nothing(in_a_retry):
    job, process = in_a_retry
    told = Path(f"/proc/{process.pid}/task").glob("*/children")
    (host,) = (int(pid) for children in told for pid in children.read_text().split())
    (job.place / "gate").touch()
    os.kill(host, signal.SIGKILL)

    assert process.wait(timeout=120) == 0
    assert files_of(job) == names(40)
    assert counts(job) == (40, 40, 0, 40)


def test_a_retry_that_is_canceled_keeps_the_output_and_can_be_resumed(in_a_retry):
    job, process = in_a_retry
    asked = job.job_folder.run_of(job.job_folder.job())
    asked.ask_to_cancel()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 130

    done = len(retried(job))
    assert counts(job) == (40, 19 + done, 21 - done, 19 + done)
    assert [item["file"] for item in job.failed_items()] == names(40)[5 + done : 26]
    assert [item["mini_batch"] for item in job.failed_items()] == list(range(5 + done, 26))
    assert files_of(job) == names(5) + names(40)[26:]

    (job.place / "gate").touch()
    ask_for_retry(job, retries=1, resumption=2)
    assert job.run().status == "Completed"
    assert files_of(job) == names(40)
    assert job.failed_items() == []


def test_progress_of_a_retry_counts_upwards_from_what_had_succeeded(in_a_retry):
    job, process = in_a_retry
    wait_until(lambda: job.progress()["items_succeeded"] > 19, what="progress of the retry")
    told = job.progress()
    assert (told["items"], told["mini_batches"], told["items_failed"]) == (40, 40, 0)
    assert told["items_succeeded"] == told["mini_batches_done"] == told["rows"] < 40
    process.terminate()
    assert process.wait(timeout=120) == 143
    (job.place / "gate").touch()
    assert job.run(LocalRunner).status == "Completed"
    assert files_of(job) == names(40)


def test_a_retry_does_not_write_over_what_another_job_has_written_since(tmp_path):
    shared = {"mine": {"type": "uri_folder", "path": (tmp_path / "out").as_uri()}}
    job = Job(tmp_path / "one", failing(tmp_path), files=3, outputs=shared)
    mark(tmp_path, "001.txt")
    assert job.run().status == "Completed"
    other = Job(tmp_path / "other", files=2, outputs=shared, overwrite=True)
    assert other.run().status == "Completed"
    written = (tmp_path / "out" / "predictions.csv").read_text()

    heal(tmp_path, "001.txt")
    ask_for_retry(job)
    state = job.run()

    assert state.status == "Failed"
    assert f"the job in '{other.folder.as_uri()}' has written to the output" in state.error.message
    assert (tmp_path / "out" / "predictions.csv").read_text() == written
    assert counts(job) == (3, 2, 1, 2), "it has not begun"
    (tmp_path / "out" / "predictions.csv").unlink()
    ask_for_retry(job, retries=1, resumption=2)
    assert job.run().status == "Completed"
    assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 4


def test_nothing_but_the_output_is_left_where_nothing_can_be_tried_again(tmp_path):
    shared = {"mine": {"type": "uri_folder", "path": (tmp_path / "out").as_uri()}}
    job = Job(tmp_path / "one", failing(tmp_path), files=3, outputs=shared)
    mark(tmp_path, "001.txt")
    job.run()
    assert len(list((tmp_path / "out").iterdir())) == 2, "the output, and whose it is"
    heal(tmp_path, "001.txt")
    ask_for_retry(job)
    assert job.run().status == "Completed"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.csv"]


@pytest.mark.parametrize("size", ["5000 rows", "2 rows", 2], ids=str)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", b"x,y\na,1\nb,1,2,3\nc,3\n"),
        ("a.csv", b"x\na\n\xff\xfe\nb\n"),
        ("a.jsonl", b'{"x":"a"}\n[1]\n{"x":"b"}\n'),
    ],
    ids=["fields", "utf-8", "json"],
)
def test_rows_that_cannot_be_read_can_be_tried_again(tmp_path, size, name, text):
    script = "import pandas\ndef run(rows: pandas.DataFrame):\n    return rows[['x']]\n"
    job = Job(tmp_path, script, files=0, settings={"mini_batch_size": size, "on_error": "isolate"})
    (job.input / name).write_bytes(text)
    assert job.run().status == "Completed"
    (failed,) = job.failed_items()

    ask_for_retry(job)
    assert job.run().status == "Completed"

    assert [(one["row"], one["reason"]) for one in job.failed_items()] == [(failed["row"], failed["reason"])]
    assert len(job.rows()) == 2
