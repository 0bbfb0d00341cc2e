"""Answers as az prints them."""

import json
import sys
from unittest.mock import ANY

import click
import pytest

from batch_endpoints.cli import render
from batch_endpoints.cli.job import JOB_COLUMNS

JOB = {
    "name": "one",
    "progress": {"items": 3, "rate": 1 / 3},
    "tags": {},
    "notes": ["a", "b"],
    "error": None,
    "overwrite": True,
}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Completed", "Completed\n"),
        (3, "3\n"),
        (True, "true\n"),
        (["a", "b"], "a\nb\n"),
        ([["a", 1], ["b", None]], "a\t1\nb\t\n"),
        ([{"name": "a", "n": 1}, {"name": "b", "n": 2}], "a\t1\nb\t2\n"),
        ({"name": "a", "tags": {"x": 1}, "notes": [1, 2]}, "a\t\t2\n"),
        (None, "\n"),
        ([], ""),
    ],
    ids=repr,
)
def test_tsv_is_what_az_prints(data, text):
    assert render.tsv(data) == text


def test_a_mapping_is_a_table_of_its_keys():
    assert render.table(JOB) == (
        ["key", "value"],
        [
            ["name", "one"],
            ["progress.items", "3"],
            ["progress.rate", "0.333333"],
            ["notes", "a, b"],
            ["overwrite", "true"],
        ],
    )


@pytest.mark.parametrize(
    ("data", "columns", "headings", "rows"),
    [
        ([JOB], ("name", "progress.items", "gone"), ["name", "items", "gone"], [["one", "3", ""]]),
        ([JOB], (), ["name", "error", "overwrite"], [["one", "", "true"]]),
        (["a", 2], (), ["result"], [["a"], ["2"]]),
        ([["a", 1], ["b"]], (), ["column1", "column2"], [["a", "1"], ["b", ""]]),
        ("bare", (), ["result"], [["bare"]]),
        ([], ("name",), ["name"], []),
    ],
)
def test_a_list_is_a_table_of_its_entries(data, columns, headings, rows):
    assert render.table(data, columns) == (headings, rows)


@pytest.mark.parametrize("status", ["Failed", "CancelRequested"])
def test_a_list_of_jobs_fits_a_window_of_80_columns_with_names_in_one_piece(capsys, monkeypatch, status):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    name = "batchjob-0f8fad5b-d9cb-469f-a165-70867728950e"
    progress = {"items": 40000, "items_succeeded": 39998, "items_failed": 2}
    jobs = [
        {"name": name, "status": "Completed", "endpoint_name": "tumor", "progress": progress},
        {"name": name, "status": status, "endpoint_name": "a-long-name-of-an-endpoint", "progress": {}},
    ]
    render.show(jobs, "table", JOB_COLUMNS)
    told = click.unstyle(capsys.readouterr().out)
    assert all(len(line) <= 80 for line in told.splitlines())
    assert [line.split() for line in told.splitlines() if name in line] == [
        [name, "Completed", "tumor", "40000", "2"],
        [name, status, ANY],
    ]


def test_a_table_in_a_pipe_is_not_cut_and_takes_brackets_as_they_are(capsys):
    render.show([{"name": "[red]" + "x" * 300}], "table")
    assert "[red]" + "x" * 300 in capsys.readouterr().out


def test_json_and_yaml_keep_keys_in_order(capsys):
    render.show({"b": "ü", "a": 1}, "json")
    assert json.loads(capsys.readouterr().out) == {"b": "ü", "a": 1}
    render.show({"b": "ü", "a": 1}, "yaml")
    assert capsys.readouterr().out == "b: ü\na: 1\n"


def test_a_query_selects():
    assert render.selection("progress.items")(JOB) == 3
    assert render.selection("")(JOB) is JOB
    with pytest.raises(click.UsageError, match="does not fit"):
        render.selection("length(overwrite)")(JOB)


def test_a_column_that_not_all_lists_have_is_shown_where_a_row_has_a_value():
    columns = {"name": "name", "step": "step?"}
    assert render.table([{"name": "a", "step": ""}], columns) == (["name"], [["a"]])
    rows = [{"name": "a", "step": "x"}, {"name": "b"}]
    assert render.table(rows, columns) == (["name", "step"], [["a", "x"], ["b", ""]])
