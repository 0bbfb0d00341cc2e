"""Sequences that hold what their elements are made of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar, overload

T = TypeVar("T")
_AT_ONCE = 1 << 10


class Made(Sequence[T]):
    """Makes an element whenever it is asked for: a million of them take no memory before, and none behind."""

    @abstractmethod
    def make(self, numbers: range) -> Iterable[T]:
        """Some consecutive elements."""

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        if isinstance(at, slice):
            numbers = range(len(self))[at]
            return list(self.make(numbers)) if numbers.step == 1 else [self[number] for number in numbers]
        number = range(len(self))[at]
        return next(iter(self.make(range(number, number + 1))))

    def __iter__(self) -> Iterator[T]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self.make(range(start, min(start + _AT_ONCE, len(self))))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(_equal, self, other))

    __hash__ = None  # type: ignore[assignment]


def _equal(one: object, other: object) -> bool:
    return one == other
