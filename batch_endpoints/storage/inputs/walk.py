"""The walk of an input: its root, and the files below it, wherever they are."""

from __future__ import annotations

from collections.abc import Iterator

from batch_endpoints.errors import InputError
from batch_endpoints.interfaces.files import Walk
from batch_endpoints.interfaces.records import Found
from batch_endpoints.specs import SkippedFile
from batch_endpoints.specs.uris import shown, shown_text
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.addresses import plain
from batch_endpoints.storage.files.claim_files import is_claim
from batch_endpoints.storage.files.place import open_place
from batch_endpoints.storage.inputs.globs import split_pattern


def walk(uri: str, access: Access = AMBIENT) -> Walk:
    """The root of an input, and all that is below it, in no order.

    Nothing is left out in silence but claims of jobs (see ``claims``): folders stand for what is in them, and
    whatever else is no file is reported.

    Args:
        uri: a folder, a file or a pattern; what exists under this very name is no pattern.
        access: credentials for what is remote.

    Raises:
        InputError: missing or unreadable; also from the iterator.
        Refused: it is not open.
    """
    try:
        root, found = _walk(uri, access)
    except OSError as error:
        raise _unreadable(uri, error) from None
    return Walk(root, _without_claims(uri, found))


def _walk(uri: str, access: Access) -> Walk:
    pattern = split_pattern(plain(uri))
    try:
        return open_place(uri, access).walk()
    except FileNotFoundError:
        if pattern is None:
            raise InputError(
                f"the input '{shown(uri)}' does not exist", mend="Check the path; it is read on the server."
            ) from None
    except InputError:
        if pattern is None:  # a pattern need not be a well-formed URI
            raise
    try:
        return open_place(pattern[0], access).walk(pattern[1])
    except FileNotFoundError:
        raise InputError(f"the input '{shown(uri)}' matches nothing: there is no folder '{pattern[0]}'") from None


def _without_claims(uri: str, found: Iterator[Found]) -> Iterator[Found]:
    try:
        yield from (one for one in found if isinstance(one, SkippedFile) or not is_claim(one.path))
    except OSError as error:
        raise _unreadable(uri, error) from None


def _unreadable(uri: str, error: OSError) -> InputError:
    return InputError(f"the input '{shown(uri)}' cannot be read: {error.strerror or shown_text(error)}")
