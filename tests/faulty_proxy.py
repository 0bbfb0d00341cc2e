"""A proxy in front of an object store that lets things go wrong."""

import http.client
import random
import re
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultyProxy:
    """Passes requests on, and spoils some of them before or behind what the server does.

    Args:
        target: URL of the server.
        choose: called with each request's method and path; returns a fault, or "" to let it pass.
        stall_seconds: how long ``stall`` keeps a client waiting.
    """

    FAULTS = ("500", "503", "reset", "lost 500", "lost reset")  # "lost": the server has done it, the answer is lost

    def __init__(self, target, choose, stall_seconds=2.5):
        self.seen = Counter()
        self.keys = set()  # ids of the access keys that requests were signed with
        self.sent = Counter()  # bytes of the bodies that were answered with, by path
        self.ended = threading.Event()
        proxy, host = self, target.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (ConnectionError, ValueError):
                    self.close_connection = True

            def pass_on(self):
                length = int(self.headers.get("content-length") or 0)
                if "100-continue" in self.headers.get("expect", "").lower():
                    del self.headers["expect"]
                body = self.rfile.read(length)
                proxy.keys.update(re.findall(r"Credential=([^/]+)/", self.headers.get("authorization", "")))
                fault = choose(self.command, self.path)
                proxy.seen[fault] += 1
                if fault == "stall" and proxy.ended.wait(stall_seconds):
                    return self.reset()  # it must not arrive in the store of the next test
                if fault in ("500", "503", "reset"):
                    return self.spoil(fault)
                connection = http.client.HTTPConnection(host, timeout=60)
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                if fault.startswith("lost "):
                    return self.spoil(fault.removeprefix("lost "))
                if fault == "half":
                    self.answer(answer, content, content[: len(content) // 2])
                    return self.reset()
                return self.answer(answer, content, content)

            def answer(self, answer, content, sent):
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                        self.send_header(name, value)
                head = self.command == "HEAD"
                length = answer.getheader("content-length") or "0" if head else str(len(content))
                self.send_header("content-length", length)
                self.end_headers()
                if not head:
                    self.wfile.write(sent)
                    proxy.sent[self.path.partition("?")[0]] += len(sent)

            def spoil(self, fault):
                if fault == "reset":
                    return self.reset()
                code = "SlowDown" if fault == "503" else "InternalError"
                content = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
                self.send_response_only(int(fault))
                self.send_header("content-type", "application/xml")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)
                return None

            def reset(self):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.wfile.flush()
                self.connection.close()
                self.close_connection = True

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def now_and_then(seed, rate, faults=(*FaultyProxy.FAULTS, "half"), stall_at=-1):
    """A choice of faults that hits a share of all requests, and stalls once."""
    rng, lock, number = random.Random(seed), threading.Lock(), iter(range(1 << 30))

    def choose(method, path):
        with lock:
            if next(number) == stall_at:
                return "stall"
            return rng.choice(faults) if rng.random() < rate else ""

    return choose
