"""Small CSV files that are parsed together have the rows, or the error, that each has alone."""

import csv
import tempfile
from pathlib import Path

import pyarrow.csv
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_endpoints.errors import InputError
from batch_endpoints.planning.partitions import WHOLE
from batch_endpoints.storage.tables.column_types import signature_types
from batch_endpoints.storage.tables.parts import PartReader

SIGNATURE = {"x": "double", "name": "string"}
CELLS = st.one_of(
    st.integers(-5, 99).map(str),
    st.sampled_from(["", "1.5", "NA", "007", "no number", "é", "a b", '"q"', "a\nb", " "]),
)
HEADERS = st.sampled_from([["x", "name"], ["name", "x"], ["x", "name", "more"], ["x"], ["x", "x"], []])


def reader(folder, isolates=False):
    return PartReader(str(folder), signature_types(SIGNATURE, ()).schema(), folder, isolates=isolates)


def told(found):
    if isinstance(found, InputError):
        return str(found)
    return found.table.schema, found.table.to_pydict(), list(found.rows), list(found.unreadable)


def alone(folder, name, isolates):
    try:
        return reader(folder, isolates).read_rows(name, WHOLE)
    except InputError as error:
        return error


@st.composite
def files(draw):
    header = draw(HEADERS)
    records = draw(st.lists(st.lists(CELLS, min_size=len(header), max_size=len(header)), max_size=4))
    newline = draw(st.sampled_from(["\n", "\r\n", "\n\n", "\r"]))
    lines = [",".join(record) for record in [header, *records]]  # with quotes that are no quotes, and short records
    text = newline.join(lines) + draw(st.sampled_from(["", newline]))
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode() + draw(st.sampled_from([b"", b"", b"\xff"]))


@settings(max_examples=150)
@given(st.lists(files(), min_size=1, max_size=6), st.booleans())
def test_each_file_reads_as_it_does_alone(contents, isolates):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        names = [f"{number}.csv" for number in range(len(contents))]
        for name, content in zip(names, contents, strict=True):
            (folder / name).write_bytes(content)
        names.append("not-there.csv")

        found = list(reader(folder, isolates).read_each([(name, WHOLE) for name in names]))

        assert [told(one) for one in found] == [told(alone(folder, name, isolates)) for name in names]


def test_a_hundred_files_with_one_header_are_parsed_at_once(tmp_path, monkeypatch):
    for number in range(100):
        with (tmp_path / f"{number:03}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["x", "name"], [number, "n"], [number + 0.5, ""]])
    calls, parse = [], pyarrow.csv.read_csv
    monkeypatch.setattr(pyarrow.csv, "read_csv", lambda *a, **k: calls.append(a) or parse(*a, **k))

    found = list(reader(tmp_path).read_each([(f"{number:03}.csv", WHOLE) for number in range(100)]))

    assert len(calls) == 1
    assert [one.table["x"].to_pylist() for one in found] == [[number, number + 0.5] for number in range(100)]


def test_a_file_that_cannot_be_parsed_leaves_the_others_their_rows(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.csv").write_text(f"x,name\n{number},a\n")
    (tmp_path / "2.csv").write_text("x,name\nno number,a\n")

    found = list(reader(tmp_path).read_each([(f"{number}.csv", WHOLE) for number in range(5)]))

    assert isinstance(found[2], InputError)
    assert "2.csv" in str(found[2])
    assert [one.table["x"].to_pylist() for one in found[:2] + found[3:]] == [[0.0], [1.0], [3.0], [4.0]]
