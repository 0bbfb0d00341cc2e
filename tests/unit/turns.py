"""Threads that go on step by step, in whatever order a test chooses; see ``Stepper``."""

import threading
from contextlib import contextmanager, suppress


class Stepper(threading.Thread):
    """A thread that goes on to its next ``step()`` when it is told to, and waits there: only one ever runs.

    What it has ended with is in ``failure``.
    """

    def __init__(self, act):
        super().__init__(daemon=True)
        self._act, self._error = act, None
        self._go, self._waits = threading.Semaphore(0), threading.Semaphore(0)
        self.ended, self.failure = False, None
        self.start()

    def advance(self, error=None):
        """Let it go on until it waits again or has ended.

        Args:
            error: comes up where it waits, unless it has not begun.
        """
        if not self.ended:
            self._error = error
            self._go.release()
            assert self._waits.acquire(timeout=30), "it waits for something that is no step"

    def run(self):
        self._go.acquire()
        try:
            self._act()
        except BaseException as error:
            self.failure = error
        self.ended = True
        self._waits.release()

    def step(self):
        self._error = None
        self._waits.release()
        self._go.acquire()
        if self._error:
            raise self._error


def step():
    """Here others may come between, or an error."""
    threading.current_thread().step()


class StepwiseLock:
    """A lock for such threads: who waits for it waits in steps."""

    def __init__(self):
        self._held = False

    def acquire(self):
        while self._held:
            with suppress(Exception):  # what waits for a lock does nothing that could fail
                step()
        self._held = True

    def release(self):
        self._held = False

    def __enter__(self):
        self.acquire()

    def __exit__(self, *_):
        self.release()


class StepwiseFilesystem:
    """A file system each operation of which is between two steps: before its effect, and behind it."""

    def __init__(self, files):
        self._files, self.disk = files, files.disk

    def __getattr__(self, name):
        operation = getattr(self._files, name)

        def stepwise(*arguments):
            step()
            result = operation(*arguments)
            step()
            return result

        return stepwise

    @contextmanager
    def open_output(self, path):
        step()
        with self._files.open_output(path) as file:
            yield file
            step()
        step()
