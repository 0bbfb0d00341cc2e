"""What inputs and outputs are in each kind of object store."""

import errno
import gzip
import io
import os

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from batch_endpoints.errors import Conflict, InputError, NotFound, StoreUnavailable
from batch_endpoints.planning.partitions import PartitionSize
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.inputs.fetch import fetch, fetch_tree, read_texts
from batch_endpoints.storage.inputs.listing import check_readable, list_files
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.outputs.claims import claim, take_over
from batch_endpoints.storage.outputs.downloads import open_output_file, output_files
from batch_endpoints.storage.outputs.named_output import NamedOutput
from batch_endpoints.storage.tables.column_types import ColumnTypes
from batch_endpoints.storage.tables.parts import PartReader, cut_tables


def put(store, *keys):
    for key in keys:
        writable_place(store.PLACE).replace(key, key.encode())


@pytest.mark.parametrize(
    ("path", "root", "found"),
    [
        ("in", "in", ["a.csv", "deep/b.csv", "deep/c d.txt"]),
        ("in/", "in", ["a.csv", "deep/b.csv", "deep/c d.txt"]),
        ("in/a.csv", "in", ["a.csv"]),
        ("in/deep/c d.txt", "in/deep", ["c d.txt"]),
        ("in/*.csv", "in", ["a.csv"]),
        ("in/**/*.csv", "in", ["a.csv", "deep/b.csv"]),
        ("odd/[1].csv", "odd", ["[1].csv"]),
        ("odd/ü#%20+.csv", "odd", ["ü#%20+.csv"]),
    ],
)
def test_an_input_is_a_file_a_folder_or_a_pattern(store, tmp_path, path, root, found):
    put(
        store, "in/a.csv", "in/deep/b.csv", "in/deep/c d.txt", "inner/x", "odd/[1].csv", "odd/1.csv", "odd/ü#%20+.csv"
    )
    writable_place(store.PLACE).replace("in/deep/", b"")  # what consoles make of a folder
    listed, files, skipped = list_files(f"{store.PLACE}/{path}")
    assert (listed, [file.path for file in files]) == (f"{store.PLACE}/{root}", found)
    assert skipped == []
    for name in found:
        assert fetch(listed, name, tmp_path).read_bytes() == f"{root}/{name}".encode()


def test_an_output_in_a_store_is_claimed_by_one_job_and_the_claim_is_no_input(store, tmp_path):
    folders = [JobFolder(Disk(tmp_path / name), (tmp_path / name).as_uri()) for name in "ab"]
    for folder in folders:
        folder.files.put_if_absent("job.json", b"{}")
    output = NamedOutput("score", f"{store.PLACE}/claimed", None, shared=True)
    put(store, "claimed/data.txt")
    claim(output, folders[0])
    with pytest.raises(Conflict, match="is about to write"):
        claim(output, folders[1])
    assert [file.path for file in list_files(output.folder).files] == ["data.txt"]
    take_over(output, folders[1])
    assert folders[0].output_taken_by == folders[1].uri


def test_a_key_that_would_leave_the_scratch_folder_is_refused(store, tmp_path):
    for path in ("../../x", "a/./x", "/x", "a//x"):
        with pytest.raises(InputError, match="a name that no disk can keep"):
            fetch(f"{store.PLACE}/in", path, tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()


def test_a_disk_that_is_full_has_failed_no_file(store, tmp_path, monkeypatch):
    put(store, "in/1.csv")
    link = os.link

    def full(source, target, **options):
        if str(target).endswith("/1.csv"):
            raise OSError(errno.ENOSPC, "No space left on device", target)
        link(source, target, **options)

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(StoreUnavailable, match=rf"'{store.PLACE}/in/1.csv' cannot be read now: .*No space left"):
        fetch(f"{store.PLACE}/in", "1.csv", tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_compressed_file_is_fetched_as_it_is(store, tmp_path):
    content = gzip.compress(b"x\n1\n")
    writable_place(store.PLACE).replace("in/d.csv.gz", content)
    assert fetch(f"{store.PLACE}/in", "d.csv.gz", tmp_path).read_bytes() == content


@pytest.mark.parametrize(("path", "why"), [("/no", "/no' does not exist"), ("/no/*.csv", "matches no file")])
def test_an_input_that_is_not_there_is_told(store, path, why):
    with pytest.raises(InputError, match=why):
        check_readable(store.PLACE + path, "uri_folder")


def test_a_bucket_that_is_not_there_is_told(store):
    with pytest.raises(InputError, match=r"cannot be read: no such (bucket|container)"):
        check_readable(store.PLACE.replace("lake", "pool") + "/in", "uri_folder")


def test_a_listing_is_asked_for_page_by_page(store, monkeypatch):
    monkeypatch.setattr("batch_endpoints.storage.files.object_store.PAGE", 2)
    names = [f"{number}.txt" for number in range(5)]
    put(store, *(f"in/{name}" for name in names))
    assert [(file.path, file.size) for file in list_files(f"{store.PLACE}/in")[1]] == [(name, 8) for name in names]


def test_a_folder_is_fetched_whole_and_texts_of_it_alone(store, tmp_path):
    put(store, "models/m/MLmodel", "models/m/data/weights")
    tree = fetch_tree(f"{store.PLACE}/models/m", tmp_path)
    assert (tree / "data" / "weights").read_text() == "models/m/data/weights"
    texts = read_texts(f"{store.PLACE}/models/m", ["MLmodel", "conda.yaml"])
    assert texts == {"MLmodel": "models/m/MLmodel"}
    with pytest.raises(InputError, match="does not exist"):
        fetch_tree(f"{store.PLACE}/models/none", tmp_path)


def test_an_output_is_listed_and_opened(store):
    put(store, "out/deep/b", "out/a")
    uri = f"{store.PLACE}/out"
    assert output_files(uri) == [("a", 5), ("deep/b", 10)]
    with open_output_file(uri, "deep/b") as file:
        assert file.read() == b"out/deep/b"
    with open_output_file(f"{uri}/a", "a") as file:
        assert file.read() == b"out/a"
    with pytest.raises(NotFound):
        open_output_file(uri, "c")


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "stream.arrow", "t.csv", "t.csv.gz"])
def test_parts_of_a_table_are_read_where_it_is(store, tmp_path, name):
    table = pa.table({"n": range(50_000), "text": [f"row {number}" for number in range(50_000)]})
    with writable_place(store.PLACE).open_output(f"in/{name}") as file:
        if name == "t.parquet":
            pyarrow.parquet.write_table(table, file, row_group_size=5_000)
        elif name.endswith(".arrow"):
            new = pa.ipc.new_stream if name == "stream.arrow" else pa.ipc.new_file
            with new(file, table.schema) as writer:
                writer.write_table(table, max_chunksize=5_000)
        else:
            text = io.BytesIO()
            pyarrow.csv.write_csv(table, text)
            file.write(gzip.compress(text.getvalue()) if name.endswith(".gz") else text.getvalue())
    root, files, _ = list_files(f"{store.PLACE}/in")
    types = ColumnTypes()
    batches = list(cut_tables(root, files, PartitionSize(20_000, in_rows=True), types, tmp_path))
    reader = PartReader(root, types.schema(), tmp_path)

    parts = [reader.read(path, part) for batch in batches for path, part in batch]

    assert len(parts) == (1 if name.endswith(".gz") else 3)
    assert pa.concat_tables(parts).to_pydict() == table.to_pydict()
