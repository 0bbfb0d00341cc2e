"""What a failed command says first."""

import pytest

from batch_endpoints.engine.pipeline.why_it_failed import Ended, why_it_failed

CHAINED = """Traceback (most recent call last):
  File "/code/train.py", line 3, in load
    open("x")
FileNotFoundError: [Errno 2] No such file or directory: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/code/train.py", line 9, in <module>
    main()
  File "/code/lib/io.py", line 5, in main
    raise my.LoadError("no data") from None
  File "/usr/lib/python3/json.py", line 1, in x
lib.io.LoadError: no data
in two lines
"""
SYNTAX = """  File "/code/train.py", line 1
    foo(
       ^
SyntaxError: '(' was never closed
"""


@pytest.mark.parametrize(
    ("code", "stdout", "stderr", "message"),
    [
        (1, "", CHAINED, "lib/io.py:5: lib.io.LoadError: no data (exit code 1)"),
        (1, "", SYNTAX, "train.py:1: SyntaxError: '(' was never closed (exit code 1)"),
        (2, "", CHAINED + "giving up\n", "lib/io.py:5: lib.io.LoadError: no data (exit code 2)"),
        (2, "", CHAINED + "line\n" * 20 + "disk full\n", "line / line / disk full (exit code 2)"),
        (3, "last of stdout\n", "a\nb\n\nc\nd\n", "b / c / d (exit code 3)"),
        (3, "out\n", "", "the command failed: exit code 3"),
        (-9, "", "", "the command failed: killed by SIGKILL, perhaps because memory ran out"),
        (139, "", "", "the command failed: killed by SIGSEGV, a crash in compiled code; exit code 139"),
        (127, "", "bash: line 2: trian: command not found\n", "the command 'trian' was not found"),
        (127, "", "sh: 1: trian: not found\n", "the command 'trian' was not found"),
        (
            126,
            "",
            "bash: line 1: ./run.sh: Permission denied\n",
            "denied: is the file executable",
        ),
    ],
)
def test_the_headline_is_the_exception_or_the_last_lines_of_stderr(code, stdout, stderr, message):
    error = why_it_failed(Ended(code, stdout, stderr, "/code"))
    assert message in error.message


def test_the_details_have_the_end_of_stderr_or_else_of_stdout():
    assert why_it_failed(Ended(1, "out", "err", "/code")).details == "err"
    assert why_it_failed(Ended(1, "out", "", "/code")).details == "out"
