"""Logs of several processes read as one, whatever is printed into them."""

import tracemalloc

import pytest

from batch_endpoints.errors import NotFound
from batch_endpoints.storage.job.logs import JobLogs, merged_logs


def write(folder, name, text):
    (folder / "logs").mkdir(exist_ok=True)
    with (folder / "logs" / name).open("ab") as log:
        log.write(text if isinstance(text, bytes) else text.encode())


def at(second, text, level="INFO"):
    return f"2026-11-24T00:00:{second:06.3f}Z {level} {text}\n"


def merged(folder, **asked):
    return b"".join(merged_logs(str(folder), **asked))


def test_lines_without_a_time_belong_to_the_line_above_them(tmp_path):
    write(tmp_path, "driver.log", at(1, "one") + "more of one\n" + at(3, "three"))
    write(tmp_path, "worker-2.log", "before all\n" + at(2, "two") + "more of two")
    assert merged(tmp_path).decode().splitlines() == [
        "2        | before all",
        "driver   | 2026-11-24T00:00:01.000Z INFO one",
        "driver   | more of one",
        "2        | 2026-11-24T00:00:02.000Z INFO two",
        "driver   | 2026-11-24T00:00:03.000Z INFO three",
        "2        | more of two",
    ]


def test_a_clock_that_was_set_back_does_not_mix_up_the_lines_of_one_log(tmp_path):
    write(tmp_path, "driver.log", at(5, "a") + at(1, "b") + at(6, "c"))
    write(tmp_path, "worker-1.log", at(2, "early") + at(7, "late"))
    assert [line.split()[-1] for line in merged(tmp_path).splitlines()] == [b"early", b"a", b"b", b"c", b"late"]


def test_workers_come_in_the_order_of_their_numbers_where_times_do_not_tell(tmp_path):
    for name in ("worker-10.log", "worker-2.log", "driver.log"):
        write(tmp_path, name, "x\n")
    assert [line.split()[0] for line in merged(tmp_path).splitlines()] == [b"driver", b"2", b"10"]


def test_one_log_alone_is_as_it_was_written_to_the_byte(tmp_path):
    text = b"\xff\x00 no text\r50%\r100%" + at(1, "not a line of its own").encode() + b"the end"
    write(tmp_path, "driver.log", at(2, "other"))
    write(tmp_path, "worker-1.log", text)
    assert merged(tmp_path, worker="worker-1") == text + b"\n"
    assert merged(tmp_path).count(b"\xff\x00") == 1


def test_no_logs_are_an_empty_text_and_no_worker_is_an_error(tmp_path):
    assert merged(tmp_path) == b""
    with pytest.raises(NotFound, match="none yet"):
        merged(tmp_path, worker="x")


def test_a_hundred_megabytes_without_a_line_break_are_read_in_pieces(tmp_path):
    write(tmp_path, "driver.log", at(1, "Running"))
    write(tmp_path, "worker-1.log", at(0, "scores a"))
    for _ in range(100):
        write(tmp_path, "worker-1.log", b"x" * (1 << 20))
    write(tmp_path, "worker-1.log", b"\n" + at(2, "scores b").encode())

    tracemalloc.start()
    size = lines = labels = 0
    for piece in merged_logs(str(tmp_path)):
        size, lines, labels = size + len(piece), lines + piece.count(b"\n"), labels + piece.count(b" | ")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 8 << 20
    assert size > 100 << 20
    assert lines == labels == 4


def test_what_is_added_is_told_once_and_unfinished_lines_when_they_are_whole(tmp_path):
    logs = JobLogs(tmp_path)
    assert list(logs.added()) == []
    write(tmp_path, "driver.log", at(1, "one") + "half a ")
    assert [section.text for section in logs.added()] == [at(1, "one").encode()]
    write(tmp_path, "driver.log", "line\nlast")
    write(tmp_path, "worker-1.log", at(0, "late to be read"))
    assert [section.text for section in logs.added()] == [at(0, "late to be read").encode(), b"half a line\n"]
    assert list(logs.added()) == []
    assert [section.text for section in logs.rest()] == [b"last"]


def test_the_errors_are_whole_with_their_stacks_and_nothing_else(tmp_path):
    write(tmp_path, "driver.log", at(1, "Running") + at(9, "bad thing", "ERROR") + "Traceback\n  more\n")
    failed = at(3, "try 1 failed for a: ValueError", "ERROR") + "Traceback\n"
    write(tmp_path, "worker-1.log", at(2, "scores a") + "ERROR printed\n" + failed + at(4, "scores b") + "printed\n")
    assert merged(tmp_path, errors=True).decode().splitlines() == [
        "1        | 2026-11-24T00:00:03.000Z ERROR try 1 failed for a: ValueError",
        "1        | Traceback",
        "driver   | 2026-11-24T00:00:09.000Z ERROR bad thing",
        "driver   | Traceback",
        "driver   |   more",
    ]


def test_a_step_of_a_pipeline_has_logs_of_its_own(tmp_path):
    (step := tmp_path / "steps" / "prepare.clean").mkdir(parents=True)
    write(tmp_path, "driver.log", at(1, "begins"))
    write(step, "attempt-1.log", at(2, "runs"))
    assert merged(step) == at(2, "runs").encode()
    assert merged(tmp_path, steps=["prepare.clean"]).decode().splitlines() == [
        f"driver   | {at(1, 'begins')}".strip(),
        f"prepare.clean | {at(2, 'runs')}".strip(),
    ]
    assert b"".join(section.text for section in JobLogs(step).added()) == at(2, "runs").encode()
