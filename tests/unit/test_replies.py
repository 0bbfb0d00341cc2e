"""Replies of a host that is not to be trusted: whatever it sends is a reply or refused, and nothing else happens."""

import json
import random
import struct

import pyarrow as pa
import pytest
from received import received

from batch_endpoints.errors import BadReply
from batch_endpoints.scoring import host, replies

ERROR = {"class": "ValueError", "message": "odd", "file": "score.py", "line": 3, "stack": "…"}


def stream(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


TEXTS = pa.table({"n": [1, 2, 3], "text": ["a", "bb", "ccc"], "lists": [[1], [], [2, 3]]})


def test_a_reply_arrives_with_its_rows():
    reply = received({"kind": "table", "rows": 3}, stream(TEXTS))

    assert reply.table == TEXTS


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b", None]).dictionary_encode(),
        pa.array([{"x": 1, "y": ["z"]}, None, {}]),
        pa.array([1, None, 2], pa.decimal128(5, 2)),
        pa.array(["a", "b", None], pa.string_view()),
        pa.nulls(3),
        pa.array([], pa.int64()),
    ],
    ids=lambda column: str(column.type)[:20],
)
def test_rows_of_any_type_arrive(column):
    table = pa.table({"x": column})

    assert received({"kind": "table", "rows": len(column)}, stream(table)).table == table


@pytest.mark.parametrize("sizes", [(1 << 31, 0), (0, 1 << 63), (2**32 - 1, 2**64 - 1), (0, (1 << 32) + 1)])
def test_sizes_above_the_limits_are_refused_before_anything_is_read(sizes):
    with pytest.raises(BadReply, match=f"it claims to have {sizes[0]} and {sizes[1]} bytes"):
        replies.read_sizes(host.HEADER.pack(*sizes))


@pytest.mark.parametrize(
    ("header", "why"),
    [
        pytest.param(b"", "EOF while parsing", id="nothing"),
        pytest.param(b"\xff\xfe", "expected value", id="no text"),
        pytest.param(b"{}", "it is not the one to this request", id="an empty object"),
        pytest.param(b"[1]", "its header is no JSON object", id="a list"),
        pytest.param(b'{"kind": "values", "values": [1]}', "not the one to this request", id="no number"),
        pytest.param(b'{"kind": "values", "values": [], "number": 0}', "not the one to this", id="another one"),
        pytest.param(b'{"kind": "values", "values": [], "number": "1"}', "not the one to this", id="text"),
        pytest.param(b'{"number": 1}', "Unable to extract tag", id="no kind"),
        pytest.param(b'{"number": 1, "kind": "gift"}', "Input tag 'gift'", id="an unknown kind"),
        pytest.param(b'{"number": 1, "kind": "values"}', "values.values: Field required", id="no values"),
        pytest.param(b'{"number": 1, "kind": "values", "values": "x"}', "should be a valid list", id="no list"),
        pytest.param(b'{"number": 1, "kind": "values", "values": [], "more": 1}', "Extra inputs", id="too much"),
        pytest.param(b'{"number": 1, "kind": "values", "values": ' + b"[" * 10**6, "recursion limit", id="too deep"),
        pytest.param(b'{"number": 1, "kind": "values", "values": [' + b"9" * 5000 + b"]}", "number out", id="digits"),
        pytest.param(b'{"number": 1, "kind": "loaded", "format": "files"}', "'loaded' is none to run()", id="init's"),
        pytest.param(b'{"number": 1, "kind": "error", "error": "x"}', "error.error", id="an error that is text"),
        pytest.param(b'{"number": 1, "kind": "table", "rows": 0}', "its rows are damaged", id="a table without one"),
        pytest.param(b'{"number": 1, "kind": "table", "rows": 1, "table": {}}', "its rows are damaged", id="its own"),
    ],
)
def test_a_header_that_is_none_is_refused_with_its_reason(header, why):
    with pytest.raises(BadReply) as caught:
        replies.read_reply(header, b"", {"op": "run", "number": 1, "paths": ["/in/a"]})

    assert why in caught.value.what


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"kind": "columns", "names": ["x"], "data": [[1], [2]], "rows": 1}, id="without a name"),
        pytest.param({"kind": "columns", "names": ["x", "y"], "data": [[1], []], "rows": 1}, id="unequal columns"),
        pytest.param({"kind": "columns", "names": ["x", "x"], "data": [[1], [2]], "rows": 1}, id="one name twice"),
        pytest.param({"kind": "items", "items": [], "table": None}, id="no item"),
        pytest.param({"kind": "items", "items": [{"rows": 0}] * 2, "table": None}, id="too many items"),
        pytest.param({"kind": "items", "items": [{"rows": 10**30}], "table": None}, id="rows that are not there"),
        pytest.param({"kind": "items", "items": [{"rows": -1}], "table": None}, id="less than no rows"),
        pytest.param({"kind": "items", "items": [{"rows": 0, "read": -5}], "table": None}, id="read less than none"),
        pytest.param(
            {
                "kind": "items",
                "items": [{"rows": 1, "error": ERROR}],
                "table": {"kind": "columns", "names": ["x"], "data": [[1]], "rows": 1},
            },
            id="rows and an error",
        ),
        pytest.param({"kind": "error", "error": {**ERROR, "line": 10**40}}, id="a line no file has"),
        pytest.param({"kind": "error", "error": {**ERROR, "again": 1}}, id="a number for a truth"),
    ],
)
def test_what_a_header_states_has_to_agree(header):
    with pytest.raises(BadReply):
        received(header)


def test_a_payload_that_nothing_announces_is_refused():
    with pytest.raises(BadReply, match="a payload that its header does not announce"):
        received({"kind": "values", "values": [1]}, stream(TEXTS))


def test_rows_that_are_not_as_many_as_stated_are_refused():
    with pytest.raises(BadReply, match="the header states 4 rows, and there are 3"):
        received({"kind": "table", "rows": 4}, stream(TEXTS))


def offsets_beyond_the_text():
    whole = stream(pa.table({"text": ["aaaa", "bbbb"]}))
    wild = whole.replace(struct.pack("<iii", 0, 4, 8), struct.pack("<iii", 0, 1 << 30, 0x7FFFFFFF))
    assert wild != whole
    return wild


def nulls_by_the_billion():
    """Rows that take no bytes."""
    return stream(pa.table({"nothing": pa.nulls(2**31 - 1)}))


def text_that_is_none():
    return stream(pa.table({"text": pa.array([b"\xff\xfe"]).view(pa.string())}))


def one_name_twice():
    return stream(pa.table([[1], [2]], names=["x", "x"]))


def compressed():
    """Sixteen megabytes in some hundred bytes."""
    return stream(pa.table({"text": ["x" * (1 << 24)]}), compression="zstd")


def compressed_categories():
    return stream(pa.table({"text": pa.array(["x" * (1 << 24)]).dictionary_encode()}), compression="lz4")


def a_pickle():
    """As Ray's data frames of objects are stored; whoever reads one unpickles it."""
    storage = pa.array([b"cos\nsystem\n(S'true'\ntR."], pa.large_binary())
    marks = {"ARROW:extension:name": "ray.data.arrow_pickled_object", "ARROW:extension:metadata": ""}
    return stream(pa.Table.from_arrays([storage], schema=pa.schema([pa.field("x", storage.type, metadata=marks)])))


@pytest.mark.parametrize(
    ("payload", "rows"),
    [
        (offsets_beyond_the_text, 2),
        (nulls_by_the_billion, 2**31 - 1),
        (text_that_is_none, 1),
        (one_name_twice, 1),
        (a_pickle, 1),
        (compressed, 1),
        (compressed_categories, 1),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_arrow_data_that_is_not_what_it_states_is_refused(payload, rows):
    with pytest.raises(BadReply):
        received({"kind": "table", "rows": rows}, payload())


@pytest.mark.parametrize("seed", range(300))
def test_damaged_arrow_data_is_refused_or_can_be_used(seed):
    rng = random.Random(seed)
    damaged = bytearray(stream(TEXTS))
    for _ in range(rng.choice([1, 1, 2, 8])):
        damaged[rng.randrange(len(damaged))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    if rng.random() < 0.3:
        del damaged[rng.randrange(len(damaged)) :]

    try:
        reply = received({"kind": "table", "rows": 3}, bytes(damaged))
    except BadReply:
        return
    for column in reply.table.columns:
        column.to_pylist()


def test_a_reply_that_is_too_large_is_an_error_of_the_script_that_says_what_to_change(monkeypatch):
    monkeypatch.setattr(host, "MOST_HEADER_BYTES", 1 << 20)

    with pytest.raises(ValueError, match=r"run\(\) returned 1 MB at once, .* make mini_batch_size smaller"):
        host._frame({"number": 1}, {"kind": "values", "values": ["x" * (1 << 20)]}, b"")


def test_a_frame_of_the_host_is_what_the_worker_reads():
    head, header, payload = host._frame({"number": 7}, {"kind": "error", "error": ERROR}, b"")

    assert replies.read_sizes(head) == (len(header), 0)
    assert replies.read_reply(header, payload, {"op": "init", "number": 7}).error.message == "odd"
    assert json.loads(header)["number"] == 7
