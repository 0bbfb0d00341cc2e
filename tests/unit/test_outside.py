"""What is asked over HTTP for clients who are elsewhere: other machines, and never the one that asks."""

import http.server
import socket
import threading
from contextlib import contextmanager

import pytest

from batch_endpoints.errors import InputError, Refused
from batch_endpoints.storage.files import http_guard as outside
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.files.http_guard import is_own, outside_session
from batch_endpoints.storage.inputs.fetch import fetch
from batch_endpoints.storage.inputs.listing import check_readable, list_files
from batch_endpoints.storage.tables.table_files import open_table

ELSEWHERE = Access(folders=())


@contextmanager
def serving(address, location=""):
    """A server that has one file, or says where else it is; yields its URL and what it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(302 if location else 200)
            self.send_header("location", location)
            self.send_header("content-length", "6")
            self.end_headers()
            self.wfile.write(b"secret")

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer((address, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://{address}:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def another(monkeypatch):
    """127.0.0.2, which a test may have for another machine."""
    monkeypatch.setattr(outside, "is_own", lambda address, source="": address != "127.0.0.2")
    return "127.0.0.2"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "[::ffff:127.0.0.1]"])
def test_a_server_is_not_asked_for_what_it_has_itself(host, tmp_path):
    with serving("127.0.0.1") as (url, asked):
        uri = f"http://{host}:{url.rpartition(':')[2]}/a.csv"
        assert len(list_files(uri).files) == 1, "those who are on its machine may"
        asked.clear()
        for look in (lambda: list_files(uri, ELSEWHERE), lambda: check_readable(uri, "uri_file", ELSEWHERE)):
            with pytest.raises(
                Refused, match=r"the host '.*' is at (::ffff:)?127\.0\.0\.\d, which is for this machine"
            ):
                look()
        with pytest.raises(InputError, match=r"'http.*a\.csv' cannot be read: the host"):
            fetch(uri, "a.csv", tmp_path, ELSEWHERE)
        with pytest.raises(InputError, match=r"'http.*a\.parquet' cannot be read: the host"):
            open_table(uri.replace("csv", "parquet"), "a.parquet", tmp_path, ELSEWHERE)
        assert asked == []


def test_nobody_learns_from_the_answer_which_ports_are_open_there():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(Refused):
            list_files(f"http://127.0.0.1:{closed.getsockname()[1]}/", ELSEWHERE)


def test_other_machines_are_asked(another, tmp_path):
    with serving(another) as (url, _):
        assert [file.size for file in list_files(f"{url}/a.csv", ELSEWHERE).files] == [6]
        assert fetch(f"{url}/a.csv", "a.csv", tmp_path, ELSEWHERE).read_text() == "secret"


def test_a_redirect_does_not_lead_back(another, tmp_path):
    with serving("127.0.0.1") as (here, asked), serving(another, f"{here}/b.csv") as (url, _):
        with pytest.raises(Refused, match=r"the host '127\.0\.0\.1'"):
            list_files(f"{url}/a.csv", ELSEWHERE)
        with pytest.raises(InputError, match=r"the host '127\.0\.0\.1'"):
            fetch(f"{url}/a.csv", "a.csv", tmp_path, ELSEWHERE)
        assert asked == []


def test_a_table_that_is_read_by_ranges_does_not_lead_back_either(another, tmp_path):
    with serving("127.0.0.1") as (here, asked), serving(another, f"{here}/b.parquet") as (url, _):
        with pytest.raises(InputError, match=r"'http.*a\.parquet' cannot be read: the host '127\.0\.0\.1'"):
            open_table("", f"{url}/a.parquet", tmp_path, ELSEWHERE)
        assert asked == []


def test_neither_does_a_name_that_means_another_address_a_moment_later(another, monkeypatch):
    ask, answers = socket.getaddrinfo, iter([another, "127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **options: ask(next(answers), *more, **options))
    with serving("127.0.0.1") as (url, asked):
        with pytest.raises(Refused, match=r"the host 'twofold' is at 127\.0\.0\.1"):
            list_files(f"http://twofold:{url.rpartition(':')[2]}/a.csv", ELSEWHERE)
        assert asked == []


def test_a_host_that_is_not_there_is_told_as_ever():
    with pytest.raises(InputError, match=r"the input 'http://nowhere\.invalid/a' cannot be read"):
        check_readable("http://nowhere.invalid/a", "uri_file", ELSEWHERE)


def test_a_proxy_of_this_machine_may_be_asked(monkeypatch):
    with serving("127.0.0.1") as (proxy, asked):
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert len(list_files("http://files.invalid/a.csv", ELSEWHERE).files) == 1
    assert asked == ["http://files.invalid/a.csv"]


def test_https_is_looked_at_as_well():
    with serving("127.0.0.1") as (url, _), pytest.raises(Refused), outside_session() as session:
        session.get(url.replace("http:", "https:"))


@pytest.mark.parametrize(
    ("address", "source", "own"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.8.8.8", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "::ffff:10.0.0.1", True),
        ("0.0.0.0", "10.0.0.1", True),
        ("169.254.169.254", "10.0.0.1", True),
        ("::ffff:169.254.169.254", "::ffff:10.0.0.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("fd00:ec2::254", "fd00::1", True),
        ("FD00:0EC2:0::254", "fd00::1", True),
        ("168.63.129.16", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.2", "10.0.0.1", False),
        ("192.168.1.7", "192.168.1.1", False),
        ("fd00::2", "fd00::1", False),
        ("93.184.216.34", "10.0.0.1", False),
        ("2606:2800::1", "2001::1", False),
    ],
)
def test_addresses_of_a_machines_own(address, source, own):
    assert is_own(address, source) == own
