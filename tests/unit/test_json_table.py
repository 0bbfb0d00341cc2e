"""JSON lines whose fields hold values of several kinds, or of another kind than is wanted."""

import json

import pytest
from tables import cut, payloads, rows

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.partitions import partition_size
from batch_endpoints.storage.tables import text_records
from batch_endpoints.storage.tables.column_types import ColumnTypes, signature_types
from batch_endpoints.storage.tables.parts import PartReader, cut_tables


def write(folder, *records):
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folder / "a.jsonl").write_text("".join(f"{line}\n" for line in lines))


def read(folder, size="64MB", types=None):
    return rows(cut(folder, size, types), "a.jsonl")


def test_a_column_that_is_carried_to_the_output_is_text_whatever_the_file_holds(tmp_path):
    write(tmp_path, {"id": 9007199254740993, "n": 1}, {"id": "007", "n": 2}, {"id": [1, None], "n": 3}, {"n": 4})
    found = read(tmp_path, "2 rows", signature_types({"n": "long"}, ["id"]))
    assert [row["id"] for row in found] == ["9007199254740993", "007", "[1, null]", None]
    assert [row["n"] for row in found] == [1, 2, 3, 4]


@pytest.mark.parametrize("block", [30, 1 << 20], ids=["in two blocks", "in one block"])
@pytest.mark.parametrize("size", ["1 rows", "3 rows", "64MB"])
def test_a_column_of_numbers_and_text_is_text_for_all_rows(tmp_path, monkeypatch, block, size):
    monkeypatch.setattr(text_records, "BLOCK_BYTES", block)
    write(tmp_path, {"v": 1, "n": 1}, {"v": 0.5, "n": 2}, {"v": "x", "n": 3.5}, {"v": True, "n": None})
    assert read(tmp_path, size) == [
        {"v": "1", "n": 1.0},
        {"v": "0.5", "n": 2.0},
        {"v": "x", "n": 3.5},
        {"v": "true", "n": None},
    ]


def test_lists_and_objects_of_mixed_values_hold_text(tmp_path):
    write(tmp_path, {"v": [1, "x"], "o": {"k": 1}}, {"v": [], "o": {"k": "y", "m": 2}}, {"v": None, "o": {}})
    assert read(tmp_path, "1 rows") == [
        {"v": ["1", "x"], "o": {"k": "1", "m": None}},
        {"v": [], "o": {"k": "y", "m": 2}},
        {"v": None, "o": {"k": None, "m": None}},
    ]


@pytest.mark.parametrize("size", ["1 rows", "64MB"])
@pytest.mark.parametrize("blank", ["   ", "\t", " \r"], ids=repr)
@pytest.mark.parametrize("block", [1, 5, 1 << 20])
def test_a_line_of_spaces_is_no_row(tmp_path, monkeypatch, size, blank, block):
    monkeypatch.setattr(text_records, "BLOCK_BYTES", block)
    write(tmp_path, blank, ' {"a": 1}', blank, blank, {"a": 2}, blank)
    batches = cut(tmp_path, size)
    assert rows(batches, "a.jsonl") == [{"a": 1}, {"a": 2}]
    assert sum(part.rows for batch in batches for _, part, _ in batch) == 2


def test_a_whole_number_with_a_point_is_a_whole_number(tmp_path):
    write(tmp_path, {"n": 1.0}, {"n": 2}, {"n": None})
    assert read(tmp_path, types=signature_types({"n": "long"}, [])) == [{"n": 1}, {"n": 2}, {"n": None}]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("long", 1.5),
        ("long", "1"),
        ("long", True),
        ("long", 1 << 63),
        ("long", 1e300),
        ("double", "x"),
        ("double", True),
        ("boolean", 1),
    ],
)
def test_a_value_of_another_kind_than_the_signature_wants_is_told_with_its_field(tmp_path, kind, value):
    write(tmp_path, {"n": value})
    with pytest.raises(InputError, match=r"'a\.jsonl' cannot be read: .*\bn\b"):
        read(tmp_path, types=signature_types({"n": kind}, []))


def test_text_that_is_not_utf_8_is_refused_where_it_is_read(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"a": "\xff"}\n')
    with pytest.raises(InputError, match=r"(?i)utf-8"):
        read(tmp_path)


@pytest.mark.parametrize(
    "deep", ["[" * 5000 + "]" * 5000, '{"a":' * 5000 + "1" + "}" * 5000], ids=["lists", "objects"]
)
def test_a_line_that_is_nested_too_deeply_is_told_and_is_no_end_of_the_process(tmp_path, deep):
    write(tmp_path, {"v": 1}, f'{{"v": {deep}}}')
    with pytest.raises(InputError, match=r"nested too deeply|cannot be read"):
        read(tmp_path, "5000 rows")


@pytest.mark.parametrize("lines", [["null", '{"a": 1}'], [" null"], ['{"a": 1}', "null", '{"a": 2}']], ids=str)
@pytest.mark.parametrize("size", ["1 rows", "64MB"])
def test_a_line_that_is_null_is_no_row_and_takes_no_process_along(tmp_path, lines, size):
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    types = ColumnTypes()
    batches = list(cut_tables(str(tmp_path), [InputFile("a.jsonl")], partition_size(size), types, tmp_path))
    reader = PartReader(str(tmp_path), types.schema(), tmp_path, isolates=True)

    found = [reader.read_rows(*part) for batch in batches for part in batch]

    assert [row for one in found for row in one.table.to_pylist()] == [{"a": n} for n in (1, 2)][: len(lines) - 1]
    bad = [at for at, line in enumerate(lines) if "null" in line]
    assert [row.row for one in found for row in one.unreadable] == bad
    assert all("null is no JSON object" in row.reason for one in found for row in one.unreadable)


@pytest.mark.parametrize("levels", [20, 100, 3000])
@pytest.mark.parametrize(("opens", "closes"), [('{"a":', "}"), ("[", "]")], ids=["objects", "lists"])
def test_deeply_nested_values_are_text_or_fail_their_row_and_never_the_job(tmp_path, levels, opens, closes):
    value = opens * levels + "1" + closes * levels
    (tmp_path / "a.jsonl").write_text(f'{{"a":{value}}}\n')
    if levels == 3000:
        with pytest.raises(InputError, match="it is nested too deeply"):
            cut(tmp_path, "64MB")
        return

    batches = cut(tmp_path, "64MB")

    assert len(list(payloads(batches))) == 1
    (row,) = rows(batches, "a.jsonl")
    assert (json.loads(row["a"]) if levels == 100 else row["a"]) == json.loads(value)
