"""Followers of one job share what reads its record and its logs."""

import asyncio
from datetime import datetime, timezone

import pytest

from batch_endpoints.ingress import job_feeds
from batch_endpoints.ingress.job_events import follow
from batch_endpoints.ingress.job_feeds import KEPT_BYTES, JobFeeds
from batch_endpoints.specs import BatchJob, ScoringJob
from batch_endpoints.storage.job.logs import JobLogs

DEADLINE = 60
SPEC = {"name": "one", "deployment": {"name": "xgb", "model": {"path": "/m"}}, "inputs": {}}


class House:
    """A job whose record and logs a test writes, and how often they have been read."""

    def __init__(self, folder):
        self.folder, self.records, self.reads = folder, 0, 0
        (folder / "logs").mkdir()
        self.turn, self.waits = asyncio.Event(), asyncio.Event()
        self.feeds = JobFeeds(self.pause)
        self.status = "Running"

    @property
    def job(self):
        now = datetime(2026, 11, 30, tzinfo=timezone.utc)
        return BatchJob(
            name="one",
            endpoint_name="heart",
            deployment_name="xgb",
            spec=ScoringJob.model_validate(SPEC),
            status=self.status,
            folder=self.folder.as_uri(),
            created_at=now,
            modified_at=now,
        )

    def look(self):
        self.records += 1
        return self.job

    async def pause(self):
        self.waits.set()
        await self.turn.wait()
        self.turn.clear()

    async def next_look(self):
        """Let the reader look once more, and wait until it has."""
        await self.waits.wait()
        self.waits.clear()
        self.turn.set()
        await self.waits.wait()

    async def end(self, status="Completed"):
        await self.waits.wait()
        self.status = status
        self.turn.set()

    def write(self, text, log="driver.log"):
        with (self.folder / "logs" / log).open("a") as file:
            file.write(text)

    def follower(self, **choice):
        return Follower(follow(self.feeds, self.job, self.look, **choice))


class Follower:
    """One client: what it has got, in order."""

    def __init__(self, events):
        self._events, self.got = events, []

    async def until(self, word):
        """Take events up to the one with this word."""
        while True:
            text = await anext(self._events)
            self.got += text.removesuffix("\n\n").split("\n\n")
            if word in text:
                return

    @property
    def lines(self):
        return [one.partition("| ")[2] for one in self.got if one.startswith("event: log")]

    async def leave(self):
        await self._events.aclose()


@pytest.fixture
def story(tmp_path, monkeypatch):
    """Runs a coroutine over a job of its own; its readers are counted."""

    def run(scene):
        async def timed():
            house = House(tmp_path)

            class Counted(JobLogs):
                def added(self, until=None):
                    house.reads += 1
                    return super().added(until)

            monkeypatch.setattr(job_feeds, "JobLogs", Counted)
            await asyncio.wait_for(scene(house), DEADLINE)

        asyncio.run(timed())

    return run


def test_many_followers_cost_as_many_reads_as_one(story):
    async def scene(house):
        house.write("begin\n")
        followers = [house.follower() for _ in range(50)]
        await asyncio.gather(*(one.until("begin") for one in followers))
        await house.waits.wait()
        records, reads = house.records, house.reads
        for number in range(10):
            house.write(f"line {number}\n")
            await house.next_look()
            await asyncio.gather(*(one.until(f"line {number}") for one in followers))
        assert (house.records - records, house.reads - reads) == (10, 10)
        await house.next_look()
        assert house.reads - reads == 10  # where a log has not grown, nothing is read
        house.write("last words")
        await house.end()
        await asyncio.gather(*(one.until("event: end") for one in followers))
        assert house.reads - reads == 11
        assert [one.lines for one in followers] == [["begin", *(f"line {n}" for n in range(10)), "last words"]] * 50

    story(scene)


def test_a_follower_that_takes_nothing_holds_up_no_other_and_misses_nothing(story):
    async def scene(house):
        house.write("2026-11-24T00:29:20.000Z INFO begin\n")
        quick, slow = house.follower(), house.follower()
        await asyncio.gather(quick.until("begin"), slow.until("begin"))
        for number in range(20):  # many more rounds than are kept
            house.write(f"line {number}\nhalf ")
            house.write(f"2026-11-24T00:29:2{number % 10}.000Z INFO worker {number}\n", log="worker-1.log")
            await house.next_look()
            await quick.until(f"worker {number}")
        await house.end("Failed")
        await asyncio.gather(quick.until("event: end"), slow.until("event: end"))
        assert sorted(slow.lines) == sorted(quick.lines)
        assert len(quick.lines) == 1 + 20 + 20 + 1
        assert [one for one in slow.lines if "line" in one] == [one for one in quick.lines if "line" in one]

    story(scene)


@pytest.mark.parametrize("errors", [False, True], ids=["all", "errors"])
def test_who_comes_late_or_was_slow_goes_on_within_a_section(story, errors):
    """What a section is part of is known from its first line, which another reader has read."""

    async def scene(house):
        trouble = "2026-11-24T00:29:20.000Z ERROR try 1 failed for a.csv: ValueError: odd\n"
        house.write(trouble)
        first, slow = house.follower(errors=errors), house.follower(errors=errors)
        await asyncio.gather(first.until("odd"), slow.until("odd"))
        for number in range(8):
            house.write(f"stack {number}\n")
            await house.next_look()
            await first.until(f"stack {number}")
            if number == 0:
                await slow.until("stack 0")  # as the first one got it
        late = house.follower(errors=errors)
        await asyncio.gather(late.until("stack 7"), slow.until("stack 7"))
        house.write("2026-11-24T00:29:21.000Z INFO scores b.csv\nprinted\n")
        await house.end()
        for one in (first, slow, late):
            await one.until("event: end")
            after = [] if errors else ["2026-11-24T00:29:21.000Z INFO scores b.csv", "printed"]
            assert one.lines == [trouble.strip(), *(f"stack {number}" for number in range(8)), *after]

    story(scene)


def test_more_than_is_kept_reaches_all_who_follow(story):
    async def scene(house):
        house.write("begin\n")
        followers = [house.follower() for _ in range(3)]
        await asyncio.gather(*(one.until("begin") for one in followers))
        lines = [f"{number:06} {'x' * 90}" for number in range(3 * KEPT_BYTES // 98)]
        house.write("\n".join(lines) + "\n")
        await house.next_look()
        for one in followers:
            await one.until(lines[-1])
            assert one.lines == ["begin", *lines]
        house.write("small\n")
        reads = house.reads
        await house.next_look()
        await asyncio.gather(*(one.until("small") for one in followers))
        assert house.reads == reads + 1

    story(scene)


def test_the_reader_ends_with_its_last_follower_and_other_choices_have_their_own(story):
    async def scene(house):
        house.write("begin\n")
        one, two, errors = house.follower(), house.follower(), house.follower(errors=True)
        await asyncio.gather(one.until("begin"), two.until("begin"), errors.until("progress"))
        tasks = len(asyncio.all_tasks())
        await one.leave()
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == tasks
        await two.leave()
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == tasks - 1
        await errors.leave()
        assert house.feeds._feeds == {}

    story(scene)


def test_a_job_that_has_been_resumed_is_followed_anew_while_others_still_read_its_first_end(story):
    async def scene(house):
        house.write("first\n")
        old = house.follower()
        await old.until("first")
        await house.end("Failed")
        await old.until("Failed")
        house.status = "Running"
        new = house.follower()
        await new.until("first")
        house.write("second\n")
        await house.next_look()
        await new.until("second")
        assert "Running" in new.got[0]
        await old.until("event: end")
        await new.leave()
        assert house.feeds._feeds == {}

    story(scene)


def test_a_record_that_cannot_be_read_ends_all_who_follow_with_the_reason(story):
    async def scene(house):
        followers = [house.follower() for _ in range(2)]
        await asyncio.gather(*(one.until("progress") for one in followers))
        await house.waits.wait()
        house.status = "no status"
        house.turn.set()
        for one in followers:
            with pytest.raises(ValueError, match="no status"):
                await one.until("event: end")
        assert house.feeds._feeds == {}

    story(scene)
