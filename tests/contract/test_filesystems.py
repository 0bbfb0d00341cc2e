"""What every file system promises; those for outputs only promise a part of it."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from object_stores import STORES

from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.files.place import writable_place


@pytest.fixture(params=["local", *STORES])
def place(request, tmp_path):
    """URI of an empty job folder, of each kind."""
    if request.param == "local":
        return (tmp_path / "job").as_uri()
    request.getfixturevalue(request.param)
    return f"{STORES[request.param].PLACE}/jobs/job"


@pytest.fixture
def files(place):
    return writable_place(place)


@pytest.fixture(params=["local", *STORES])
def outputs(request, tmp_path):
    if request.param in STORES:
        request.getfixturevalue(request.param)
        return writable_place(f"{STORES[request.param].PLACE}/out")
    return writable_place(str(tmp_path / "out"))


def test_a_file_that_is_put_can_be_read(files):
    assert files.put_if_absent("commits/a/1.json", b"one")
    assert files.read("commits/a/1.json") == b"one"
    assert files.exists("commits/a/1.json")
    with files.open_input("commits/a/1.json") as file:
        assert file.read() == b"one"


def test_the_first_content_stays(files):
    assert files.put_if_absent("x", b"one")
    assert not files.put_if_absent("x", b"two")
    assert files.read("x") == b"one"


def test_replacing_changes_the_whole_file(files):
    files.replace("a/x", b"a long content")
    files.replace("a/x", b"short")
    assert files.read("a/x") == b"short"


def test_an_empty_file_is_a_file(files):
    files.replace("x", b"")
    with files.open_input("x") as file:
        assert file.read() == b""


@pytest.mark.parametrize("read", ["read", "open_input"])
def test_what_is_not_there_is_not_found(files, read):
    with pytest.raises(FileNotFoundError):
        getattr(files, read)("a/x")
    assert not files.exists("a/x")
    assert files.names("a") == []


def test_of_16_threads_that_put_one_file_one_wins(files):
    start = threading.Barrier(16)

    def put(number):
        start.wait()
        return files.put_if_absent("x", str(number).encode())

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(put, range(16)))
    assert sum(won) == 1
    assert files.read("x") == str(won.index(True)).encode()


def _put(place, start, number, won):
    start.wait()
    if writable_place(place).put_if_absent("x", str(number).encode()):
        won.put(number)


def test_of_processes_that_put_one_file_one_wins(place, files):
    # forked, so that none of them loads the libraries again
    context = multiprocessing.get_context("fork")
    start, won = context.Barrier(6), context.SimpleQueue()
    racers = [context.Process(target=_put, args=(place, start, number, won)) for number in range(6)]
    for racer in racers:
        racer.start()
    winner = won.get()
    for racer in racers:
        racer.join()
    assert won.empty()
    assert files.read("x") == str(winner).encode()


def test_readers_see_the_old_or_the_new_content_and_never_a_part(files):
    contents = {bytes([letter]) * 200_000 for letter in b"abcdef"}
    files.replace("x", b"a" * 200_000)
    done = threading.Event()

    def write():
        for content in sorted(contents) * 20:
            files.replace("x", content)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(files.read("x"))
    writer.join()
    assert seen <= contents


def test_names_are_those_of_whole_files_below_a_folder(files):
    files.replace("commits/b/2.json", b"")
    files.replace("commits/a.json", b"")
    files.replace("other/x", b"")
    with files.open_output("commits/b/3.json") as file:
        file.write(b"half")
        assert files.names("commits") == ["a.json", "b/2.json"]
    assert files.names("commits") == ["a.json", "b/2.json", "b/3.json"]


def test_the_files_of_an_output_are_named_and_deleted(outputs):
    assert outputs.names("none") == []
    for path in ("deep/b", "deep/a"):
        with outputs.open_output(path) as file:
            file.write(b"x")
    assert outputs.names("deep") == ["a", "b"]
    outputs.delete("deep/a")
    assert outputs.names("deep") == ["b"]


def test_a_writer_that_loses_leaves_nothing_behind(tmp_path):
    files = Disk(tmp_path / "job")
    files.put_if_absent("x", b"one")
    files.put_if_absent("x", b"two")
    assert [path.name for path in files.disk.iterdir()] == ["x"]


def test_a_large_file_is_written_and_read_in_pieces(files):
    data = bytes(range(256)) * (80_000)  # 20 MB: several requests, and a rest
    with files.open_output("large") as file:
        for start in range(0, len(data), 3_000_000):
            file.write(memoryview(data)[start : start + 3_000_000])
        assert not files.exists("large")
    with files.open_input("large") as file:
        assert file.read() == data
        file.seek(-1_000, 2)
        assert file.read(10) == data[-1_000:-990]
        file.seek(9_000_000)
        assert file.read(1_000) == data[9_000_000:9_001_000]


def test_of_two_who_write_one_file_in_parts_one_has_written_all_of_it(files):
    """As a driver that was taken for lost and its replacement do; Azure's store refuses the one that is later."""
    with suppress(OSError), files.open_output("large") as one:
        one.write(b"1" * (9 << 20))
        with files.open_output("large") as two:
            two.write(b"2" * (9 << 20))
            one.write(b"1" * (9 << 20))
            two.write(b"2" * (9 << 20))
        assert files.read("large") == b"2" * (18 << 20)
    assert files.read("large") in (b"1" * (18 << 20), b"2" * (18 << 20))


def test_more_names_than_a_store_gives_at_once(files, place, monkeypatch):
    if place.startswith("file:"):
        pytest.skip("a disk gives all of them")
    monkeypatch.setattr("batch_endpoints.storage.files.object_store.PAGE", 3)
    names = [f"{number:04}" for number in range(10)]
    for name in names:
        files.replace(f"commits/{name}", b"")
    assert files.names("commits") == names


def test_an_output_appears_when_it_is_whole(outputs):
    with outputs.open_output("deep/x") as file:
        file.write(b"abc")
    assert outputs.exists("deep/x")
    assert not outputs.exists("deep/y")


def test_an_output_that_broke_off_is_not_there(outputs):
    def break_off():
        with outputs.open_output("x") as file:
            file.write(b"abc")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert not outputs.exists("x")
