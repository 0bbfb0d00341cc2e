"""Objects of a store that are read from their beginning to their end, some of it ahead."""

import random
import threading
from itertools import pairwise

import pytest

from batch_endpoints.storage.files import object_streams
from batch_endpoints.storage.files.object_streams import ObjectReader
from batch_endpoints.storage.tables.text_records import blocks

SOME = 10  # seconds, for what takes none


def reader(data, piece=None, begin=5):
    return ObjectReader(piece or (lambda at, length: data[at : at + length]), data[:begin], len(data))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(object_streams, "_FIRST_BYTES", 10)
    monkeypatch.setattr(object_streams, "PIECE_BYTES", 40)


@pytest.mark.parametrize("size", [0, 1, 5, 10, 11, 30, 70, 71, 1000])
@pytest.mark.parametrize("start", [0, 3, 7])
def test_all_of_it_comes_in_its_order(size, start):
    data = bytes(n % 251 for n in range(size))
    file = reader(data)
    file.seek(start)
    pieces = list(file.ahead())
    assert b"".join(pieces) == data[start:]
    assert max(map(len, pieces), default=0) <= 40


def test_who_looks_at_the_beginning_asks_once_and_others_have_several_pieces_on_their_way():
    data, asked = bytes(1000), []
    together = threading.Barrier(4)

    def piece(at, length):
        asked.append(at)
        if at >= 10:
            together.wait(SOME)  # four at once, or an error
        return data[at : at + length]

    pieces = reader(data[:170], piece).ahead()  # 10, 20, 40, 40, 40 and 20 more
    next(pieces)
    assert asked == [5]
    assert [len(next(pieces)) for _ in range(1)] == [20]
    assert sorted(asked[1:5]) == [10, 30, 70, 110]


def test_what_a_store_says_is_told_where_it_is_wanted():
    def piece(at, length):
        if at > 50:
            raise TimeoutError("the store is silent")
        return bytes(length)

    pieces = reader(bytes(200), piece).ahead()
    assert len(next(pieces)) + len(next(pieces)) + len(next(pieces)) == 70
    with pytest.raises(TimeoutError, match="silent"):
        next(pieces)


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_no_block_ends_between_cr_and_lf(monkeypatch, block):
    monkeypatch.setattr("batch_endpoints.storage.tables.text_records.BLOCK_BYTES", block)
    data = b"a\r\nb\r\r\nccc\r\n\r\n\rd\r"
    found = list(blocks(reader(data)))
    assert b"".join(found) == data
    assert not any(one.endswith(b"\r") and two.startswith(b"\n") for one, two in pairwise(found))


@pytest.mark.parametrize("seed", range(20))
def test_what_will_be_needed_is_asked_for_at_once_and_each_byte_of_it_once(seed, monkeypatch):
    monkeypatch.setattr(object_streams, "_NEAR_BYTES", 5)
    rng = random.Random(seed)
    data, asked = rng.randbytes(500), []

    def piece(at, length):
        asked.append((at, at + length))
        return data[at : at + length]

    file = reader(data, piece)
    ranges = [(at, at + rng.randrange(1, 90)) for at in rng.sample(range(500), 4)]  # some end beyond the file
    file.will_need(ranges)
    for start, end in rng.sample(ranges, 4):
        file.seek(start)
        assert file.read(end - start) == data[start:end]
    several = [(min(a, 500), min(b, 500)) for a, b in asked]
    assert sum(b - a for a, b in several) == len({byte for a, b in several for byte in range(a, b)})
    assert all(a < b <= 500 for a, b in asked)
    at, length = rng.randrange(500), rng.randrange(200)
    file.seek(at)
    assert file.read(length) == data[at : at + length], "also what nobody has asked for before"


def test_what_will_be_needed_comes_together():
    together = threading.Barrier(3)

    def piece(at, length):
        together.wait(SOME)  # three at once, or an error
        return bytes(length)

    file = reader(bytes(2_000_000), piece)
    file.will_need([(1_000, 1_010), (600_000, 600_010), (1_500_000, 1_500_010)])
    file.seek(600_000)
    assert len(file.read(10)) == 10
