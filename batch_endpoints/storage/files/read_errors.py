"""Why something could not be read: for a reason that lies in it, or one that will pass."""

from __future__ import annotations

import errno

import pyarrow as pa

from batch_endpoints.errors import BatchEndpointError, InputError, StoreUnavailable
from batch_endpoints.specs.uris import shown, shown_text
from batch_endpoints.storage.files.store_client import StoreClosed

BROKEN = (OSError, EOFError, pa.ArrowException, UnicodeDecodeError)
"""What readers of tables raise for what is in a file; the last one for names of columns."""

# no fault of what is read: the disk that a copy of it goes to, this process, or a disk or mount that is breaking
_OF_THIS_MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    *(errno.EIO, errno.ESTALE, errno.ENOTCONN),
}


def cannot_read(name: str, error: Exception) -> BatchEndpointError:
    """What to tell of a file that could not be read.

    Returns: InputError, by which it counts as failed; StoreUnavailable where that would be wrong.
    """
    if isinstance(error, OSError) and _passes(error):
        return StoreUnavailable(f"'{shown(name)}' cannot be read now: {shown_text(error)}")
    return InputError(f"'{shown(name)}' cannot be read: {shown_text(error)}")


def _passes(error: OSError) -> bool:
    return isinstance(error, TimeoutError | StoreClosed) or error.errno in _OF_THIS_MACHINE
