"""Columnar files over HTTP are read by ranges where their server gives them, and copied whole where it does not."""

import io
import random
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet
import pytest
from faulty_proxy import FaultyProxy

from batch_endpoints.errors import InputError, StoreUnavailable
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.partitions import partition_size
from batch_endpoints.storage.files.patience import patience
from batch_endpoints.storage.tables.column_types import ColumnTypes
from batch_endpoints.storage.tables.parts import PartReader, cut_tables

ROWS = 200_000
TABLE = pa.table({"n": range(ROWS), "x": [random.Random(0).random() for _ in range(ROWS)]})


def content(name):
    sink = io.BytesIO()
    if name.endswith(".parquet"):
        pyarrow.parquet.write_table(TABLE, sink, row_group_size=ROWS // 20)
    else:
        with (pa.ipc.new_stream if "stream" in name else pa.ipc.new_file)(sink, TABLE.schema) as writer:
            writer.write_table(TABLE, max_chunksize=ROWS // 20)
    return sink.getvalue()


@pytest.fixture
def web(monkeypatch):
    """A server with files of all formats; what it does is changed by its attributes."""
    monkeypatch.setattr("batch_endpoints.storage.files.patience.pause_seconds", lambda attempt, jitter: 0.001)
    monkeypatch.setenv("BATCH_ENDPOINTS_STORE_TIMEOUT", "1")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            data = self.server.files.get(self.path.partition("?")[0])
            if self.server.status or data is None:
                self.send_response(self.server.status or 404)
                self.send_header("content-length", "0")
                return self.end_headers()
            asked = self.headers.get("range") if self.server.ranges else None
            self.send_response(206 if asked else 200)
            if asked:
                begin, end = (int(number) for number in asked.removeprefix("bytes=").split("-"))
                size, data = len(data), data[begin : end + 1]
                told = size if self.server.tells_size else "*"
                self.send_header("content-range", f"bytes {begin}-{begin + len(data) - 1}/{told}")
            for name, value in self.server.headers:
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            return self.wfile.write(data)

        def log_message(self, *args):
            pass

    with ExitStack() as stack, ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.files, server.status, server.headers = {}, 0, [("ETag", '"1"')]
        server.ranges = server.tells_size = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        server.behind = lambda choose: stack.enter_context(
            FaultyProxy(f"http://127.0.0.1:{server.server_port}", choose, stall_seconds=30)
        )
        yield server
        server.shutdown()
        thread.join()


def in_parts(url, scratch):
    """The parts of a file that is cut where it is, and a reader."""
    types, files = ColumnTypes(), [InputFile(url.partition("?")[0].rpartition("/")[2])]
    batches = list(cut_tables(url, files, partition_size(f"{ROWS // 40} rows"), types, scratch))
    return [part for batch in batches for part in batch], PartReader(url, types.schema(), scratch)


@pytest.mark.parametrize("name", ["a.arrow", "stream.arrow", "a.parquet"])
def test_a_part_fetches_its_own_bytes(web, tmp_path, name):
    web.files[f"/in/{name}"] = data = content(name)
    proxy = web.behind(lambda method, path: "")

    parts, reader = in_parts(f"{proxy.url}/in/{name}?sig=x", tmp_path)
    assert sum(proxy.sent.values()) < len(data) / 2
    proxy.sent.clear()
    found = reader.read(*parts[21])

    assert found["n"].to_pylist() == list(range(21 * ROWS // 40, 22 * ROWS // 40))
    assert 0 < sum(proxy.sent.values()) < len(data) / 5
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.arrow", "stream.arrow", "a.parquet"])
@pytest.mark.parametrize("without", ["ranges", "tells_size", "plain bytes"])
def test_a_file_is_copied_whose_server_gives_no_ranges_of_it(web, tmp_path, name, without):
    web.files[f"/in/{name}"] = content(name)
    if without == "plain bytes":
        web.headers.append(("Content-Encoding", "x-own"))
    else:
        setattr(web, without, False)
    parts, reader = in_parts(f"http://127.0.0.1:{web.server_port}/in/{name}", tmp_path)
    assert pa.concat_tables([reader.read(*part) for part in parts]).equals(TABLE)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("fault", ["503", "reset", "half", "stall"])
def test_a_range_that_is_not_given_is_asked_for_again(web, tmp_path, fault):
    web.files["/in/a.arrow"] = content("a.arrow")
    number = iter(range(1 << 30))
    proxy = web.behind(lambda method, path: fault if next(number) % (50 if fault == "stall" else 3) == 2 else "")
    parts, reader = in_parts(f"{proxy.url}/in/a.arrow", tmp_path)
    assert pa.concat_tables([reader.read(*part) for part in parts]).equals(TABLE)
    assert proxy.seen[fault]
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_replaced_while_it_is_read_is_told(web, tmp_path):
    web.files["/in/a.arrow"] = content("a.arrow")
    parts, reader = in_parts(f"http://127.0.0.1:{web.server_port}/in/a.arrow", tmp_path)
    assert reader.read(*parts[0]).num_rows == ROWS // 40
    web.headers[:] = [("ETag", '"2"')]
    with pytest.raises(InputError, match=r"'a\.arrow' cannot be read: .*it was replaced while it was read"):
        reader.read(*parts[9])


@pytest.mark.parametrize(("status", "error"), [(404, InputError), (401, StoreUnavailable), (503, StoreUnavailable)])
def test_what_the_server_says_instead_of_the_file_is_told(web, tmp_path, status, error):
    web.files["/in/a.arrow"] = content("a.arrow")
    url = f"http://127.0.0.1:{web.server_port}/in/a.arrow"
    parts, _ = in_parts(url, tmp_path)
    web.status = status
    with patience(0.2), pytest.raises(error, match=str(status)):
        PartReader(url, ColumnTypes().schema(), tmp_path).read(*parts[3])


def test_an_empty_file_is_one_item_that_fails(web, tmp_path):
    web.files["/in/a.arrow"] = b""
    (part,), reader = in_parts(f"http://127.0.0.1:{web.server_port}/in/a.arrow", tmp_path)
    with pytest.raises(InputError, match=r"a\.arrow' cannot be read"):
        reader.read(*part)
