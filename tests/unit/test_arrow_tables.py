"""Arrow files and streams cut anywhere have the rows that Arrow's own readers find, and are never read whole."""

import contextlib
import io
import random
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tables import cut

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.partitions import WHOLE, Part, partition_size
from batch_endpoints.storage.tables import row_groups, table_files
from batch_endpoints.storage.tables.arrow import windows
from batch_endpoints.storage.tables.arrow.messages import has_dictionaries
from batch_endpoints.storage.tables.arrow.table import ArrowTable
from batch_endpoints.storage.tables.column_types import ColumnTypes, columns_with_missing
from batch_endpoints.storage.tables.parts import PartReader, cut_tables

SIZES = st.one_of(
    st.integers(1, 900).map(lambda n: f"{n}B"), st.integers(1, 12).map(lambda n: f"{n} rows"), st.just("64MB")
)
WORDS = [f"word {n}" for n in range(40)]
OPTIONS = {
    "plain": {},
    "lz4": {"compression": "lz4"},
    "zstd": {"compression": "zstd"},
    "adds to dictionaries": {"emit_dictionary_deltas": True},
    "before 0.15": {"use_legacy_format": True, "metadata_version": pa.ipc.MetadataVersion.V4},
}
NEW = {"file": pa.ipc.new_file, "stream": pa.ipc.new_stream}
KINDS = {
    "n": pa.int64(),
    "flag": pa.bool_(),
    "text": pa.string(),
    "word": pa.dictionary(pa.int32(), pa.string()),
    "words": pa.list_(pa.dictionary(pa.int8(), pa.string())),
    "none": pa.null(),
    "deep": pa.struct({"a": pa.int32(), "b": pa.list_(pa.float64())}),
    "last": pa.int8(),
}


def encoded(kind, indices, words):
    return pa.DictionaryArray.from_arrays(pa.array(indices, kind.index_type), pa.array(words))


def batch_of(first, rows, words, rng):
    """Rows of all kinds, which have these words, and lack some values."""
    holes = [None if rng.random() < 0.1 else n for n in range(first, first + rows)]
    spots = [None if n is None else n % len(words) for n in holes]
    ends = [0, *sorted(rng.randrange(rows + 1) for _ in range(rows - 1)), rows] if rows else [0]
    columns = {
        "n": pa.array(holes, pa.int64()),
        "flag": pa.array([None if n is None else n % 2 == 0 for n in holes], pa.bool_()),
        "text": pa.array([f"ü{n}" * (n % 4) for n in range(first, first + rows)], pa.string()),
        "word": encoded(KINDS["word"], spots, words),
        "words": pa.ListArray.from_arrays(
            pa.array(ends, pa.int32()), encoded(KINDS["words"].value_type, spots, words[:9] * 2)
        ),
        "none": pa.nulls(rows),
        "deep": pa.array([{"a": n, "b": [n] * (first % 3)} for n in holes], KINDS["deep"]),
        "last": pa.array([n % 100 for n in range(first, first + rows)], pa.int8()),
    }
    return pa.record_batch(list(columns.values()), schema=pa.schema(KINDS))


def written(kind, batches, schema, **options):
    sink = pa.BufferOutputStream()
    with NEW[kind](sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def all_parts(folder, name, size):
    """The parts of a file, which are a mini-batch each, and the types that are known then."""
    types = ColumnTypes()
    batches = list(cut_tables(str(folder), [InputFile(name)], partition_size(size), types, folder))
    return [part for ((_, part),) in batches], types.schema()


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.integers(0, 12), max_size=7),
    kind=st.sampled_from(["file", "stream"]),
    options=st.sampled_from(list(OPTIONS)),
    dictionaries=st.sampled_from(["one", "growing", "other"]),
    size=SIZES,
    large=st.sampled_from([30, 1 << 26]),
    window=st.sampled_from([1, 100, 1 << 16]),
    columns=st.sampled_from([list(KINDS), [name for name in KINDS if name != "words"], ["word"], ["n", "last"]]),
    seed=st.integers(0, 99),
)
@example([], "file", "plain", "one", "1 rows", 30, 1, ["n", "word"], 0)
@example([], "stream", "plain", "one", "1 rows", 30, 1, ["n", "word"], 0)
@example([0, 0], "stream", "zstd", "one", "1B", 30, 1, ["n", "word"], 0)
@example([9, 0, 9, 9], "stream", "adds to dictionaries", "growing", "4 rows", 30, 1, list(KINDS), 0)
@example([9, 0, 9, 9], "stream", "plain", "other", "4 rows", 30, 1, list(KINDS), 0)
@example([9, 0, 9, 9], "stream", "plain", "other", "4 rows", 30, 1, ["n", "word"], 0)
def test_arrow_cut_anywhere_has_the_rows_that_arrow_reads(
    rows, kind, options, dictionaries, size, large, window, columns, seed
):
    rng = random.Random(seed)
    batches, first = [], 0
    for number, count in enumerate(rows):
        words = WORDS[:9]
        if dictionaries == "growing":  # which a file can have only where it may be added to
            words = WORDS[: 9 + number * (kind == "stream" or options == "adds to dictionaries")]
        elif dictionaries == "other" and kind == "stream":
            words = rng.sample(WORDS, rng.randrange(9, 12))
        batches.append(batch_of(first, count, words, rng).select(columns))
        first += count
    schema = pa.schema([(name, KINDS[name]) for name in columns])
    data = written(kind, batches, schema, **OPTIONS[options])
    whole = (pa.ipc.open_file if kind == "file" else pa.ipc.open_stream)(data).read_all()
    assert whole.num_rows == sum(rows)
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_groups, "LARGE", large)
        patch.setattr(windows, "WINDOW", window)
        folder = Path(place)
        (folder / "a.arrow").write_bytes(data)

        parts, types = all_parts(folder, "a.arrow", size)

        lacking = {name for name in {"n", "flag", "last"} & {*columns} if whole[name].null_count}
        assert columns_with_missing(types) == lacking
        if size.endswith("rows"):
            assert max(part.rows for part in parts) <= int(size.split()[0])
        same = PartReader(str(folder), types, folder)
        in_order = [same.read("a.arrow", part) for part in parts]
        assert pa.concat_tables(in_order).to_pylist() == whole.to_pylist()
        for at in rng.sample(range(len(parts)), min(len(parts), 4)):
            for reader in (same, PartReader(str(folder), types, folder)):  # in any order, also of another worker
                found = reader.read("a.arrow", parts[at])
                assert found.to_pylist() == in_order[at].to_pylist()
                assert found.schema == in_order[at].schema
            without = parts[at]._replace(group=-1, skip=0)  # as plans were before they said it
            assert PartReader(str(folder), types, folder).read("a.arrow", without).to_pylist() == found.to_pylist()


class Counting(io.BytesIO):
    """A file far away that counts what is asked for."""

    def __init__(self, data):
        super().__init__(data)
        self.bytes = self.requests = self.largest = 0

    def read(self, size=-1):
        found = super().read(size)
        self.bytes, self.requests, self.largest = (
            self.bytes + len(found),
            self.requests + 1,
            max(self.largest, len(found)),
        )
        return found


def opened(data, in_rows=True):
    source = Counting(data)
    return source, ArrowTable(pa.PythonFile(source, mode="r"), in_rows)


def numbers(batches, rows, more=()):
    rng = random.Random(0)
    return [
        pa.record_batch(
            {"n": range(at * rows, at * rows + rows), "x": [rng.random() for _ in range(rows)], **dict(more)}
        )
        for at in range(batches)
    ]


@pytest.mark.parametrize("kind", NEW)
@pytest.mark.parametrize("options", ["plain", "lz4", "zstd"])
def test_a_file_is_cut_by_what_stands_before_its_batches(kind, options):
    batches = numbers(20, 20_000)
    data = written(kind, batches, batches[0].schema, **OPTIONS[options])
    source, table = opened(data)
    cuts = list(table.cuts(ColumnTypes()))
    assert [(len(one.rows), one.rows[-1]) for one in cuts] == [(20_000, n * 20_000 + 20_000) for n in range(20)]
    # the header of each batch with what is around it; of compressed ones, all of the first batch
    assert source.largest < (len(data) / 15 if options != "plain" else windows.WINDOW + 1)
    assert source.requests < 30


@pytest.mark.parametrize("kind", NEW)
@pytest.mark.parametrize("dictionary", [False, True], ids=["plain", "with a dictionary"])
def test_of_a_part_only_its_own_batches_are_read(kind, dictionary):
    words = encoded(KINDS["word"], [n % 5 for n in range(20_000)], WORDS[:5])
    batches = numbers(20, 20_000, {"word": words} if dictionary else {})
    data = written(kind, batches, batches[0].schema)
    groups = [cuts.group for cuts in opened(data)[1].cuts(None)]
    source, table = opened(data)

    parts = [
        table.read(Part(0, 0, at, 5_000, (), groups[at // 20_000].begin, at % 20_000), None, None)
        for at in range(265_000, 280_000, 5_000)
    ]

    assert pa.concat_tables(parts)["n"].to_pylist() == list(range(265_000, 280_000))
    assert source.largest < len(data) / 15
    of_headers = 18 if dictionary and kind == "stream" else 3  # which say where its dictionaries are
    assert source.bytes < len(data) / 20 + of_headers * windows.WINDOW


@pytest.mark.parametrize("end", range(0, 100, 4))
def test_what_lies_before_the_break_of_a_stream_is_read_and_the_rest_is_one_item_that_fails(tmp_path, end):
    batches = [batch_of(at, 10, WORDS[:9], random.Random(at)) for at in range(0, 50, 10)]
    data = written("stream", batches, batches[0].schema)
    data = data[: len(data) * end // 100]
    (tmp_path / "a.arrow").write_bytes(data)
    parts, types = all_parts(tmp_path, "a.arrow", "4 rows")
    reader = PartReader(str(tmp_path), types, tmp_path)
    found = [row for part in parts[:-1] for row in reader.read("a.arrow", part).to_pylist()]
    assert found == pa.Table.from_batches(batches).to_pylist()[: len(found)]
    assert len(found) >= len(data) // (len(written("stream", batches, batches[0].schema)) // 5) * 10 - 10
    assert parts[-1].rows == -1
    with pytest.raises(InputError, match=r"'a\.arrow' cannot be read"):
        reader.read("a.arrow", parts[-1])


@pytest.mark.parametrize("end", [0, 3, 6, 20, 200, 1500, -1, -6, -10, -100])
def test_a_file_without_its_end_is_one_item_that_fails(tmp_path, end):
    batches = [batch_of(at, 10, WORDS[:9], random.Random(at)) for at in range(0, 50, 10)]
    (tmp_path / "a.arrow").write_bytes(written("file", batches, batches[0].schema)[:end])
    (part,), types = all_parts(tmp_path, "a.arrow", "4 rows")
    assert part == WHOLE
    with pytest.raises(InputError, match=r"'a\.arrow' cannot be read"):
        PartReader(str(tmp_path), types, tmp_path).read("a.arrow", part)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["file", "stream"]),
    options=st.sampled_from(list(OPTIONS)),
    large=st.sampled_from([30, 1 << 26]),
    spoilt=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_whatever_is_in_a_broken_file_it_is_told_and_not_believed(kind, options, large, spoilt):
    batches = [batch_of(at, 10, WORDS[:9], random.Random(at)) for at in range(0, 30, 10)]
    data = bytearray(written(kind, batches, batches[0].schema, **OPTIONS[options]))
    for at, value in spoilt:
        data[int(at * len(data))] = value
    source = Counting(bytes(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_groups, "LARGE", large)
        patch.setattr(table_files, "_source", lambda *_, **__: pa.PythonFile(source, mode="r"))
        parts, types = all_parts(Path(), "a.arrow", "300B")
        assert len(parts) < 100
        assert source.requests < 200
        for part in parts:
            with contextlib.suppress(InputError):
                PartReader("", types, Path()).read("a.arrow", part)


@pytest.mark.parametrize("kind", NEW)
def test_a_file_that_was_replaced_since_it_was_cut_is_told(tmp_path, kind):
    batches = numbers(5, 100)
    (tmp_path / "a.arrow").write_bytes(written(kind, batches, batches[0].schema))
    parts, types = all_parts(tmp_path, "a.arrow", "100 rows")
    batches = numbers(5, 90)
    (tmp_path / "a.arrow").write_bytes(written(kind, batches, batches[0].schema))
    with pytest.raises(InputError, match=r"'a\.arrow'"):
        PartReader(str(tmp_path), types, tmp_path).read("a.arrow", parts[3])


@pytest.mark.parametrize("kind", NEW)
def test_a_part_behind_all_rows_is_told(tmp_path, kind):
    batches = numbers(5, 100)
    (tmp_path / "a.arrow").write_bytes(written(kind, batches, batches[0].schema))
    with pytest.raises(InputError, match=r"'a\.arrow' cannot be read: it has 500 rows, and no row 500"):
        PartReader(str(tmp_path), None, tmp_path).read("a.arrow", Part(0, 9, 500, 7))


@pytest.mark.parametrize("kind", NEW)
def test_a_large_batch_is_read_in_pieces(monkeypatch, kind):
    monkeypatch.setattr(row_groups, "LARGE", 200_000)
    words = encoded(KINDS["word"], [n % 5 for n in range(100_000)], WORDS[:5])
    (batch,) = numbers(1, 100_000, {"word": words, "text": [f"ü{n}" for n in range(100_000)]})
    data = written(kind, [batch], batch.schema)
    source, table = opened(data, in_rows=False)
    (cuts,) = table.cuts(None)
    assert len(cuts.rows) > 40
    assert source.bytes < windows.WINDOW * 4
    source, table = opened(data)
    found = table.read(Part(0, 0, 70_001, 999, (), cuts.group.begin, 70_001), None, None)
    assert found.equals(pa.table(batch).slice(70_001, 999))
    assert source.largest <= windows.WINDOW
    assert source.bytes < len(data) / 4
    assert table.read(Part(0, 0, 0, 100_000), None, None).equals(pa.table(batch))


def test_compressed_rows_count_as_what_they_take_in_memory(tmp_path):
    batches = [pa.record_batch({"n": [0] * 10_000, "text": ["x" * 20] * 10_000})] * 10
    (tmp_path / "a.arrow").write_bytes(written("stream", batches, batches[0].schema, compression="zstd"))
    assert (tmp_path / "a.arrow").stat().st_size < 400_000
    parts, _ = all_parts(tmp_path, "a.arrow", "400KB")
    assert [part.rows for part in parts] == [10_000] * 10


@pytest.mark.parametrize("end", [b"FEA1", bytes(4) + b"FEA1", b"\xff" * 4 + b"FEA1", b"FEA", bytes(4)])
def test_a_table_of_feathers_first_version_without_its_end_is_one_item_that_fails(tmp_path, end):
    (tmp_path / "a.feather").write_bytes(b"FEA1" + bytes(40) + end)
    (part,), types = all_parts(tmp_path, "a.feather", "3 rows")
    with pytest.raises(InputError, match="no end of a Feather file"):
        PartReader(str(tmp_path), types, tmp_path).read("a.feather", part)


@pytest.mark.filterwarnings("ignore:Feather V1:DeprecationWarning")
def test_a_table_of_feathers_first_version_is_cut(tmp_path):
    table = pa.table({"n": range(100), "text": [f"ü{n}" for n in range(100)]})
    pyarrow.feather.write_feather(table, str(tmp_path / "a.feather"), version=1)
    batches = cut(tmp_path, "30 rows")
    assert [part.rows for ((_, part, _),) in batches] == [30, 30, 30, 10]
    assert pa.concat_tables([found for ((_, _, found),) in batches]).equals(table)


FIELDS = {
    "n": pa.int8(),
    "map": pa.map_(pa.string(), pa.list_(pa.int8())),
    "fixed": pa.list_(pa.int8(), 2),
    "view": pa.string_view(),
    "runs": pa.run_end_encoded(pa.int32(), pa.string()),
    "dense": pa.dense_union([pa.field("a", pa.int8()), pa.field("b", pa.string())]),
    "uuid": pa.uuid(),
    "lists": pa.list_view(pa.struct({"a": pa.int8(), "b": pa.dictionary(pa.int8(), pa.string())})),
    "large": pa.large_string(),
    "money": pa.decimal128(9, 2),
    "json": pa.json_(),
    "nothing": pa.null(),
}


@pytest.mark.parametrize("first", FIELDS)
def test_a_column_that_lacks_a_value_is_known_by_the_header_whatever_is_before_it(first):
    schema = pa.schema({first: FIELDS[first], "whole": pa.int8(), "holes": pa.bool_()})
    batch = pa.record_batch(
        [pa.nulls(3, FIELDS[first]), pa.array([1, 2, 3], pa.int8()), pa.array([True, None, False])], schema=schema
    )
    types = ColumnTypes()
    (cuts,) = opened(written("stream", [batch], schema), in_rows=False)[1].cuts(types)
    assert cuts.rows == [3]
    assert columns_with_missing(types.schema()) - {first} == {"holes"}
    assert has_dictionaries(schema) == (first == "lists")


def test_a_part_says_in_which_batch_it_begins(tmp_path):
    batches = numbers(3, 10)
    data = written("stream", batches, batches[0].schema)
    (tmp_path / "a.arrow").write_bytes(data)
    parts, _ = all_parts(tmp_path, "a.arrow", "8 rows")
    begins = [cuts.group.begin for cuts in opened(data)[1].cuts(None)]
    assert [(part.group, part.skip) for part in parts] == [(-1, 0), (begins[0], 8), (begins[1], 6), (begins[2], 4)]
