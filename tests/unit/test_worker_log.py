"""What a worker writes between the lines of the user's code."""

import re

import pytest

from batch_endpoints.scoring import worker_log
from batch_endpoints.scoring.contract import UserError
from batch_endpoints.scoring.worker_log import WorkerLog

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "logs" / "worker.log"


@pytest.fixture
def log(file):
    return WorkerLog(file)


def prints(file, text):
    with file.open("a") as out:
        out.write(text)


def lines(file):
    return TIME.sub("@ ", file.read_text()).splitlines()


def test_a_mini_batch_is_told_where_something_was_printed_since_or_a_second_has_passed(log, file, monkeypatch):
    log.begins(["a"])
    log.begins(["b"])
    prints(file, "of b\n")
    log.begins(["c", "d", "e", "f", "g"])
    log.begins(["h"])
    monkeypatch.setattr(worker_log, "_SECONDS_BETWEEN_LINES", 0.0)
    log.begins(["i"])
    assert lines(file) == ["@ INFO scores a", "of b", "@ INFO scores c, d, e and 2 more", "@ INFO scores i"]


def test_each_line_begins_where_the_code_has_left_its_own_open(log, file):
    log.begins(["a"])
    prints(file, "50%\r100%")
    log.begins(["b"])
    assert file.read_bytes().count(b"\n") == 3
    assert lines(file)[-1] == "@ INFO scores b"


def test_a_stack_is_written_once_and_the_next_line_is_never_part_of_it(log, file):
    odd = UserError("ValueError", "odd", "score.py", 4, stack="Traceback\n  ValueError: odd\n")
    lost = UserError("", "the scoring process was killed")
    log.begins(["a", "b", "c"])
    log.failed(1, {"a": odd, "b": odd, "c": lost})
    log.begins(["a", "b", "c"])
    log.failed(2, {"a": odd, "c": lost})
    assert lines(file) == [
        "@ INFO scores a, b, c",
        "@ ERROR try 1 failed for a, b: score.py:4: ValueError: odd",
        "Traceback",
        "  ValueError: odd",
        "@ ERROR try 1 failed for c: the scoring process was killed",
        "@ INFO scores a, b, c",
        "@ ERROR try 2 failed for a: score.py:4: ValueError: odd (again)",
        "@ ERROR try 2 failed for c: the scoring process was killed",
    ]


def test_names_that_are_no_text_do_not_break_the_log(log, file):
    log.begins(["\udcff.csv"])
    assert lines(file) == ["@ INFO scores \\udcff.csv"]
