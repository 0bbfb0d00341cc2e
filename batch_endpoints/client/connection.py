"""One HTTP connection to a server: where it is, which tries are made again, and errors as our own classes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

import requests
import requests.auth

from batch_endpoints.client.tokens import authority_of, find_token, not_authenticated
from batch_endpoints.errors import BatchEndpointError, ServerError
from batch_endpoints.settings import DEFAULT_PORT, Settings

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between tries. A server that was never reached is given up after the first two of them."""
UNAVAILABLE = (502, 503, 504)
TIMEOUT = (5.0, 60.0)  # seconds to connect, seconds without a byte


class Connection:
    """Talks JSON to one server.

    A try that found no server, or an unavailable one, is made again with growing pauses where that cannot do
    anything twice.
    """

    def __init__(
        self, url: str = "", *, settings: Settings | None = None, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """Args:
        url: the server; "" takes BATCH_ENDPOINTS_URL, then the server that `up` started here, then the default port.
        settings: what the environment says; read now where it is left out.
        pause: called with seconds between two tries.
        """
        self._settings = settings = settings or Settings.read()
        self._here = _server_here(settings.home)
        self._is_guess = not (url or settings.url)
        url = url or settings.url or str(self._here.get("url", "")) or f"http://127.0.0.1:{DEFAULT_PORT}"
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        self._pause = pause
        self._reached = False
        self._session = requests.Session()
        if urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1"):
            self._session.trust_env = False  # a proxy cannot reach this machine's loopback

    def __getstate__(self) -> dict[str, Any]:
        """Without the token: Ray writes to disk what it is given."""
        state = {name: value for name, value in vars(self).items() if name != "_here"}
        return state | {"_settings": replace(self._settings, token="", token_file=None)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """It may have been sent to another machine, with other files and another environment."""
        vars(self).update(state)
        there = Settings.read()
        self._settings = replace(self._settings, token=there.token, token_file=there.token_file)
        self._here = _server_here(self._settings.home)

    def json(self, method: str, path: str, **request: Any) -> Any:
        """Send a request and return the JSON of its answer (None where there is no content); see :meth:`send`."""
        response = self.send(method, path, **request)
        if not response.content:
            return None
        try:
            return response.json()
        except requests.JSONDecodeError:
            raise ServerError(
                f"{self.url} did not answer in JSON", mend="Is this the address of a batch endpoints server?"
            ) from None

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content: Callable[[], BinaryIO] | None = None,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        stream: bool = False,
        timeout: tuple[float, float] = TIMEOUT,
    ) -> requests.Response:
        """Send a request until it is answered.

        Args:
            method: GET, PUT, ...
            path: from the server's root, quoted; see :func:`at`.
            body: plain data that becomes JSON.
            content: opens bytes to send instead, anew for each try.
            params: the query.
            headers: more headers.
            repeatable: may this be sent again when nobody knows whether it has arrived? None: all but POST.
            stream: leave the answer's body to the caller, who closes it.
            timeout: seconds to connect, and without a byte.

        Raises:
            BatchEndpointError: the class that the server's error code names; ServerError where nothing answers.
        """
        repeatable = method != "POST" if repeatable is None else repeatable
        pauses = list(PAUSES)
        while True:
            data = content() if content else None
            token = self.token
            try:
                response = self._session.request(
                    method,
                    self.url + path,
                    json=body,
                    data=data,
                    params=params,
                    headers={**({"content-type": "application/octet-stream"} if content else {}), **(headers or {})},
                    auth=_Bearer(token),
                    stream=stream,
                    timeout=timeout,
                    verify=self.authority,
                )
            except requests.RequestException as error:
                again = pauses and (repeatable or _never_sent(error)) and not _hopeless(error)
                if not again or (not self._reached and len(pauses) <= len(PAUSES) - 2):
                    raise self._unreachable(error) from None
            else:
                self._reached = True
                if response.ok:
                    return response
                if not (_may_pass(response) and repeatable and pauses):
                    with response:
                        if response.status_code == 401:
                            raise not_authenticated(self.url, self._settings, self._here, sent=bool(token))
                        raise error_of(response)
                response.close()
            finally:
                if data:
                    data.close()
            self._pause(pauses.pop(0))

    def pages(self, path: str, **params: str | int) -> Iterator[Any]:
        """Every entry of a list, asked for a page at a time."""
        query: str | None = None
        while True:
            page = self.json("GET", f"{path}?{query}") if query else self.json("GET", path, params=params)
            yield from page["value"]
            query = urlsplit(page.get("nextLink") or "").query
            if not query:
                return

    def on_the_servers_machine(self) -> bool:
        """Was this server started on this machine with this home folder, so that it sees the same files?"""
        return bool(self._here.get("id")) and self.json("GET", "/").get("id") == self._here["id"]

    @property
    def token(self) -> str:
        """What is sent to the server to be let in; "" where nothing was found."""
        return find_token(self.url, self._settings, self._here)

    @property
    def authority(self) -> str | None:
        """The file with the authority that the server's certificate is by; None for the usual ones."""
        return authority_of(self.url, self._settings, self._here)

    def is_anothers(self) -> bool:
        """Did nobody name this server, and is it not the one that `up` started with this home folder?"""
        return self._is_guess and not self.on_the_servers_machine()

    def _unreachable(self, error: Exception) -> ServerError:
        if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
            return ServerError(f"'{self.url}' is not the address of a server", mend="Write it as http://host:port.")
        if isinstance(error, requests.exceptions.SSLError):
            return ServerError(
                f"the server at {self.url} is not trusted: {error}",
                mend="Name the file that `batch-endpoints ca` prints on its machine in REQUESTS_CA_BUNDLE; a server "
                "without --tls is called with http://.",
            )
        slow = isinstance(error, requests.Timeout)
        return ServerError(
            f"{'no answer in time from' if slow else 'cannot reach'} the server at {self.url}",
            mend="Start one here with `batch-endpoints up`, or name another with BATCH_ENDPOINTS_URL or --server.",
        )


class _Bearer(requests.auth.AuthBase):
    """Sends the token, if there is one; and never what ~/.netrc says of the server's machine."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def at(*parts: str) -> str:
    """A path on the server made of names that may hold any character."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def error_of(response: requests.Response) -> BatchEndpointError:
    """The error that a response tells of, as the class its code names."""
    try:
        told = response.json()["error"]
        code, message = str(told["code"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        text = response.text.strip()
        told = "a page of HTML, so it is no batch endpoints server" if text.startswith("<") else text[:500]
        code, message = "", f"the server at {response.url} answered {response.status_code}: {told or response.reason}"
    what, _, mend = message.partition("\n")
    return _by_code(BatchEndpointError).get(code, ServerError)(what, mend=mend)


def _may_pass(response: requests.Response) -> bool:
    """May the server answer otherwise in a moment?

    It says what failed in JSON. Ray Serve, in front of it, does not when the process that was to answer is lost.
    """
    is_ours = response.headers.get("content-type", "").startswith("application/json")
    return response.status_code in UNAVAILABLE or (response.status_code == 500 and not is_ours)


def _by_code(cls: type[BatchEndpointError]) -> dict[str, type[BatchEndpointError]]:
    found = {cls.code: cls}
    for inner in cls.__subclasses__():
        found |= _by_code(inner)
    return found


def _server_here(home: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads((home / "server.json").read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def _never_sent(error: Exception) -> bool:
    """Did it fail before the server can have seen the request?"""
    return isinstance(error, requests.ConnectTimeout) or "NewConnectionError" in repr(error)


def _hopeless(error: Exception) -> bool:
    return isinstance(error, ValueError)  # a malformed address; requests derives those errors from ValueError
