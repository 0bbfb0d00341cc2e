"""Files of an input on this machine's disk: in place where they are on it, copied otherwise."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from batch_endpoints.errors import InputError, Refused
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.addresses import split_file
from batch_endpoints.storage.files.place import open_place
from batch_endpoints.storage.files.read_errors import cannot_read


def fetch(root: str, path: str, scratch: Path, access: Access = AMBIENT) -> Path:
    """A file of an input on this machine's disk: in place where it is local, otherwise a copy in ``scratch``.

    Raises:
        InputError: it cannot be read (any more).
        StoreUnavailable: it may be read later.
    """
    root, path, scratch = own_root(root, path, scratch)
    try:
        return open_place(root, access).fetch(path, scratch)
    except OSError as error:
        raise cannot_read(f"{root}/{path}", error) from None
    except Refused as error:  # it was not so when it was listed
        raise InputError(f"'{shown(root)}' cannot be read: {error.what}", mend=error.mend) from None


def own_root(root: str, path: str, scratch: Path) -> tuple[str, str, Path]:
    """Root, path and scratch folder of a file that is named by its whole URI, because the input's root is "";
    otherwise as given."""
    if root:
        return root, path, scratch
    root, name = split_file(path)
    digest = hashlib.sha256(root.encode()).hexdigest()[:12]  # two folders may hold the same name
    return root, name, scratch / digest


def fetch_tree(uri: str, scratch: Path, access: Access = AMBIENT) -> Path:
    """A file or folder with all that is in it on this machine's disk: in place where it is local.

    Raises:
        InputError: it does not exist or cannot be read.
        StoreUnavailable: it may be read later.
    """
    place = open_place(uri, access)
    try:
        if place.exists():
            return place.fetch("", scratch)
        for file in place.walk().found:
            if isinstance(file, InputFile):
                place.fetch(file.path, scratch / place.name)
    except FileNotFoundError:
        here = " on this machine" if place.disk else ""
        raise InputError(f"'{shown(uri)}' does not exist{here}", mend="Every node must be able to read it.") from None
    except OSError as error:
        raise cannot_read(uri, error) from None
    return scratch / place.name


def read_texts(uri: str, names: Iterable[str], access: Access = AMBIENT) -> dict[str, str]:
    """The text of those files of a folder that exist, by name; the rest of the folder stays where it is.

    Raises:
        InputError: no file system for this kind of URI, or it does not give them.
        Refused: one of them is not open.
        StoreUnavailable: they may be read later.
    """
    place = open_place(uri, access)
    try:
        return {name: place.read(name).decode() for name in names if place.exists(name)}
    except OSError as error:
        raise cannot_read(uri, error) from None
