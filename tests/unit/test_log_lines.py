"""Lines of logs, with the fields that loggers pass."""

import logging

import pytest

from batch_endpoints.specs.log_lines import STAMP, LogFormatter


def line(message, *arguments, **fields):
    record = logging.makeLogRecord({"msg": message, "args": arguments, "levelname": "INFO", "created": 1.5, **fields})
    return LogFormatter().format(record)


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({}, ""),
        ({"_ray_timestamp_ns": 1}, ""),
        ({"job": "echo-1", "seconds": 1.4}, " job=echo-1 seconds=1.4"),
        ({"error": "no such\nfile", "empty": ""}, ' error="no such\\nfile" empty=""'),
        ({"uri": "s3://lake/ü?a=b"}, ' uri="s3://lake/ü?a=b"'),
    ],
)
def test_a_line_shows_its_time_its_level_its_sentence_and_its_fields(fields, end):
    found = line("job %s", "accepted", **fields)
    assert found == f"1970-01-01T00:00:01.500Z INFO job accepted{end}"
    assert STAMP.match(found.encode())


def test_a_stack_stands_below_the_line_and_its_fields():
    try:
        raise ValueError("broken")
    except ValueError as error:
        found = line("request failed", exc_info=(type(error), error, error.__traceback__), path="/jobs")
    first, *stack = found.splitlines()
    assert first.endswith("INFO request failed path=/jobs")
    assert stack[-1] == "ValueError: broken"
