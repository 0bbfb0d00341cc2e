"""Replies of a host process, read as what a stranger sent: the user's code shares the process and its pipe.

Sizes are checked before anything is allocated, the header against strict models, Arrow data down to each value, and
what they state against each other. Whatever does not fit raises BadReply, never another exception.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import from_json

from batch_endpoints.errors import BadReply
from batch_endpoints.scoring.host import HEADER, MOST_HEADER_BYTES, MOST_PAYLOAD_BYTES

_MOST_ROWS_WITHOUT_BYTES = 1 << 20  # columns of nothing but nulls take no bytes at all
_DICTIONARY, _ROWS = 2, 3  # kinds of messages in an Arrow stream
_LONGEST_REASON = 300


class _Strict(BaseModel):
    """Nothing is converted, nothing is left over."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Raised(_Strict):
    """An exception in the user's code; ``again``: another try may succeed."""

    kind: str = Field(alias="class")
    message: str
    file: str
    line: int = Field(ge=0, lt=1 << 31)
    stack: str
    again: bool = True


class _Reply(_Strict):
    number: int = Field(description="of the request that it answers")


class ErrorReply(_Reply):
    """The script could not be loaded, or ``run()`` raised."""

    kind: Literal["error"]
    error: Raised


class LoadedReply(_Reply):
    """The script is loaded, or has shut down; ``format`` is what its ``run()`` gets."""

    kind: Literal["loaded"]
    format: Literal["files", "pandas", "pyarrow", "numpy"]


class _Rows(_Reply):
    """Rows that ``run()`` returned.

    Args:
        text: the same in Azure ML's layout, where that was asked for.
        positions: of each row the number of the file or row given that it is of; None where nothing says so.
    """

    text: str | None = None
    positions: list[int] | None = None


class ValuesReply(_Rows):
    """A list of whatever JSON holds."""

    kind: Literal["values"]
    values: list[Any]


class TableReply(_Rows):
    """Rows, which came as an Arrow stream; ``single``: they are a list of values of one type, as its only column."""

    kind: Literal["table"]
    rows: int
    single: bool = False
    table: pa.Table

    @model_validator(mode="after")
    def _as_many_rows(self) -> TableReply:
        if self.table.num_rows != self.rows:
            raise ValueError(f"the header states {self.rows} rows, and there are {self.table.num_rows}")
        return self


class ColumnsReply(_Rows):
    """Rows by columns of whatever JSON holds, from an interpreter without pyarrow."""

    kind: Literal["columns"]
    names: list[str]
    data: list[list[Any]]
    rows: int

    @model_validator(mode="after")
    def _is_a_table(self) -> ColumnsReply:
        if len(self.names) != len(self.data) or any(len(column) != self.rows for column in self.data):
            raise ValueError("the columns do not have the names and rows that the header states")
        if len(set(self.names)) < len(self.names):
            raise ValueError("two columns have one name")
        return self


class ItemResult(_Strict):
    """What came of one item: some of the rows, or an exception.

    Args:
        read: rows of its file, where that is known.
        positions: of each row the number of the row given that it is of; None where nothing says so.
    """

    rows: int = Field(0, ge=0)
    error: Raised | None = None
    read: int | None = Field(None, ge=0, lt=1 << 63)
    positions: list[int] | None = None


class ItemsReply(_Reply):
    """Results by item, in order; ``table`` has the rows of all of them, None where no item has a result."""

    kind: Literal["items"]
    items: list[ItemResult]
    table: TableReply | ColumnsReply | None

    @model_validator(mode="after")
    def _has_all_rows(self) -> ItemsReply:
        rows = sum(item.rows for item in self.items)
        if rows != (self.table.rows if self.table else 0):
            raise ValueError(f"the items have {rows} rows, and their table others")
        if any(item.rows for item in self.items if item.error):
            raise ValueError("an item has rows and an error")
        return self


RowsReply = ValuesReply | TableReply | ColumnsReply
Reply = ErrorReply | LoadedReply | RowsReply | ItemsReply
_REPLY: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="kind")])


def read_sizes(head: bytes | bytearray) -> tuple[int, int]:
    """The sizes of header and payload that a reply begins with.

    Raises:
        BadReply: one of them is above its limit.
    """
    header_size, payload_size = HEADER.unpack(head)
    if header_size > MOST_HEADER_BYTES or payload_size > MOST_PAYLOAD_BYTES:
        raise _bad(f"it claims to have {header_size} and {payload_size} bytes")
    return header_size, payload_size


def read_reply(header: bytes | bytearray, payload: bytes | bytearray, request: Mapping[str, Any]) -> Reply:
    """Read the reply to a request.

    Args:
        header: JSON.
        payload: Arrow stream of the reply's rows; empty where they are in the header, or there are none.
        request: with its ``op`` and ``number``; ``paths`` where it is about files.

    Raises:
        BadReply: it is not one.
    """
    try:
        document = from_json(header)
        if not isinstance(document, dict):
            raise _bad("its header is no JSON object")
        if document.get("number") != request["number"]:
            raise _bad("it is not the one to this request")
        if of_table := _place_of_table(document):
            of_table["table"] = _read_table(payload)
        elif payload:
            raise _bad("it has a payload that its header does not announce")
        reply = _REPLY.validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise _bad(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise _bad(str(error)) from None
    _check_fits(reply, request)
    return reply


def _place_of_table(document: dict[str, Any]) -> dict[str, Any] | None:
    """The part of a header that announces an Arrow stream; None where there is none.

    The rows of items are described in a header of their own, which lacks what it has in common with the whole.
    """
    if document.get("kind") == "items" and isinstance(inner := document.get("table"), dict):
        inner["number"] = document["number"]
        document = inner
    return document if document.get("kind") == "table" else None


def _read_table(payload: bytes | bytearray) -> pa.Table:
    """Arrow's reader may be given anything, and what it returns may be used once all of it is validated
    (https://arrow.apache.org/docs/format/Security.html).

    Raises:
        BadReply: it is no Arrow stream, or not a whole one.
    """
    try:
        schema, *batches = (one.metadata.to_pybytes() for one in pa.ipc.MessageReader.open_stream(payload))
        if b"ARROW:extension:name" in schema and b"ray.data." in schema:  # read by unpickling
            raise _bad("it has a column of a type of Ray's")
        if any(map(_is_compressed, batches)):  # a few bytes could become any number
            raise _bad("its rows are compressed, which those of a host never are")
        table: pa.Table = pa.ipc.open_stream(payload).read_all()
        table.validate(full=True)
    except (pa.ArrowException, ValueError, LookupError, TypeError, OSError, struct.error, MemoryError) as error:
        raise _bad(f"its rows are damaged: {error}") from None
    if len(set(table.column_names)) < table.num_columns:
        raise _bad("two columns have one name")
    if table.num_rows > 8 * len(payload) + _MOST_ROWS_WITHOUT_BYTES:
        raise _bad(f"it claims to have {table.num_rows} rows in {len(payload)} bytes")
    return table


def _is_compressed(message: bytes) -> bool:
    """Does the header of a batch of rows, or of a dictionary, name a compression? See Arrow's ``Message.fbs``.

    Raises:
        struct.error: an offset leads out of it.
    """

    def field(table: int, slot: int) -> int:
        """Where a field of a table is; 0 where it has none."""
        names = table - int(struct.unpack_from("<i", message, table)[0])
        size, at = struct.unpack_from("<H", message, names)[0], 4 + 2 * slot
        found: int = struct.unpack_from("<H", message, names + at)[0] if at < size else 0
        return table + found if found else 0

    def follow(at: int) -> int:
        return at + int(struct.unpack_from("<I", message, at)[0])

    root = follow(0)
    kind, batch = field(root, 1), field(root, 2)
    if not kind or not batch or message[kind] not in (_DICTIONARY, _ROWS):
        return False
    at = follow(batch)
    if message[kind] == _DICTIONARY:
        at = follow(field(at, 1))
    return bool(field(at, 3))


def _check_fits(reply: Reply, request: Mapping[str, Any]) -> None:
    """Raises BadReply where it is none to such a request."""
    if not isinstance(reply, ErrorReply) and (request["op"] != "run") != isinstance(reply, LoadedReply):
        raise _bad(f"'{reply.kind}' is none to {request['op']}()")
    asked = len(request.get("paths", ("",)))
    if isinstance(reply, ItemsReply) and len(reply.items) != asked:
        raise _bad(f"it is about {len(reply.items)} items, and {asked} were asked for")
    given = request.get("rows", asked)
    if isinstance(reply, ItemsReply):
        for item in reply.items:
            _check_positions(item.positions, item.rows, given if item.read is None else item.read)
    elif isinstance(reply, RowsReply):
        rows = len(reply.values) if isinstance(reply, ValuesReply) else reply.rows
        _check_positions(reply.positions, rows, given)


def _check_positions(positions: Sequence[int] | None, rows: int, given: int) -> None:
    if positions is not None and not (
        len(positions) == rows and min(positions, default=0) >= 0 and max(positions, default=0) < max(given, 1)
    ):
        raise _bad(f"its positions are not those of {rows} rows among {given}")


def _bad(why: str) -> BadReply:
    text = " ".join(why.split()).encode("utf-8", "backslashreplace").decode()
    return BadReply(
        f"the scoring process sent a reply that cannot be used, so it was killed: {text[:_LONGEST_REASON]}",
        mend="Nothing but the scoring host may write to the descriptors that it has open.",
    )
