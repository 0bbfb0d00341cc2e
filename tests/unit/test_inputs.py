import http.server
import os
import re
import threading
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest
from faulty_proxy import FaultyProxy

from batch_endpoints.errors import InputError, Refused, StoreUnavailable
from batch_endpoints.planning.partitions import WHOLE
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.files.patience import patience
from batch_endpoints.storage.inputs.fetch import fetch, fetch_tree, read_texts
from batch_endpoints.storage.inputs.globs import split_pattern
from batch_endpoints.storage.inputs.listing import check_readable, list_files
from batch_endpoints.storage.tables.parts import PartReader
from batch_endpoints.storage.tables.table_files import open_table


def make(top, *names):
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return top


def paths(uri):
    return [file.path for file in list_files(str(uri))[1]]


def test_folders_are_walked_to_the_bottom_in_the_order_of_paths(tmp_path):
    make(tmp_path, "b.csv", "a/2.csv", "a/b/1.csv", ".hidden")
    root, files, _ = list_files(str(tmp_path))
    assert root == str(tmp_path)
    assert [(file.path, file.size) for file in files] == [
        (".hidden", 7),
        ("a/2.csv", 7),
        ("a/b/1.csv", 9),
        ("b.csv", 5),
    ]


@pytest.mark.parametrize("name", ["a b.csv", "ü€.csv", "a#b?c.csv", "100%.csv", "[x].csv", "a*.csv"])
def test_one_file_is_an_input_whatever_its_name(tmp_path, name):
    make(tmp_path, name, "other.csv")
    for uri in (str(tmp_path / name), (tmp_path / name).as_uri()):
        root, files, _ = list_files(uri)
        assert (root, [file.path for file in files]) == (str(tmp_path), [name])
        assert fetch(root, name, tmp_path / "scratch").read_text() == name


def test_linked_folders_are_followed_once_and_loops_end(tmp_path):
    make(tmp_path, "in/z/1.csv", "elsewhere/2.csv")
    (tmp_path / "in/a").symlink_to(tmp_path / "in/z")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/again").symlink_to(tmp_path / "elsewhere")
    _, files, skipped = list_files(str(tmp_path / "in"))
    assert [file.path for file in files] == ["again/2.csv", "z/1.csv"]
    assert [(one.file, one.reason) for one in skipped] == [
        ("a", "a link to a folder that is listed as 'z' already"),
        ("loop", "a link to a folder that is listed as '.' already"),
        ("out", "a link to a folder that is listed as 'again' already"),
    ]


@pytest.fixture
def linked(tmp_path):
    """A folder that is open to clients elsewhere, and another one; with links out of it, and what they lead to."""
    make(tmp_path, "open/a.csv", "open/deep/b.csv", "also/c.csv", "closed/secret.csv", "closed/deep/d.csv")
    top = tmp_path / "open"
    for name, place in {
        "file.csv": tmp_path / "closed/secret.csv",
        "folder": tmp_path / "closed",
        "deep/up": tmp_path,
        "deep/nowhere.csv": tmp_path / "closed/nothing",
        "deep/by-two.csv": top / "file.csv",
        "inside.csv": top / "a.csv",
        "inner": top / "deep",
        "other": tmp_path / "also",
    }.items():
        (top / name).symlink_to(place)
    (tmp_path / "named").symlink_to(top)
    return Access(folders=(str(tmp_path / "named"), str(tmp_path / "also")))


def test_links_out_of_what_is_open_are_left_out_with_their_reason(tmp_path, linked):
    for top in (tmp_path / "open", tmp_path / "named", tmp_path / "open/**"):
        _, files, skipped = list_files(str(top), linked)
        assert [file.path for file in files] == ["a.csv", "deep/b.csv", "inside.csv", "other/c.csv"]
        assert [one.file for one in skipped] == [
            *("deep/by-two.csv", "deep/nowhere.csv", "deep/up", "file.csv", "folder", "inner"),
        ]
        assert {one.reason for one in skipped if one.file != "inner"} == {
            "a link out of the folders that are open to clients who are not on the server's machine"
        }
    assert "file.csv" in paths(tmp_path / "open"), "those who are on the server's machine may have it"


@pytest.mark.parametrize(
    "path",
    ["closed", "open/folder", "open/folder/*.csv", "open/file.csv", "open/folder/secret.csv", "open/../closed"],
)
def test_an_input_that_is_not_open_itself_is_refused(tmp_path, linked, path):
    for look in (list_files, lambda uri, access: check_readable(uri, "uri_folder", access)):
        with pytest.raises(
            Refused, match=rf"the input '.*/{re.escape(path)}' leads out of the folders that are open"
        ):
            look(str(tmp_path / path), linked)


def test_a_folder_that_has_nothing_but_links_out_of_what_is_open_says_so(tmp_path):
    make(tmp_path, "closed/secret.csv")
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "x").symlink_to(tmp_path / "closed")
    with pytest.raises(
        InputError, match=r"without files\nAll that is in it is left out.*'x': a link out of the folders"
    ):
        list_files(str(tmp_path / "open"), Access(folders=(str(tmp_path / "open"),)))


def test_a_file_that_has_become_a_link_since_it_was_listed_is_not_read(tmp_path, linked):
    (tmp_path / "open/a.csv").unlink()
    (tmp_path / "open/a.csv").symlink_to(tmp_path / "closed/secret.csv")
    (tmp_path / "closed/secret.csv").write_text("v\n7\n")
    (tmp_path / "open/e.csv").write_text("v\n1\n")
    place = str(tmp_path / "open")
    with pytest.raises(InputError, match=r"a\.csv' cannot be read: it is a link out of the folders that are open"):
        fetch(place, "a.csv", tmp_path, linked)
    with pytest.raises(InputError, match=r"a\.csv' cannot be read"):
        fetch("", f"{place}/a.csv", tmp_path, linked)
    assert fetch(place, "e.csv", tmp_path, linked).read_text() == "v\n1\n"
    reader = PartReader(place, pa.schema([("v", pa.int64())], {"wanted": "v"}), tmp_path / "scratch", linked)
    read = list(reader.read_each([("a.csv", WHOLE), ("e.csv", WHOLE)]))
    assert isinstance(read[0], InputError)
    assert "link out of" in str(read[0])
    assert read[1].table.to_pylist() == [{"v": 1}]


def test_the_text_of_a_link_out_of_what_is_open_is_not_read(tmp_path, linked):
    (tmp_path / "open/MLTable").symlink_to(tmp_path / "closed/secret.csv")
    with pytest.raises(Refused, match=r"'.*/open/MLTable' leads out of the folders that are open"):
        read_texts(str(tmp_path / "open"), ["MLTable"], linked)
    assert read_texts(str(tmp_path / "open"), ["MLTable"]) == {"MLTable": "closed/secret.csv"}


def test_links_that_lead_nowhere_are_inputs_that_cannot_be_read(tmp_path):
    make(tmp_path, "a.csv")
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nothing")
    (tmp_path / "self.csv").symlink_to(tmp_path / "self.csv")
    assert paths(tmp_path) == ["a.csv", "gone.csv", "self.csv"]
    with pytest.raises(InputError, match=r"gone.csv' cannot be read: it is a link that leads nowhere"):
        fetch(str(tmp_path), "gone.csv", tmp_path)


def test_a_pipe_is_left_out_with_its_reason(tmp_path):
    make(tmp_path, "a.csv")
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(os.fsencode(tmp_path) + b"/\xff")
    _, files, skipped = list_files(str(tmp_path))
    assert [file.path for file in files] == ["a.csv"]
    assert [one.file for one in skipped] == ["\\udcff", "pipe"]
    assert {one.reason for one in skipped} == {"neither a file nor a folder: a pipe, a socket or a device"}


def test_a_folder_with_nothing_but_a_pipe_has_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for look in (list_files, lambda uri: check_readable(uri, "uri_folder")):
        with pytest.raises(InputError, match="a folder without files"):
            look(str(tmp_path))


def test_a_file_that_has_gone_since_it_was_listed_is_told(tmp_path):
    with pytest.raises(InputError, match=r"'.*/a.csv' cannot be read: it is gone"):
        fetch(str(tmp_path), "a.csv", tmp_path)


def test_a_name_that_is_not_utf8_is_told(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv")).write_text("x")
    with pytest.raises(InputError, match=r"b'\\xff.csv' is not UTF-8"):
        list_files(str(tmp_path))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        pytest.param("{top}/empty", "is a folder without files", id="empty"),
        pytest.param("{top}/missing", "does not exist", id="missing"),
        pytest.param("{top}/a.csv/b.csv", "does not exist", id="below a file"),
        pytest.param("{top}/" + "x" * 300, "File name too long", id="a name that is too long"),
        pytest.param("{top}/*.parquet", r"'.*/\*.parquet' matches no file", id="a pattern without a match"),
        pytest.param("{top}/no/*.csv", r"matches nothing: there is no folder '.*/no'", id="a pattern below nothing"),
        pytest.param("nothing://x/y", "cannot open 'nothing://x/y'", id="unknown scheme"),
    ],
)
def test_an_input_with_nothing_to_read_is_told(tmp_path, uri, expected):
    make(tmp_path, "a.csv")
    (tmp_path / "empty").mkdir()
    for look in (list_files, lambda uri: check_readable(uri, "uri_folder")):
        with pytest.raises(InputError, match=expected):
            look(uri.format(top=tmp_path))


def test_what_may_not_be_read_is_told(open_folder, unprivileged):
    make(open_folder, "closed/a.csv", "b.csv")
    (open_folder / "b.csv").chmod(0)
    (open_folder / "closed").chmod(0)
    with unprivileged():
        with pytest.raises(InputError, match="permission denied"):
            check_readable(str(open_folder / "b.csv"), "uri_file")
        with pytest.raises(InputError, match="Permission denied"):
            list_files(str(open_folder))
        with pytest.raises(InputError, match="Permission denied"):
            list_files(str(open_folder / "closed" / "a.csv"))
    (open_folder / "closed").chmod(0o700)


@pytest.mark.parametrize("pattern", ["", "*/*.csv"])
def test_checking_looks_no_further_than_the_first_file(tmp_path, monkeypatch, pattern):
    make(tmp_path, *(f"{folder}/{number}.csv" for folder in "abc" for number in range(3)))
    looked_at, scan = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: looked_at.append(os.path.basename(folder)) or scan(folder))
    check_readable(str(tmp_path / pattern), "uri_folder")
    assert looked_at == [tmp_path.name, "a"]
    looked_at.clear()
    list_files(str(tmp_path / pattern))
    assert looked_at == [tmp_path.name, "a", "b", "c"]


TREE = ("a.csv", "b.png", "x/a.csv", "x/x-1.png", "x/y/x-2.png", "x/y/x-10.png", "z/a.csv", ".h/a.csv", ".a.csv")


@pytest.mark.parametrize(
    ("pattern", "root", "expected"),
    [
        ("*.csv", "", ["a.csv"]),
        ("?.???", "", ["a.csv", "b.png"]),
        ("*/a.csv", "", ["x/a.csv", "z/a.csv"]),
        ("[xy]/*.csv", "", ["x/a.csv"]),
        ("[!x]/*.csv", "", ["z/a.csv"]),
        ("x/*", "/x", ["a.csv", "x-1.png"]),
        ("x/*/*", "/x", ["y/x-10.png", "y/x-2.png"]),
        ("**/x-?.png", "", ["x/x-1.png", "x/y/x-2.png"]),
        ("**/a.csv", "", ["a.csv", "x/a.csv", "z/a.csv"]),
        ("x/**", "/x", ["a.csv", "x-1.png", "y/x-10.png", "y/x-2.png"]),
        ("**/y/**/*.png", "", ["x/y/x-10.png", "x/y/x-2.png"]),
        ("*/**/*.png", "", ["x/x-1.png", "x/y/x-10.png", "x/y/x-2.png"]),
        (".*/*.csv", "", [".h/a.csv"]),
        (".*.csv", "", [".a.csv"]),
    ],
)
def test_patterns_are_matched_as_in_a_shell(tmp_path, pattern, root, expected):
    make(tmp_path, *TREE)
    found, files, _ = list_files(f"{tmp_path}/{pattern}")
    assert found == str(tmp_path) + root
    assert [file.path for file in files] == expected
    assert list_files((tmp_path / pattern).as_uri())[:2] == (found, files)


def test_what_exists_by_its_very_name_is_no_pattern(tmp_path):
    make(tmp_path, "run [1]/a.csv", "run 1/b.csv")
    assert paths(tmp_path / "run [1]") == ["a.csv"]
    assert paths(tmp_path / "run [1-2]" / "*") == ["run 1/b.csv"]


@pytest.mark.parametrize(
    ("path", "root", "names"),
    [
        ("data/*.csv", "data", ("*.csv",)),
        ("*.csv", ".", ("*.csv",)),
        ("/*.csv", "/", ("*.csv",)),
        ("s3://bucket/a/*.csv", "s3://bucket/a", ("*.csv",)),
        ("s3://bucket/*", "s3://bucket", ("*",)),
        ("s3://bucket/a/x-?.csv", "s3://bucket/a", ("x-?.csv",)),
        ("s3://bucket/a/*.csv?region=eu", "s3://bucket/a?region=eu", ("*.csv",)),
        (
            "s3://b/a/**/x?.csv?endpoint_override=http://h:1/",
            "s3://b/a?endpoint_override=http://h:1/",
            ("**", "x?.csv"),
        ),
    ],
)
def test_the_root_is_what_stands_before_the_first_wildcard(path, root, names):
    found, pattern = split_pattern(path)
    assert (found, pattern.names) == (root, names)


@pytest.mark.parametrize("path", ["data/a.csv", "s3://bucket/a", "s3://bucket/a?region=eu", "/"])
def test_a_path_without_wildcard_is_no_pattern(path):
    assert split_pattern(path) is None


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    top = make(tmp_path_factory.mktemp("web"), "in/a b.csv", "in/2024/data.csv", "in/2025/data.csv")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(top))

        def do_GET(self):
            self.send_error(401) if self.path.startswith("/closed/") else super().do_GET()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_one_file_comes_over_http_and_keeps_its_name(web, tmp_path):
    uri = f"{web}/in/a%20b.csv?sig=a/b%2Fc"
    root, files, _ = list_files(uri)
    assert [(file.path, file.size) for file in files] == [("a b.csv", 10)]
    assert fetch(root, "a b.csv", tmp_path).read_text() == "in/a b.csv"


def test_files_of_one_name_from_several_folders_are_several_files(web, tmp_path):
    names = ["in/2024/data.csv", "in/2025/data.csv"]
    assert [open_table("", f"{web}/{name}", tmp_path).columns for name in names] == [(name,) for name in names]
    assert [fetch("", f"{web}/{name}", tmp_path).read_text() for name in names] == names


def test_what_http_does_not_give_is_told(web, tmp_path):
    with pytest.raises(InputError, match="404"):
        check_readable(f"{web}/in/no.csv", "uri_file")
    with pytest.raises(InputError, match="404"):
        fetch(f"{web}/in/no.csv", "no.csv", tmp_path)


def test_a_file_that_http_gives_to_nobody_unknown_has_not_failed(web, tmp_path):
    with pytest.raises(StoreUnavailable, match="401"):
        fetch(f"{web}/closed/a.csv", "a.csv", tmp_path)


@pytest.fixture
def faulty_web(web, monkeypatch):
    """Puts a proxy with chosen faults before the web server; pauses are short."""
    monkeypatch.setattr("batch_endpoints.storage.files.patience.pause_seconds", lambda attempt, jitter: 0.001)
    monkeypatch.setenv("BATCH_ENDPOINTS_STORE_TIMEOUT", "0.3")
    with ExitStack() as stack:
        yield lambda choose: stack.enter_context(FaultyProxy(web, choose, stall_seconds=30))


@pytest.mark.parametrize("fault", ["stall", "reset", "half", "503"])
def test_a_file_over_http_is_asked_for_again_where_its_server_behaves_badly(faulty_web, tmp_path, fault):
    faults = [fault]
    proxy = faulty_web(lambda method, path: faults.pop() if faults else "")
    root, files, _ = list_files(f"{proxy.url}/in/a%20b.csv")
    faults.append(fault)
    assert fetch(root, files[0].path, tmp_path).read_text() == "in/a b.csv"
    assert proxy.seen[fault] == 2


@pytest.mark.parametrize("fault", ["stall", "half", "503"])
def test_a_server_that_stays_silent_has_failed_no_file_and_leaves_no_part_of_it(faulty_web, tmp_path, fault):
    proxy = faulty_web(lambda method, path: fault)
    with patience(0.5), pytest.raises(StoreUnavailable, match=r"a b\.csv' cannot be read now: .* tries\)"):
        fetch(f"{proxy.url}/in/a%20b.csv", "a b.csv", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_local_folder_is_used_in_place(tmp_path):
    assert fetch_tree(tmp_path.as_uri(), tmp_path / "scratch") == tmp_path
    with pytest.raises(InputError, match="does not exist on this machine"):
        fetch_tree(str(tmp_path / "no"), tmp_path)
