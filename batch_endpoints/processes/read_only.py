"""Paths below which a program can write nothing, whoever it runs as.

Started as ``python -IS read_only.py [<read-only path>…] -- <program> [<argument>…]`` it becomes that program. Also
loaded by supervise.py, under the same rules.
"""

from __future__ import annotations

import os
import sys

_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000  # unshare(2)
_BIND, _RECURSIVE, _PRIVATE, _REMOUNT, _READ_ONLY = 0x1000, 0x4000, 1 << 18, 0x20, 1  # mount(2)
_KEPT = {2: 2, 4: 4, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}  # statvfs(3) -> mount(2): not ours to loosen


def main() -> None:
    end = sys.argv.index("--")
    make_read_only([*map(os.fsencode, sys.argv[1:end])], [])
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])


def make_read_only(paths: list[bytes], writable: list[bytes]) -> None:
    """Let nothing be written below these paths by this process and what it starts, whoever they run as.

    Args:
        writable: folders below them where it may go on.

    Raises OSError where the system does not let it.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)

    def call(result: int) -> None:
        if result:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW_MOUNTS):
        call(libc.unshare(_NEW_USER | _NEW_MOUNTS))
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    call(libc.mount(b"none", b"/", None, ctypes.c_ulong(_RECURSIVE | _PRIVATE), None))
    for path in writable:
        call(libc.mount(path, path, None, ctypes.c_ulong(_BIND), None))
    for path in paths:
        call(libc.mount(path, path, None, ctypes.c_ulong(_BIND | _RECURSIVE), None))
    for place in _mounts():
        if _below(place, paths) and not _below(place, writable):
            told = os.statvfs(place).f_flag
            flags = _BIND | _REMOUNT | _READ_ONLY | sum(flag for known, flag in _KEPT.items() if told & known)
            call(libc.mount(None, place, None, ctypes.c_ulong(flags), None))


def _mounts() -> set[bytes]:
    """Where something is mounted."""
    with open("/proc/self/mountinfo", "rb") as file:
        places = [line.split(b" ")[4] for line in file]
    for code, mark in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        places = [place.replace(code, mark) for place in places]
    return set(places)


def _below(place: bytes, folders: list[bytes]) -> bool:
    return any(place == folder or place.startswith(folder.rstrip(b"/") + b"/") for folder in folders)


if __name__ == "__main__":
    main()
