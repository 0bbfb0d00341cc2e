"""Sequences that hold what their elements are made of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar, overload

T = TypeVar("T")
_AT_ONCE = 1 << 10
_KEPT = 64  # neighbours are asked for one behind the other


class LazySequence(Sequence[T]):
    """Makes elements when they are asked for: a million of them take no memory before, and few of them behind."""

    _made: tuple[int, Sequence[T]] = (0, ())  # the last ones, and the number of the first of them

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
        first, made = self._made
        if not first <= number < first + len(made):
            first = number
            made = list(self.make(range(number, min(number + _KEPT, len(self)))))
            self._made = first, made
        return made[number - first]

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_made"}

    def __iter__(self) -> Iterator[T]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self.make(range(start, min(start + _AT_ONCE, len(self))))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(_equal, self, other))

    __hash__ = None  # type: ignore[assignment]


def _equal(one: object, other: object) -> bool:
    return one == other
