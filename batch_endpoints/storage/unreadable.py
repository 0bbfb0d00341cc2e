"""Why something could not be read: for a reason that lies in it, or one that will pass."""

from __future__ import annotations

import errno
import re

from batch_endpoints.errors import BatchEndpointError, InputError, StoreUnavailable
from batch_endpoints.specs.uris import shown, shown_text

# no fault of what is read: the disk that a copy of it goes to, or this process
_OF_THIS_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
# Arrow's reader of S3 has these words for what it has tried again in vain
_BUSY = re.compile(r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIMEOUT)")
_BUSY_STATUS = re.compile(r"AWS Error \w+ \(HTTP status (5\d\d|429)\)")


def cannot_read(name: str, error: Exception) -> BatchEndpointError:
    """What to tell of a file that could not be read.

    Returns: InputError, by which it counts as failed; StoreUnavailable where that would be wrong.
    """
    if isinstance(error, OSError) and _passes(error):
        return StoreUnavailable(f"'{shown(name)}' cannot be read now: {shown_text(error)}")
    return InputError(f"'{shown(name)}' cannot be read: {shown_text(error)}")


def _passes(error: OSError) -> bool:
    if isinstance(error, TimeoutError) or error.errno in _OF_THIS_MACHINE:
        return True
    said = str(error)
    return bool(_BUSY.search(said) or _BUSY_STATUS.search(said))
