"""Some rows of a record batch that lies in a file are those that the whole batch has there."""

import datetime
import decimal
import uuid

import pyarrow as pa
import pytest

from batch_endpoints.storage.tables.arrow.messages import ROWS, read_message
from batch_endpoints.storage.tables.arrow.slices import may_be_sliced, slices
from batch_endpoints.storage.tables.arrow.windows import Windows

ROWS_THERE = 61
DAY = datetime.datetime(2024, 1, 1)
VALUES = {
    "int8": (pa.int8(), lambda n: n),
    "flag": (pa.bool_(), lambda n: n % 3 == 0),
    "half": (pa.float16(), float),
    "double": (pa.float64(), lambda n: n / 7),
    "money": (pa.decimal128(9, 2), lambda n: decimal.Decimal(n)),
    "large money": (pa.decimal256(50, 2), lambda n: decimal.Decimal(n)),
    "day": (pa.date32(), lambda n: n),
    "moment": (pa.timestamp("us", "UTC"), lambda n: DAY + datetime.timedelta(n)),
    "interval": (pa.month_day_nano_interval(), lambda n: (n, n, n)),
    "text": (pa.string(), lambda n: "ü" * (n % 5)),
    "large text": (pa.large_string(), lambda n: f"x{n}"),
    "bytes": (pa.binary(), lambda n: b"\0" * (n % 4)),
    "four bytes": (pa.binary(4), lambda n: bytes([n] * 4)),
    "nothing": (pa.null(), lambda n: None),
    "list": (pa.list_(pa.int16()), lambda n: [*range(n % 6)]),
    "large list": (pa.large_list(pa.string()), lambda n: [f"{n}"] * (n % 3)),
    "lists of lists": (pa.list_(pa.list_(pa.bool_())), lambda n: [[True, None]] * (n % 4) + [None]),
    "pairs": (pa.list_(pa.int32(), 2), lambda n: [n, None]),
    "pairs of texts": (pa.list_(pa.string(), 3), lambda n: ["a", str(n), "c"]),
    "struct": (pa.struct({"a": pa.int8(), "b": pa.list_(pa.string())}), lambda n: {"a": n, "b": ["x"] * (n % 3)}),
    "map": (pa.map_(pa.string(), pa.float64()), lambda n: [(f"{k}", k / 2) for k in range(n % 4)]),
    "words": (pa.dictionary(pa.int8(), pa.string()), lambda n: f"word {n % 7}"),
    "numbers": (pa.dictionary(pa.uint16(), pa.int64()), lambda n: n % 7),
    "uuid": (pa.uuid(), lambda n: uuid.UUID(int=n).bytes),
    "empty lists": (pa.list_(pa.struct({"a": pa.string()})), lambda n: []),
}


def written(schema, columns):
    batch = pa.record_batch(columns, schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch)
    return batch, sink.getvalue()


def message_of_rows(source):
    message = read_message(source, 0)
    while message.kind != ROWS:
        message = read_message(source, message.end)
    return message


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("holes", [False, True], ids=["whole", "with holes"])
def test_rows_of_any_type_are_those_of_the_batch(name, holes):
    kind, value = VALUES[name]
    values = [None if holes and n % 5 == 2 else value(n) for n in range(ROWS_THERE)]
    schema = pa.schema({"before": pa.string(), "x": kind, "behind": pa.int64()})
    columns = [pa.array([f"{n}" for n in range(ROWS_THERE)]), pa.array(values, kind), pa.array(range(ROWS_THERE))]
    batch, data = written(schema, columns)
    assert may_be_sliced(schema)
    source = Windows(pa.BufferReader(data))
    for start in (0, 3, 8, 60):
        for rows in (1, 7, 16, 100):
            found = list(slices(message_of_rows(source), source, batch.slice(0, 0), start, rows))
            for piece in found:
                piece.validate(full=True)
                assert piece.num_rows <= rows
            assert pa.Table.from_batches(found, schema).to_pylist() == batch.slice(start).to_pylist()


@pytest.mark.parametrize(
    "kind",
    [
        pa.string_view(),
        pa.list_view(pa.int8()),
        pa.run_end_encoded(pa.int32(), pa.string()),
        pa.dense_union([pa.field("a", pa.int8())]),
        pa.list_(pa.dictionary(pa.int8(), pa.string())),
        pa.struct({"a": pa.binary_view()}),
    ],
    ids=str,
)
def test_of_some_types_nobody_knows_where_rows_are(kind):
    assert not may_be_sliced(pa.schema({"n": pa.int8(), "x": kind}))


def test_lengths_that_lead_out_of_their_column_are_not_believed():
    schema = pa.schema({"x": pa.string()})
    batch, data = written(schema, [pa.array(["a", "b", "c"])])
    spoilt = bytearray(data.to_pybytes())
    message = message_of_rows(Windows(pa.BufferReader(data)))
    (_, _), (offsets, _), _ = message.buffers()
    spoilt[message.body + offsets + 12 : message.body + offsets + 16] = (1 << 30).to_bytes(4, "little")
    source = Windows(pa.BufferReader(bytes(spoilt)))
    with pytest.raises(pa.ArrowInvalid, match="not as long as is told"):
        list(slices(message_of_rows(source), source, batch.slice(0, 0), 0, 9))


def test_a_batch_of_fewer_columns_than_its_schema_is_told():
    schema = pa.schema({"x": pa.int64()})
    _, data = written(schema, [pa.array([1, 2])])
    more = pa.record_batch({"x": pa.array([], pa.int64()), "y": pa.array([], pa.int64())})
    source = Windows(pa.BufferReader(data))
    with pytest.raises(pa.ArrowInvalid, match="fewer columns"):
        list(slices(message_of_rows(source), source, more, 0, 9))
