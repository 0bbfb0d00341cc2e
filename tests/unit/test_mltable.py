"""MLTable: what its file may say, which files it is of, and how they are read."""

import pyarrow as pa
import pyarrow.parquet
import pytest

from batch_endpoints.errors import InputError, Refused, SpecError
from batch_endpoints.planning.partitions import WHOLE
from batch_endpoints.specs import MLTable, TableReading, check
from batch_endpoints.storage.inputs.fetch import fetch
from batch_endpoints.storage.inputs.mltable import list_mltable, read_mltable
from batch_endpoints.storage.tables.parts import PartReader, said


def refuse(path):
    raise Refused(f"'{path}' is not for you")


@pytest.fixture
def place(tmp_path):
    for name in ("t/a.csv", "t/deep/b.csv", "t/deep/c.txt", "t/other/d.csv", "elsewhere/a.csv", "elsewhere/e.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def listed(place, paths, locate=str):
    (place / "t" / "MLTable").write_text(f"$schema: http://x\ntype: mltable\npaths: {paths}\n")
    table = read_mltable((place / "t").as_uri(), locate)
    return list_mltable(table)[:2]


@pytest.mark.parametrize(
    ("paths", "root", "files"),
    [
        ("[{file: ./a.csv}]", "t", ["a.csv"]),
        ("[{file: deep/b.csv}, {file: a.csv}]", "t", ["a.csv", "deep/b.csv"]),
        ("[{pattern: './**/*.csv'}]", "t", ["a.csv", "deep/b.csv", "other/d.csv"]),
        ("[{folder: ./deep}]", "t/deep", ["b.csv", "c.txt"]),
        (
            "[{folder: deep}, {file: deep/b.csv}, {pattern: 'other/*'}]",
            "t",
            ["deep/b.csv", "deep/c.txt", "other/d.csv"],
        ),
        ("[{file: a.csv}, {file: PLACE/elsewhere/a.csv}]", "", ["elsewhere/a.csv", "t/a.csv"]),
        ("[{folder: 'file://PLACE/elsewhere'}]", "elsewhere", ["a.csv", "e.csv"]),
    ],
)
def test_the_files_are_those_of_all_paths_once_each(place, paths, root, files):
    found_root, found = listed(place, paths.replace("PLACE", str(place)))
    assert found_root == str(place / root) if root else found_root == str(place)
    assert [file.path for file in found] == files
    assert [fetch(found_root, file.path, place).read_text().endswith(file.path[-5:]) for file in found]


def test_what_a_second_path_lists_once_more_is_skipped_there_with_the_reason(place):
    (place / "t" / "MLTable").write_text("paths: [{file: a.csv}, {folder: deep}, {pattern: 'deep/*.csv'}]")
    table = read_mltable(str(place / "t"), str)

    skipped = list_mltable(table).skipped

    assert [(one.file, one.reason) for one in skipped] == [
        ("deep/b.csv", f"'{place}/t/deep/*.csv' of the MLTable lists it once more"),
    ]


def test_files_of_several_stores_are_named_by_their_whole_uris(place, s3, tmp_path):
    s3.put_object(Bucket="lake", Key="x/a.csv", Body=b"one")
    s3.put_object(Bucket="lake", Key="y/a.csv", Body=b"two")
    root, found = listed(place, "[{file: a.csv}, {folder: s3://lake/x}, {file: s3://lake/y/a.csv}]")

    assert (root, [file.path for file in found]) == (
        "",
        [f"{place}/t/a.csv", "s3://lake/x/a.csv", "s3://lake/y/a.csv"],
    )
    local, *fetched = [fetch(root, file.path, tmp_path / "scratch") for file in found]
    assert local == place / "t/a.csv"
    assert [file.read_text() for file in fetched] == ["one", "two"]
    reader = PartReader(root, None, tmp_path / "tables")
    assert reader.read("s3://lake/y/a.csv", WHOLE).column_names == ["two"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ("[{file: none.csv}]", "'.*none.csv' does not exist"),
        ("[{pattern: '*.png'}]", "matches no file"),
        ("[{file: ../elsewhere/a.csv}]", "leads out of"),
    ],
)
def test_a_path_without_files_is_refused(place, paths, message):
    with pytest.raises(InputError, match=message):
        listed(place, paths)


@pytest.mark.parametrize("path", ["/etc/passwd", "file:///etc/passwd", "azureml://datastores/x/paths/y"])
def test_what_is_not_relative_is_for_the_caller_to_allow(place, path):
    with pytest.raises(Refused, match="not for you"):
        listed(place, f"[{{file: '{path}'}}]", refuse)


def test_a_folder_without_the_file_is_refused(place):
    with pytest.raises(InputError, match="has no file MLTable"):
        read_mltable(str(place), str)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type: mltable\n", "paths"),
        ("paths: [{file: a, folder: b}]", "expected one of file, folder and pattern"),
        ("paths: [{file: a}]\ntransformations:\n- read_delta_lake: {}", "read_delta_lake"),
        ("paths: [{file: a}]\ntransformations:\n- take: 5", "take"),
        ("paths: [{file: a}]\ntransformations:\n- read_delimited: {header: from_first_file}", "header"),
        (
            "paths: [{file: a}]\ntransformations:\n- read_delimited: {include_path_column: true}",
            "include_path_column",
        ),
        ("paths: [{file: a}]\ntransformations:\n- read_json_lines: {invalid_lines: drop}", "invalid_lines"),
        ("paths: [{file: a}]\ntransformations:\n- read_delimited: {encoding: utf16}", "encoding"),
        ("paths: [{file: a}]\ntransformations:\n- read_delimited: {delimiter: '||'}", "one character"),
        ("paths: [{file: a}]\ntransformations: [keep_columns: a, read_parquet]", "stands first"),
    ],
)
def test_what_nobody_understands_is_refused_by_its_name(tmp_path, text, message):
    (tmp_path / "MLTable").write_text(text)
    with pytest.raises(SpecError, match=message):
        read_mltable(str(tmp_path), str)


def reading(*steps):
    return check(MLTable, {"paths": [{"file": "x"}], "transformations": list(steps)}).reading


def test_what_transformations_amount_to():
    assert reading() is None
    found = reading("read_parquet", {"keep_columns": ["a", "b"]}, {"drop_columns": "b"}, {"keep_columns": "a"})
    assert found == TableReading(format="parquet", keep=("a",), drop=("b",))


@pytest.mark.parametrize(
    ("content", "steps", "expected"),
    [
        (b"a;b\n1;x,y\n2;\n", [{"read_delimited": {"delimiter": ";"}}], {"a": [1, 2], "b": ["x,y", None]}),
        (b'a\tb\n1\t"q\n"\n', [{"read_delimited": {"delimiter": "\t"}}], {"a": [1], "b": ["q\n"]}),
        (b"1,x\n2,y\n", [{"read_delimited": {"header": "no_header"}}], {"Column1": [1, 2], "Column2": ["x", "y"]}),
        (
            b"a,b\n1,\n",
            [{"read_delimited": {"empty_as_string": True, "infer_column_types": False}}],
            {"a": ["1"], "b": [""]},
        ),
        ("ü,b\né,1\n".encode("latin1"), [{"read_delimited": {"encoding": "iso-8859-1"}}], {"ü": ["é"], "b": [1]}),
        (b'{"a": 1, "b": 2}\n', ["read_json_lines", {"drop_columns": ["b"]}], {"a": [1]}),
        (b"a,b,c\n1,2,3\n", [{"read_delimited": {}}, {"keep_columns": ["c", "a"]}], {"a": [1], "c": [3]}),
    ],
)
def test_files_are_read_as_the_transformations_say(tmp_path, content, steps, expected):
    (tmp_path / "data.txt").write_bytes(content)
    columns = pa.ipc.read_schema(pa.py_buffer(said(pa.schema([]), reading(*steps))))
    table = PartReader(str(tmp_path), columns, tmp_path).read("data.txt", WHOLE)
    assert table.to_pydict() == expected


def test_a_column_that_no_file_has_is_told(tmp_path):
    pyarrow.parquet.write_table(pa.table({"a": [1]}), tmp_path / "x")
    columns = pa.ipc.read_schema(pa.py_buffer(said(pa.schema([]), reading("read_parquet", {"keep_columns": "z"}))))
    with pytest.raises(InputError, match="'x' has no column 'z', which the transformations"):
        PartReader(str(tmp_path), columns, tmp_path).read("x", WHOLE)
