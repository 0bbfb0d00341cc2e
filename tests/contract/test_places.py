"""What every place promises to those who read, whether it is a disk, an object store or the web."""

import http.server
import threading

import pytest
from object_stores import STORES

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.storage.files.place import open_place, writable_place

CONTENT = bytes(range(256)) * 40_000  # 10 MB: more than one request brings


@pytest.fixture(params=["disk", "web", *STORES])
def kind(request):
    return request.param


@pytest.fixture
def top(request, kind, tmp_path):
    """URI of a folder with ``in/a b.bin``, ``in/deep/c.txt`` and an empty file."""
    if kind in STORES:
        request.getfixturevalue(kind)
    written = writable_place(STORES[kind].PLACE if kind in STORES else str(tmp_path / "lake"))
    for path, content in {"in/a b.bin": CONTENT, "in/deep/c.txt": b"c", "in/empty": b""}.items():
        written.replace(path, content)
    if kind == "web":
        return request.getfixturevalue("web")
    return STORES[kind].PLACE if kind in STORES else (tmp_path / "lake").as_uri()


@pytest.fixture
def web(tmp_path):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "lake"))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def uri(top, path):
    """Only the path of a URL or of a file's URI is encoded; keys of a store are what they are."""
    return f"{top}/{path.replace(' ', '%20') if top.startswith(('http', 'file')) else path}"


@pytest.fixture
def file(top):
    return open_place(uri(top, "in/a b.bin"))


def test_a_place_that_is_one_file_is_walked_measured_and_read(file, tmp_path):
    root, found = file.walk()
    assert list(found) == [InputFile("a b.bin", len(CONTENT))]
    assert (file.name, file.size(), file.exists()) == ("a b.bin", len(CONTENT), True)
    assert open_place(root).fetch("a b.bin", tmp_path / "scratch").read_bytes() == CONTENT
    assert open_place(root).read("a b.bin") == CONTENT
    with open_place(root).open_input("a b.bin") as opened:
        assert opened.read(5) == CONTENT[:5]
        assert opened.read() == CONTENT[5:]


def test_the_file_of_a_place_is_fetched_without_naming_it_again(file, tmp_path):
    fetched = file.fetch("", tmp_path / "scratch")
    assert (fetched.name, fetched.read_bytes()) == ("a b.bin", CONTENT)


def test_what_is_on_this_disk_stays_where_it_is_and_all_else_comes_to_scratch(file, kind, tmp_path):
    fetched = file.fetch("", tmp_path / "scratch")
    assert (file.disk == fetched) == (kind == "disk")
    assert (tmp_path / "scratch").exists() == (kind != "disk")


def test_a_range_is_read_where_there_is_something_to_gain(file, kind):
    reader = file.open_ranges("" if kind != "web" else file.name)
    if reader is None:
        assert kind in ("disk", "web"), "this server of the web gives no ranges"
        return
    reader.seek(5_000_000)
    assert reader.read(1000) == CONTENT[5_000_000:5_001_000]
    reader.seek(-3, 2)
    assert (reader.read(10), reader.read(10)) == (CONTENT[-3:], b"")
    reader.seek(100)
    assert b"".join(reader.ahead()) == CONTENT[100:]


def test_an_empty_file_is_a_file(top, tmp_path):
    place = open_place(uri(top, "in/empty"))
    assert list(place.walk().found) == [InputFile("empty", 0)]
    assert place.fetch("", tmp_path / "scratch").read_bytes() == b""


def test_a_folder_is_walked_to_the_bottom(top, kind, tmp_path):
    if kind == "web":
        pytest.skip("the web has no folders")
    root, found = open_place(uri(top, "in")).walk()
    files = sorted(found, key=lambda file: file.path)
    assert files == [InputFile("a b.bin", len(CONTENT)), InputFile("deep/c.txt", 1), InputFile("empty", 0)]
    for one in files:
        assert open_place(root).fetch(one.path, tmp_path / "scratch").stat().st_size == one.size


def test_what_is_not_there_is_not_found(top, kind, tmp_path):
    place = open_place(uri(top, "in/no"))
    if kind == "web":  # whether it is there is for the server to say; it may say so of a moment
        with pytest.raises(OSError, match="404"):
            place.walk()
        return
    assert not place.exists()
    for look in (place.walk, place.size, lambda: place.read("x"), lambda: place.open_input("x")):
        with pytest.raises(FileNotFoundError):
            look()
    with pytest.raises((FileNotFoundError, InputError)):
        open_place(uri(top, "in")).fetch("no", tmp_path / "scratch")


def test_a_file_has_no_files_below_it(file):
    assert not file.exists("other.txt")
    with pytest.raises(OSError, match=r"."):
        file.read("other.txt")
