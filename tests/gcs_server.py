"""As much of Google's Cloud Storage as its client asks of it here: the JSON API over objects in memory.

There is no emulator among the packages of PyPI and npm that honours generations as conditions, which is what commits
rest on. This one follows Google's reference (cloud.google.com/storage/docs/json_api): ``ifGenerationMatch``, ranges,
pages, multipart and resumable uploads.
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import parse_qsl, unquote, urlsplit

BUCKET = "lake"
PLACE = f"gs://{BUCKET}"
WRITES = "POST"  # the method of requests that write an object
COMPLETES = r"PUT .*upload_id="  # a request that makes an object of what was sent


@dataclass
class Object:
    content: bytes
    metadata: dict
    generation: int

    def resource(self, name):
        return {
            "name": name,
            "size": str(len(self.content)),
            "generation": str(self.generation),
            "metadata": self.metadata,
            "md5Hash": base64.b64encode(hashlib.md5(self.content).digest()).decode(),
            "crc32c": _crc32c(self.content),
        }


@dataclass
class Resumable:
    """An upload on its way; it stays when it is done, so that its last part may be sent again."""

    name: str
    metadata: dict
    content: bytearray = field(default_factory=bytearray)
    done: dict = None


class Store:
    """Buckets, and what is asked of them; one request at a time.

    Attributes:
        tokens: where there are any, requests must have one of them.
    """

    def __init__(self):
        self.buckets, self.uploads, self.tokens = {}, {}, set()
        self.lock, self.numbers = threading.Lock(), count(1)

    def put(self, bucket, name, content, metadata, match):
        there = self.buckets[bucket].get(name)
        if match is not None and int(match) != (there.generation if there else 0):
            return 412, _error(412, "At least one of the pre-conditions you specified did not hold.")
        self.buckets[bucket][name] = made = Object(bytes(content), metadata, next(self.numbers))
        return 200, made.resource(name)

    def page(self, bucket, query):
        names = sorted(name for name in self.buckets[bucket] if name.startswith(query.get("prefix", "")))
        names = [name for name in names if name > query.get("pageToken", "")]
        limit = int(query.get("maxResults", 1000))
        page = {"items": [self.buckets[bucket][name].resource(name) for name in names[:limit]]}
        return page | ({"nextPageToken": names[limit - 1]} if len(names) > limit else {})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def serve(self):
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        store = self.server.store
        if url.path == "/token":
            return self.answer(200, {"access_token": "granted", "expires_in": 3600, "token_type": "Bearer"})
        if store.tokens and self.headers.get("authorization", "").removeprefix("Bearer ") not in store.tokens:
            return self.answer(401, _error(401, "Anonymous caller does not have access."))
        found = re.fullmatch(r"(/upload|/download)?/storage/v1/b/([^/]+)/o(?:/(.+))?", url.path)
        bucket, name = found[2], unquote(found[3] or "")
        with store.lock:
            if bucket not in store.buckets:
                return self.answer(404, _error(404, "The specified bucket does not exist."))
            if found[1] == "/upload":
                return self.upload(store, bucket, query, body)
            if not name:
                return self.answer(200, store.page(bucket, query))
            there = store.buckets[bucket].get(name)
            if there is None:
                return self.answer(404, _error(404, f"No such object: {bucket}/{name}"))
            if self.command == "DELETE":
                del store.buckets[bucket][name]
                return self.answer(204, b"")
        if query.get("alt") == "media":
            return self.media(there, query)
        return self.answer(200, there.resource(name))

    def media(self, there, query):
        if int(query.get("ifGenerationMatch", there.generation)) != there.generation:
            return self.answer(412, _error(412, "The generation is another one."))
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        hashes = {"x-goog-hash": f"crc32c={_crc32c(there.content)}", "x-goog-generation": str(there.generation)}
        if not wanted:
            return self.answer(200, there.content, hashes)
        start, end = int(wanted[1]), min(int(wanted[2] or len(there.content)), len(there.content) - 1)
        if start > end:
            return self.answer(416, _error(416, "The requested range cannot be satisfied."))
        told = {"content-range": f"bytes {start}-{end}/{len(there.content)}"}
        return self.answer(206, there.content[start : end + 1], hashes | told)

    def upload(self, store, bucket, query, body):
        match = query.get("ifGenerationMatch")
        if "upload_id" in query:
            return self.resume(store, bucket, store.uploads[query["upload_id"]], body)
        if query["uploadType"] == "resumable":
            asked = json.loads(body)
            number = str(next(store.numbers))
            store.uploads[number] = Resumable(asked["name"], asked.get("metadata", {}))
            host = f"http://{self.headers['host']}{urlsplit(self.path).path}"
            return self.answer(200, {}, {"location": f"{host}?uploadType=resumable&upload_id={number}"})
        boundary = re.search(rb'boundary="?([^";]+)', self.headers["content-type"].encode())[1]
        _, asked, content, _ = body.split(b"--" + boundary)
        asked = json.loads(asked.partition(b"\r\n\r\n")[2])
        content = content.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        return self.answer(*store.put(bucket, asked["name"], content, asked.get("metadata", {}), match))

    def resume(self, store, bucket, upload, body):
        if self.command == "DELETE":
            return self.answer(499, b"")
        start, total = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", self.headers["content-range"]).groups()
        if start is not None and upload.done is None:
            upload.content[int(start) :] = body
        if total == "*":
            return self.answer(308, b"", {"range": f"bytes=0-{len(upload.content) - 1}"})
        if upload.done is None:
            upload.done = store.put(bucket, upload.name, upload.content, upload.metadata, None)[1]
        return self.answer(200, upload.done)

    def answer(self, status, content, headers=()):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response_only(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        if not isinstance(content, bytes):
            self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = serve  # noqa: N815


@contextmanager
def gcs_server():
    """Runs a server in threads of this process; yields it, with its ``store``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.store = Store()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use_store(monkeypatch, url, *, timeout="30"):
    """Let all clients of this process and its children find the store."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    monkeypatch.setenv("BATCH_ENDPOINTS_STORE_TIMEOUT", timeout)


def _error(status, message):
    return {"error": {"code": status, "message": message, "errors": [{"message": message, "reason": "told"}]}}


def _crc32c(content):
    import google_crc32c

    return base64.b64encode(google_crc32c.Checksum(content).digest()).decode()
