"""HTTP to other machines alone: what a client who is elsewhere names is not asked of the machine that asks.

There may be services that take whoever reaches them from here for a friend, and behind a link-local address those of
a cloud that tell a machine its secrets. Each connection is looked at, also behind redirects, and both before it is
made and after: a name may mean another address a moment later. Private networks (10.0.0.0/8 and the like) are open,
since that is where data lies; so, therefore, are other nodes of the cluster. What is asked through a proxy
(``HTTPS_PROXY``) is for that one to allow.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from batch_endpoints.errors import Refused

_ABOUT_ITSELF = frozenset({"fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16"})
"""Where machines in the clouds of Amazon, Google, Alibaba and Microsoft ask about themselves, if not link-local."""


def outside_session() -> requests.Session:
    """A session whose requests raise Refused where they lead to the machine that makes them."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


def is_own(address: str, source: str = "") -> bool:
    """Is an address one of this machine, or one by which only it is told something?

    Args:
        source: what this machine calls itself there; for an address of its own, that one.
    """
    ip = ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return (
        address == source or ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.compressed in _ABOUT_ITSELF
    )


def _check(peer: socket.socket, host: str) -> None:
    address = peer.getpeername()[0]
    if is_own(address, peer.getsockname()[0]):
        raise Refused(
            f"the host '{host}' is at {address}, which is for this machine alone, and clients elsewhere have nothing "
            "read from there",
            mend="Upload the data, or put it into a store.",
        )


def _check_name(host: str, port: int) -> None:
    """Look at all that a name means now, before anybody there could notice."""
    with suppress(OSError):  # there is no such name, or no way: connecting will tell
        for family, kind, protocol, _, place in socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_DGRAM):
            with suppress(OSError), socket.socket(family, kind, protocol) as probe:
                probe.connect(place)  # sends nothing
                _check(probe, host)


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        _check_name(self.host, self.port)
        return _checked(super()._new_conn(), self.host)


class _SecureConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        _check_name(self.host, self.port)
        return _checked(super()._new_conn(), self.host)


def _checked(peer: socket.socket, host: str) -> socket.socket:
    try:
        _check(peer, host)
    except Refused:
        peer.close()
        raise
    return peer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
