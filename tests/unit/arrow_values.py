"""Tables of all of Arrow's types for tests, and what their values are whatever holds them."""

import json
import math
import re
from datetime import datetime, timedelta
from decimal import Context, Decimal
from uuid import UUID

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

ZONES = [None, "UTC", "Europe/Berlin", "+02:00"]
NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
EPOCH = datetime(1970, 1, 1)
CONTEXT = Context(prec=100)
NAN = "not a number"
_YEARS = 60 * 60 * 24 * 365 * 200  # seconds: within what 64 bits of nanoseconds hold

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6) | st.sampled_from(
    ["", "NA", "nan", "null", "007", "1e5", "e+", '"', ",", "\r\n", " x ", "true", "2024-01-01"]
)
INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
NUMBERS = st.sampled_from([*INTEGERS, *FLOATS])
DECIMALS = st.sampled_from(
    [pa.decimal32(9, 2), pa.decimal64(18, 3), pa.decimal128(38, 10), pa.decimal128(4, -2), pa.decimal256(76, 30)]
)
TEXT_TYPES = st.sampled_from([pa.string(), pa.large_string(), pa.string_view()])
BYTES_TYPES = st.sampled_from([pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3)])
TIMES = st.one_of(
    st.sampled_from([pa.date32(), pa.date64(), pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")]),
    st.builds(pa.timestamp, st.sampled_from(list(NANOSECONDS)), st.sampled_from(ZONES)),
    st.builds(pa.duration, st.sampled_from(list(NANOSECONDS))),
)
LEAVES = st.one_of(
    NUMBERS, NUMBERS, DECIMALS, TEXT_TYPES, BYTES_TYPES, TIMES, st.just(pa.bool_()), st.just(pa.null()),
    st.just(pa.month_day_nano_interval()),
)  # fmt: skip
KEYS = st.sampled_from([pa.string(), pa.int64()])
ENCODED = st.one_of(
    st.builds(pa.dictionary, st.sampled_from([pa.int8(), pa.int32()]), st.sampled_from([pa.string(), pa.int64()])),
    st.builds(pa.run_end_encoded, st.just(pa.int32()), st.sampled_from([pa.string(), pa.int64(), pa.float32()])),
    st.sampled_from([pa.uuid(), pa.bool8(), pa.json_()]),
)


def nested(inner):
    return st.one_of(
        st.builds(pa.list_, inner),
        st.builds(pa.large_list, inner),
        st.builds(pa.list_view, inner),
        st.builds(pa.list_, inner, st.just(2)),
        st.builds(lambda one, two: pa.struct([("x", one), ("y", two)]), inner, inner),
        st.builds(pa.map_, KEYS, inner),
    )


TYPES = ENCODED | st.recursive(LEAVES | st.just(pa.dictionary(pa.int8(), pa.string())), nested, max_leaves=3)


def values_of(kind):
    """What ``array_of`` takes for a type: Python's values, and whole numbers for times."""
    is_a = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        if isinstance(kind, pa.UuidType):
            return st.binary(min_size=16, max_size=16)
        return st.sampled_from(['{"a": 1}', "[]"]) if isinstance(kind, pa.JsonType) else st.sampled_from([0, 1])
    if is_a.is_dictionary(kind) or is_a.is_run_end_encoded(kind):
        return values_of(kind.value_type)
    if is_a.is_null(kind):
        return st.none()
    if is_a.is_boolean(kind):
        return st.booleans()
    if is_a.is_integer(kind):
        bits, signed = kind.bit_width, is_a.is_signed_integer(kind)
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        near = [n for n in (0, 1, low, high, 2**53, 2**53 + 1, -(2**53) - 1, 10**15) if low <= n <= high]
        return st.integers(low, high) | st.sampled_from(near)
    if is_a.is_floating(kind):
        return st.floats(width=kind.bit_width) | st.sampled_from([0.0, -0.0, 1.0, 2.0**11])
    if is_a.is_decimal(kind):
        most = 10**kind.precision - 1
        return st.integers(-most, most).map(lambda n: Decimal(n).scaleb(-kind.scale, CONTEXT))
    if is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind):
        return TEXTS
    if is_a.is_fixed_size_binary(kind):
        return st.binary(min_size=kind.byte_width, max_size=kind.byte_width)
    if is_a.is_binary(kind) or is_a.is_large_binary(kind) or is_a.is_binary_view(kind):
        return st.binary(max_size=4)
    if is_a.is_date32(kind):
        return st.integers(-700_000, 2_900_000)
    if is_a.is_date64(kind):
        return st.integers(-700_000, 2_900_000).map(lambda day: day * 86_400_000)
    if is_a.is_time(kind):
        return st.integers(0, 86_400 * 10**9 // NANOSECONDS[kind.unit] - 1)
    if is_a.is_timestamp(kind) or is_a.is_duration(kind):
        most = _YEARS * 10**9 // NANOSECONDS[kind.unit]
        return st.integers(-most, most) | st.integers(-9, 9)
    if is_a.is_interval(kind):
        return st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9)).map(pa.MonthDayNano)
    if is_a.is_struct(kind):
        return st.fixed_dictionaries({field.name: some(values_of(field.type)) for field in kind})
    if is_a.is_map(kind):
        pairs = st.tuples(values_of(kind.key_type), some(values_of(kind.item_type)))
        return st.lists(pairs, max_size=2, unique_by=lambda pair: pair[0])
    size = {"min_size": 2, "max_size": 2} if is_a.is_fixed_size_list(kind) else {"max_size": 3}
    return st.lists(some(values_of(kind.value_type)), **size)


def some(values):
    return st.none() | values | values


def array_of(kind, values):
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    if pa.types.is_run_end_encoded(kind):
        ends = pa.array(range(1, len(values) + 1), kind.run_end_type)
        return pa.RunEndEncodedArray.from_arrays(ends, pa.array(values, kind.value_type), kind)
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


def values(array):
    """What an array holds, the same for each type of its kind: times as nanoseconds, NaN as ``NAN``."""
    kind, is_a = array.type, pa.types
    if isinstance(array, pa.ChunkedArray):
        return [value for chunk in array.chunks for value in values(chunk)]
    if isinstance(kind, pa.BaseExtensionType):
        return values(array.storage)
    if is_a.is_dictionary(kind):
        return values(array.dictionary_decode())
    if is_a.is_run_end_encoded(kind):
        return values(pa.compute.run_end_decode(array))
    if is_a.is_date32(kind):
        return values(array.cast(pa.date64()))
    if is_a.is_date64(kind) or is_a.is_timestamp(kind) or is_a.is_time(kind) or is_a.is_duration(kind):
        factor = NANOSECONDS["ms" if is_a.is_date64(kind) else kind.unit]
        numbers = array.cast(pa.int32() if is_a.is_time32(kind) else pa.int64()).to_pylist()
        return [None if number is None else number * factor for number in numbers]
    if is_a.is_map(kind):
        return [list(zip(*map(values, one.values.flatten()), strict=True)) if one.is_valid else None for one in array]
    if is_a.is_struct(kind):
        columns = [values(column) for column in array.flatten()]
        rows = zip(*columns, strict=True) if columns else [()] * len(array)
        names = [field.name for field in kind]
        return [
            dict(zip(names, row, strict=True)) if there else None
            for there, row in zip(array.is_valid().to_pylist(), rows, strict=True)
        ]
    if is_a.is_nested(kind):
        return [values(one.values) if one.is_valid else None for one in array]
    if is_a.is_floating(kind):
        return [NAN if value is not None and math.isnan(value) else value for value in array.to_pylist()]
    return array.to_pylist()


def parsed(value, kind):
    """What a text, or a value of JSON, says by a type, as ``values`` has it."""
    is_a = pa.types
    if value is None:
        return None
    if isinstance(kind, pa.UuidType):
        return UUID(value).bytes
    if isinstance(kind, pa.Bool8Type):
        return int(value in (True, "true", "True"))
    if isinstance(kind, pa.BaseExtensionType):
        return parsed(value, kind.storage_type)
    if is_a.is_dictionary(kind) or is_a.is_run_end_encoded(kind):
        return parsed(value, kind.value_type)
    if is_a.is_boolean(kind):
        return {"true": True, "false": False}[value] if isinstance(value, str) else value
    if is_a.is_integer(kind):
        return int(value)
    if is_a.is_floating(kind):
        number = float({16: np.float16, 32: np.float32, 64: np.float64}[kind.bit_width](value))
        return NAN if math.isnan(number) else number
    if is_a.is_decimal(kind):
        return Decimal(value)
    if is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind):
        return value
    if is_a.is_duration(kind):
        return int(str(value).removesuffix(f" {kind.unit}")) * NANOSECONDS[kind.unit]
    if is_a.is_date(kind) or is_a.is_timestamp(kind):
        return instant(value)
    if is_a.is_time(kind):
        return instant(f"1970-01-01 {value}")
    if not is_a.is_nested(kind) and not is_a.is_interval(kind):
        return bytes.fromhex(value)
    value = json.loads(value) if isinstance(value, str) else value
    if is_a.is_interval(kind):
        return pa.MonthDayNano(value)
    if is_a.is_map(kind):
        return [(parsed(key, kind.key_type), parsed(item, kind.item_type)) for key, item in value]
    if is_a.is_struct(kind):
        return {field.name: parsed(value[field.name], field.type) for field in kind}
    return [parsed(one, kind.value_type) for one in value]


def instant(text):
    """Nanoseconds from the epoch to what a text of ISO 8601 names."""
    found = re.fullmatch(
        r"(-?\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d+))?)?(Z|[+-]\d\d:?\d\d(?::?\d\d)?)?", text
    )
    assert found, text
    day, clock, fraction, offset = found.groups()
    whole = datetime.fromisoformat(f"{day}T{clock or '00:00'}") - EPOCH
    if offset and offset != "Z":
        hours, minutes, *seconds = re.findall(r"\d\d", offset)
        ahead = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds[0]) if seconds else 0)
        whole -= ahead if offset[0] == "+" else -ahead
    return (whole // timedelta(seconds=1)) * 10**9 + int((fraction or "0").ljust(9, "0"))
