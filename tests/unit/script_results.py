"""Results of ``run()`` for tests: columns of every type that pandas and numpy have, and what their values are."""

import datetime as dt
import math
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
from arrow_values import INTEGERS, NAN, TYPES, array_of, some, values, values_of
from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=6) | st.sampled_from(["", "NA", "nan", "007", "1e5"])
_EPOCH = dt.datetime(1970, 1, 1)
_ZONES = [dt.timezone.utc, dt.timezone(dt.timedelta(hours=2)), dt.timezone(-dt.timedelta(hours=9, minutes=30))]
_NANOSECONDS = st.integers(-(10**18), 4 * 10**18) | st.integers(0, 10**9)
_TIMESTAMPS = _NANOSECONDS.map(pd.Timestamp)
_WHOLE = st.integers(-(2**63), 2**64 - 1) | st.sampled_from([0, 1, 2**53 + 1, 2**63 - 1, 2**64 - 1])
_DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**12), max_value=10**12)
_SECONDS = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))
_SCALARS = [
    st.booleans(), _WHOLE, st.floats(), TEXTS, st.binary(max_size=3), _DECIMALS, _SECONDS, st.dates(), st.times(),
    st.timedeltas(dt.timedelta(-9999), dt.timedelta(9999)), st.uuids(), _TIMESTAMPS, _NANOSECONDS.map(pd.Timedelta),
    st.builds(lambda time, zone: time.replace(tzinfo=zone), _SECONDS, st.sampled_from(_ZONES)),
    _TIMESTAMPS.map(lambda one: one.tz_localize("UTC")),
    st.floats(width=32).map(np.float32), st.integers(0, 255).map(np.uint8), st.booleans().map(np.bool_),
    _NANOSECONDS.map(lambda n: np.datetime64(n, "ns")), st.integers(-9999, 9999).map(lambda n: np.datetime64(n, "D")),
]  # fmt: skip
SCALARS = st.one_of(_SCALARS)
MISSING = st.sampled_from([None, None, pd.NA, pd.NaT, math.nan])


def _nested(inner):
    return (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2)
        | st.lists(st.integers(-9, 9) | st.floats(), max_size=2).map(np.array)
    )


# values of one kind, and of any: what a script may put in a list, or pandas in a column of objects
ALIKE = st.sampled_from([*_SCALARS, *map(_nested, _SCALARS)])
ANY = SCALARS | _nested(SCALARS | MISSING)


@st.composite
def objects(draw, rows):
    kind = draw(ALIKE) if draw(st.booleans()) else ANY
    return draw(st.lists(MISSING | kind | kind, min_size=rows, max_size=rows))


def _as_series(found, dtype):
    return pd.Series(found, dtype=dtype), found


@st.composite
def columns(draw, rows):
    """A Series, and the values that it was made of."""

    def cells(one, missing=True):
        return draw(st.lists(some(one) if missing else one, min_size=rows, max_size=rows))

    kind = draw(st.sampled_from(["numpy", "nullable", "text", "times", "categories", "arrow", "objects", "others"]))
    if kind == "numpy":
        of = draw(st.sampled_from([*INTEGERS, pa.float16(), pa.float32(), pa.float64(), pa.bool_()]))
        return _as_series(cells(values_of(of), missing=False), of.to_pandas_dtype())
    if kind == "nullable":
        of = draw(st.sampled_from([*INTEGERS, pa.float32(), pa.float64(), pa.bool_()]))
        names = {"double": "Float64", "float": "Float32", "bool": "boolean"}
        name = names.get(str(of), str(of).capitalize().replace("Uint", "UInt"))
        return _as_series(cells(values_of(of).filter(lambda one: one == one)), name)
    if kind == "text":
        dtype = draw(st.sampled_from(["string[python]", "string[pyarrow]", "object", "str"]))
        texts = TEXTS.filter(_is_text) if dtype != "object" else TEXTS
        return _as_series(cells(texts), None if dtype == "str" else dtype)
    if kind == "times":
        unit = draw(st.sampled_from(["s", "ms", "us", "ns"]))
        zone = draw(st.sampled_from([None, "UTC", "Europe/Berlin", "+02:00"]))
        numbers = cells(st.integers(-(10**9), 4 * 10**9))
        found = pd.Series(pd.to_datetime(numbers, unit="s")).astype(f"datetime64[{unit}]")
        if draw(st.booleans()):
            return pd.Series(pd.to_timedelta(numbers, unit="s")).astype(f"timedelta64[{unit}]"), [
                None if n is None else pd.Timedelta(n, "s") for n in numbers
            ]
        found = found if zone is None else found.dt.tz_localize("UTC").dt.tz_convert(zone)
        return found, [None if n is None else pd.Timestamp(n, unit="s") for n in numbers]
    if kind == "categories":
        of = draw(st.sampled_from([TEXTS.filter(_is_text), st.integers(-9, 9), st.floats(-9, 9), _TIMESTAMPS]))
        return _as_series(cells(of), "category")
    if kind == "arrow":
        of = draw(TYPES)
        array = array_of(of, cells(values_of(of)))
        return pd.Series(pd.array(array, dtype=pd.ArrowDtype(array.type))), array
    if kind == "objects":
        return _as_series(draw(objects(rows)), object)
    numbers = cells(st.integers(-9, 9), missing=False)
    dtype = draw(st.sampled_from(["Sparse[int]", "Sparse[float]", "complex", "period", "interval", "longdouble"]))
    if dtype == "period":
        found = pd.Series(pd.PeriodIndex.from_ordinals(numbers, freq="M"))
        return found, list(map(str, found))
    if dtype == "interval":
        found = pd.Series(pd.IntervalIndex.from_tuples([(n, n + 1) for n in numbers]))
        return found, list(map(str, found))
    made = {"complex": complex, "longdouble": np.longdouble}.get(dtype, int)
    return _as_series([made(n) for n in numbers], dtype)


def _is_text(text):
    return text == text.encode("utf-8", "ignore").decode()


def given_values(found):
    """Values of Python as ``arrow_values.values`` has them."""
    return values(found) if isinstance(found, pa.Array) else [plain(one) for one in found]


def plain(value):
    """One of them."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.ndarray):
        return [plain(one) for one in value]
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[ns]").astype("int64"))
    if isinstance(value, np.generic):
        value = float(value) if isinstance(value, np.longdouble) else value.item()
    if isinstance(value, float) and math.isnan(value):
        return NAN
    if isinstance(value, pd.Timestamp | pd.Timedelta):
        return value.as_unit("ns").value
    if isinstance(value, dt.datetime):
        naive = value if value.tzinfo is None else value.astimezone(dt.timezone.utc).replace(tzinfo=None)
        return (naive - _EPOCH) // dt.timedelta(microseconds=1) * 1000
    if isinstance(value, dt.date):
        return (value - _EPOCH.date()).days * 86_400 * 10**9
    if isinstance(value, dt.time):
        return (dt.datetime.combine(_EPOCH, value) - _EPOCH) // dt.timedelta(microseconds=1) * 1000
    if isinstance(value, dt.timedelta):
        return value // dt.timedelta(microseconds=1) * 1000
    if isinstance(value, UUID):
        return value.bytes
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return value


def read_as(cell, value):
    """What a text says, where a value of a column of several types became one, as ``plain`` has it."""
    if cell is None or not isinstance(cell, str) or isinstance(value, str):
        return plain(cell)
    if value is None or value is pd.NA or value is pd.NaT:
        return cell
    if isinstance(value, np.datetime64):
        return plain(np.datetime64(cell, "ns"))
    if isinstance(value, np.floating) and not isinstance(value, np.longdouble):
        return plain(type(value)(cell))  # the shortest text of a float32 is that of another double
    if isinstance(value, np.generic) and not isinstance(value, np.longdouble):
        value = value.item()
    if isinstance(value, list | dict):
        return cell
    if isinstance(value, bool):
        return {"true": True, "false": False}[cell.lower()]
    if isinstance(value, bytes):
        return eval(cell)
    if isinstance(value, dt.time):
        return plain(dt.time.fromisoformat(cell))
    if isinstance(value, dt.datetime):
        return plain(pd.Timestamp(cell))
    if isinstance(value, dt.date):
        return plain(dt.date.fromisoformat(cell))
    if isinstance(value, dt.timedelta):
        return plain(pd.Timedelta(cell))
    if isinstance(value, float) and cell == NAN:
        return NAN
    if isinstance(value, int | float | complex | Decimal | UUID | np.longdouble):
        return plain(type(value)(cell))
    return cell
