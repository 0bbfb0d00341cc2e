"""Runs one program with all that it starts, and passes on what it prints, line by line.

Started as ``python -IS supervise.py <read fd> <folder> [<read-only path>…] -- [<writable folder>…] -- <program>
[<argument>…]``: it ends the program when the other end of the pipe is closed, exits as the program does, and what it
prints goes to the stdout of this process. At the end the last of it is in the folder, in ``stdout`` and ``stderr``.

``python -IS supervise.py`` alone says by its exit code whether paths can be made read-only here.

Standard library only, so that it starts in a moment, and as little of it as possible.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # as of typing, whose import takes as long as all of these
if TYPE_CHECKING:
    from batch_endpoints.processes import family, read_only, relay
else:  # without the package, which takes a second
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import family
    import read_only
    import relay


def main() -> None:
    if len(sys.argv) == 1:
        read_only.make_read_only([os.fsencode(os.path.dirname(os.path.abspath(__file__)))], [])
        return
    end = sys.argv.index("--")
    after = sys.argv.index("--", end + 1)
    reader, folder, command = int(sys.argv[1]), sys.argv[2], sys.argv[after + 1 :]
    protected, writable = (
        [os.fsencode(path) for path in some] for some in (sys.argv[3:end], sys.argv[end + 1 : after])
    )
    os.set_inheritable(reader, False)
    output = relay.Relay(folder)
    family.leave_nothing_behind(reader, output.writers, output)
    os.dup2(output.writers[0], 1)
    os.dup2(output.writers[1], 2)
    if protected:
        read_only.make_read_only(protected, writable)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


if __name__ == "__main__":
    main()
