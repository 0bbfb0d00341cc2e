"""What may happen to a job in any order, drivers, clusters and users included: its status moves along legal edges."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from test_controller import House

from batch_endpoints.control_plane.jobs import Jobs
from batch_endpoints.errors import Conflict
from batch_endpoints.interfaces.launcher import Launch
from batch_endpoints.policies.lifecycle import may_begin_again, may_move
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import Invocation, JobState, Progress

LIVE = st.sampled_from(["Preparing", "Provisioning", "Queued", "Running", "Finalizing"])
ENDS = st.sampled_from(["Completed", "Failed", "Canceled"])


class Recorded(MemoryRecordStore):
    """A store that keeps every change of a job."""

    def __init__(self):
        super().__init__()
        self.changes = []

    def update_job(self, name, change):
        before = self.job(name)
        after = super().update_job(name, change)
        self.changes.append((before, after))
        return after


class JobWalk(RuleBasedStateMachine):
    """One job, and all who have a say in it."""

    def __init__(self):
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="walk-"))
        self.house = House(self.place)
        self.house.store = self.store = Recorded()
        self.jobs = Jobs(self.store, None, "", lambda *_: None, lambda: self.house.now)
        self.house.job("a")
        self.controller = self.house.controller()

    def teardown(self):
        shutil.rmtree(self.place)

    def drivers(self):
        return [launch for launch, driver in self.house.cluster.drivers.items() if driver.status == "running"]

    def tells(self, status, failed, ended):
        folder = self.house.folder("a")
        run = folder.run_of(folder.job())
        if (before := run.state()) is None or not before.ended_at:  # a driver that finds a report has nothing to say
            end = self.house.now if ended else None
            progress = Progress(items=9, items_failed=failed)
            run.write_state(JobState(status=status, resumption=run.resumption, ended_at=end, progress=progress))

    @rule()
    def the_controller_looks(self):
        self.controller.reconcile()
        self.house.later()

    @rule()
    def another_controller_takes_over(self):
        self.controller = self.house.controller()

    @precondition(lambda self: self.drivers())
    @rule(status=LIVE, failed=st.integers(0, 2))
    def a_driver_tells(self, status, failed):
        self.tells(status, failed, ended=False)

    @precondition(lambda self: self.drivers())
    @rule(status=ENDS, failed=st.integers(0, 2))
    def a_driver_ends(self, status, failed):
        self.tells(status, failed, ended=True)
        self.house.cluster.drivers[self.drivers()[-1]] = Launch("succeeded")

    @precondition(lambda self: self.drivers())
    @rule(how=st.sampled_from(["failed", "stopped"]))
    def a_driver_is_lost(self, how):
        self.house.cluster.drivers[self.drivers()[-1]] = Launch(how, "killed")

    @rule()
    def the_cluster_is_lost(self):
        self.house.cluster.drivers.clear()

    @rule(ask=st.sampled_from(["cancel", "resume", "retry_failed"]))
    def a_user_asks(self, ask):
        with suppress(Conflict):
            getattr(self.jobs, ask)("a", *[Invocation()] * (ask != "cancel"))

    @invariant()
    def its_status_has_moved_along_legal_edges(self):
        for before, after in self.store.changes:
            again = after.spec.resumption == before.spec.resumption + 1
            legal = may_begin_again if again else may_move
            assert legal(before.status, after.status), f"{before.status} -> {after.status}"
        self.store.changes.clear()

    @invariant()
    def the_record_says_what_the_state_says_when_the_job_has_ended(self):
        job = self.store.job("a")
        assert not job.ended or job.state.status == job.status


JobWalk.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
test_a_job_moves_along_legal_edges_whatever_happens_to_it = JobWalk.TestCase
