import logging
import random
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest

from batch_endpoints.controller import reconcile
from batch_endpoints.controller.reconcile import LOOK_SECONDS, PENDING_SECONDS, Controller
from batch_endpoints.errors import InputError, ServerError
from batch_endpoints.interfaces.launcher import Launch
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import BatchJob, JobError, JobState, Model, ModelDeployment, Progress, ScoringJob
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.job_folder import JobFolder

BEGIN = datetime(2024, 1, 2, tzinfo=timezone.utc)


class Killed(BaseException):
    """The controller's process is gone."""


class Launcher:
    """Drivers as entries of a dictionary; a launch id is taken once, as Ray takes a submission id."""

    def __init__(self):
        self.drivers, self.launched, self.stopped, self.looks = {}, [], [], []
        self.before = lambda call: None

    def launch(self, launch_id, folder):
        self.before("launch")
        if launch_id not in self.drivers:
            self.drivers[launch_id] = Launch("running")
            self.launched.append(launch_id)

    def look(self, launch_id):
        self.before("look")
        self.looks.append(launch_id)
        return self.drivers.get(launch_id, Launch("absent"))

    def stop(self, launch_id):
        self.before("stop")
        self.stopped.append(launch_id)


class House:
    """A store, a cluster and a clock; controllers come and go."""

    def __init__(self, root):
        self.root, self.store, self.cluster, self.now = root, MemoryRecordStore(), Launcher(), BEGIN
        self.made = 0

    def controller(self, **changes):
        return Controller(self.store, self.cluster, clock=lambda: self.now, **{"max_running_jobs": 4, **changes})

    def job(self, name, status="NotStarted", launches=0, folder=None):
        self.made += 1
        made = BEGIN - timedelta(hours=1) + timedelta(seconds=self.made)
        deployment = ModelDeployment(name="xgb", model=Model(path="/m"))
        job = BatchJob(
            name=name,
            endpoint_name="heart",
            deployment_name="xgb",
            spec=ScoringJob(name=name, deployment=deployment, inputs={}),
            folder=folder or (self.root / name).as_uri(),
            status=status,
            launches=launches,
            created_at=made,
            modified_at=made,
        )
        self.store.add_job(job)
        return job

    def folder(self, name):
        return JobFolder(Disk(self.root / name), (self.root / name).as_uri())

    def tells(self, name, status, ended=False, **more):
        """What the driver writes."""
        self.folder(name).write_state(JobState(status=status, ended_at=self.now if ended else None, **more))

    def status(self, name):
        return self.store.job(name).status

    def later(self, seconds=LOOK_SECONDS):
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_a_job_goes_from_its_record_to_its_report(house):
    house.job("a")
    controller = house.controller()
    assert controller.reconcile()
    assert (house.status("a"), house.store.job("a").launches) == ("Starting", 1)
    assert house.cluster.launched == ["a"]
    assert house.folder("a").job().name == "a"
    house.tells("a", "Running", progress=Progress(items=9, items_succeeded=3))
    assert controller.reconcile()
    assert (house.status("a"), house.store.job("a").state.progress.items_succeeded) == ("Running", 3)
    house.tells("a", "Completed", ended=True)
    controller.reconcile()
    assert (house.status("a"), house.store.job("a").state.ended_at) == ("Completed", house.now)
    assert not controller.reconcile()


def test_jobs_are_admitted_first_in_first_out_up_to_the_limit(house):
    names = [f"job-{letter}" for letter in "zyxwv"]  # the order of their names is not that of their making
    for name in names:
        house.job(name)
    controller = house.controller(max_running_jobs=2)
    controller.reconcile()
    controller.reconcile()
    assert house.cluster.launched == names[:2]
    house.tells(names[1], "Failed", ended=True)
    controller.reconcile()
    assert house.cluster.launched == names[:3]
    assert house.status(names[3]) == "NotStarted"


def test_a_lost_driver_is_replaced_until_its_launches_are_used_up(house):
    house.job("a")
    controller = house.controller()
    controller.reconcile()
    for launch_id, next_id in [("a", "a-launch-2"), ("a-launch-2", "a-launch-3")]:
        house.tells("a", "Running")
        controller.reconcile()
        house.cluster.drivers[launch_id] = Launch("failed", "Traceback …\nkilled by signal 9")
        house.later()
        controller.reconcile()
        assert house.cluster.launched[-1] == next_id
        assert house.status("a") == "Starting"
    house.cluster.drivers["a-launch-3"] = Launch("failed", "Traceback …\nkilled by signal 9")
    house.later()
    controller.reconcile()
    job = house.store.job("a")
    assert (job.status, job.launches, job.state.status) == ("Failed", 3, "Failed")
    assert job.state.error == JobError(
        code="DriverLost",
        message="the job's driver was lost 3 times; the last time: killed by signal 9",
        details="Traceback …\nkilled by signal 9",
    )
    assert not controller.reconcile()


def test_launches_count_anew_once_the_job_has_got_on(house):
    house.job("a")
    controller = house.controller()
    controller.reconcile()
    for done in [1, 2, 3, 3, 4, 4, 4]:  # by each driver, before it is lost
        assert house.status("a") == "Starting"
        house.tells("a", "Running", progress=Progress(mini_batches=9, mini_batches_done=done))
        house.cluster.drivers[house.cluster.launched[-1]] = Launch("failed", "killed by signal 9")
        house.later()
        controller.reconcile()
    assert (house.status("a"), house.store.job("a").launches) == ("Starting", 8)
    house.cluster.drivers[house.cluster.launched[-1]] = Launch("failed", "killed by signal 9")
    house.later()
    controller.reconcile()
    assert house.store.job("a").state.error.message.startswith("the job's driver was lost 3 times")


def test_what_a_lost_driver_told_last_is_not_taken_for_its_successors_word(house):
    house.job("a")
    controller = house.controller()
    controller.reconcile()
    house.tells("a", "Running")  # and dies before anybody has read it
    house.cluster.drivers["a"] = Launch("failed")
    controller.reconcile()
    controller.reconcile()
    assert house.status("a") == "Starting"
    house.tells("a", "Preparing")
    controller.reconcile()
    assert house.status("a") == "Preparing"


@pytest.mark.parametrize("status", ["failed", "stopped", "succeeded", "running", "absent"])
def test_the_drivers_report_wins_over_what_ray_says(house, status):
    house.job("a", "Running", launches=1)
    house.tells("a", "Completed", ended=True)
    if status != "absent":
        house.cluster.drivers["a"] = Launch(status)
    house.controller().reconcile()
    assert house.status("a") == "Completed"
    assert house.cluster.launched == []


@pytest.mark.parametrize("told", ["Running", "Completed"])
def test_a_controller_that_is_late_does_not_tell_of_the_run_before(house, told):
    house.job("a", "Finalizing" if told == "Completed" else "Starting", launches=1)
    house.cluster.drivers["a"] = Launch("running")
    house.tells("a", told, ended=told == "Completed")
    update = house.store.update_job

    def another_was_faster(name, change):
        house.store.update_job = update
        spec = house.store.job("a").spec.model_copy(update={"resumption": 1, "retries": 1})
        update(name, lambda job: job.replaced(status="NotStarted", spec=spec))
        return update(name, change)

    house.store.update_job = another_was_faster
    house.controller().reconcile()
    assert house.store.update_job is update
    assert house.store.job("a").state.status == "NotStarted"
    assert house.status("a") in ("NotStarted", "Starting")
    assert house.cluster.launched in ([], ["a-launch-2"])


def test_a_report_written_just_before_the_driver_ended_is_seen(house):
    house.job("a", "Running", launches=1)

    def report(call):
        house.tells("a", "Completed", ended=True)
        house.cluster.drivers["a"] = Launch("succeeded")

    house.cluster.before = report
    house.controller().reconcile()
    assert house.status("a") == "Completed"


def test_a_driver_that_ends_without_a_report_is_lost_even_if_ray_is_content(house):
    house.job("a", "Running", launches=1)
    house.cluster.drivers["a"] = Launch("succeeded")
    house.controller().reconcile()
    assert house.cluster.launched == ["a-launch-2"]


def test_a_controller_killed_between_record_and_launch_is_followed_by_one_that_launches(house):
    house.job("a")

    def die(call):
        raise Killed

    house.cluster.before = die
    with pytest.raises(Killed):
        house.controller().reconcile()
    assert (house.status("a"), house.cluster.launched) == ("Starting", [])
    house.cluster.before = lambda call: None
    for _ in range(3):
        house.controller().reconcile()
        house.later()
    assert (house.cluster.launched, house.store.job("a").launches) == (["a"], 1)


def test_jobs_of_a_cluster_that_is_gone_are_launched_again_without_using_up_a_launch(house):
    house.job("a", "Running", launches=2)
    house.tells("a", "Running")
    controller = house.controller()
    controller.reconcile()
    job = house.store.job("a")
    assert (house.cluster.launched, job.launches, job.status) == (["a-launch-2"], 2, "Starting")


def test_a_cluster_that_does_not_answer_keeps_no_job_from_its_end(house, caplog):
    house.job("a", "Running", launches=1)
    house.job("b", "Running", launches=1)
    house.tells("b", "Completed", ended=True)
    house.job("c")

    def away(call):
        raise ServerError("Ray does not answer")

    house.cluster.before = away
    controller = house.controller()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            controller.reconcile()
            house.later()
    assert [house.status(name) for name in "abc"] == ["Running", "Completed", "Starting"]
    assert len([r for r in caplog.records if "'a'" in r.message]) == 1, "the same thing is told once"
    house.cluster.before = lambda call: None
    controller.reconcile()
    assert house.cluster.launched == ["a", "c"]


@pytest.mark.parametrize("broken", ["a file in its place", "a report that is none", "a store that is none"])
def test_one_broken_job_folder_does_not_keep_the_others_waiting(house, broken):
    house.job("a", "Running", launches=1, folder="s3://bucket/a" if broken == "a store that is none" else None)
    house.cluster.drivers["a"] = Launch("running")
    if broken == "a file in its place":
        (house.root / "a").write_text("")
    elif broken == "a report that is none":
        house.folder("a").files.replace("report.json", b"{")
    house.job("b")
    house.controller().reconcile()
    assert house.cluster.launched == ["b"]
    assert house.status("b") == "Starting"


@pytest.mark.parametrize("resumption", [0, 2])
@pytest.mark.parametrize(
    ("launch", "status"), [(Launch("failed", "out of memory"), "Failed"), (Launch("stopped"), "Canceled")]
)
def test_the_job_folder_tells_of_an_end_that_no_driver_could_report(house, launch, status, resumption):
    job = house.job("a", "Running", launches=1)
    spec = job.spec.model_copy(update={"resumption": resumption})
    house.store.update_job("a", lambda now: now.replaced(spec=spec))
    house.folder("a").write_job(spec)
    house.cluster.drivers["a"] = launch
    house.controller(max_launches=1).reconcile()
    told = house.folder("a").run_of(spec).state()
    assert (told.status, told.ended_at, told.error) == (status, house.now, house.store.job("a").state.error)


@pytest.fixture
def silent(monkeypatch):
    """Buckets that do not answer, and what was asked of them."""
    asked = []

    class Silent:
        def __init__(self, uri):
            self.uri = uri

        def read(self, path):
            asked.append(self.uri)
            raise TimeoutError(f"the store of {self.uri} does not answer")

        exists = read

        def replace(self, path, data):
            self.read(path)

        put_if_absent = replace

    at = reconcile.writable_place
    monkeypatch.setattr(reconcile, "writable_place", lambda uri: Silent(uri) if uri.startswith("s3:") else at(uri))
    return asked


def test_a_store_that_does_not_answer_is_asked_once_in_a_tick(house, silent):
    for name in "abc":
        house.job(name, "Running", launches=1, folder=f"s3://silent/{name}")
    house.job("d", "Running", launches=1, folder="s3://other/d")
    house.job("e", "Running", launches=1)
    house.tells("e", "Completed", ended=True)
    controller = house.controller()
    controller.reconcile()
    assert silent == ["s3://silent/a", "s3://other/d"]
    assert house.status("e") == "Completed"
    controller.reconcile()
    assert silent == ["s3://silent/a", "s3://other/d"] * 2, "it may answer again"


def test_canceled_jobs_out_of_reach_end_once_no_driver_lives(house, silent):
    for name in "ab":
        house.job(name, "CancelRequested", launches=1, folder=f"s3://silent/{name}")
        house.cluster.drivers[name] = Launch("running")
    controller = house.controller()
    controller.reconcile()
    assert house.cluster.stopped == ["a", "b"]
    assert house.status("a") == house.status("b") == "CancelRequested"
    for name in "ab":
        house.cluster.drivers[name] = Launch("stopped")
    house.later()
    controller.reconcile()
    assert house.status("a") == house.status("b") == "Canceled"
    assert house.store.job("a").state.ended_at == house.now
    assert silent == ["s3://silent/a"] * 2


def test_a_job_whose_folder_can_never_be_written_fails_and_says_why(house, monkeypatch):
    def put(files, path, data):
        raise InputError("job folders cannot live here", mend="Name another disk.")

    house.job("a")
    monkeypatch.setattr(Disk, "put_if_absent", put)
    house.controller().reconcile()
    job = house.store.job("a")
    assert (job.status, house.cluster.launched) == ("Failed", [])
    assert job.state.error == JobError(
        code="InvalidInput", message="job folders cannot live here", details="Name another disk."
    )


class TestCancel:
    def test_a_job_that_was_not_launched_yet_ends_at_once(self, house):
        house.job("a", "CancelRequested", launches=1)
        house.controller().reconcile()
        assert (house.status("a"), house.cluster.launched) == ("Canceled", [])
        assert house.folder("a").cancel_asked

    def test_a_job_canceled_before_it_was_admitted_is_never_launched(self, house):
        job = house.job("a")
        controller = house.controller()
        house.store.update_job("a", lambda now: now.replaced(status="Canceled"))
        controller._with_care(job, controller._launch)  # admitted from a list that was read before
        assert (house.status("a"), house.cluster.launched) == ("Canceled", [])

    @pytest.mark.parametrize("status", ["Starting", "Running"])
    def test_a_running_driver_is_stopped_at_once_and_writes_its_report(self, house, status):
        house.job("a", status, launches=1)
        house.cluster.drivers["a"] = Launch("running")
        controller = house.controller()
        controller.reconcile()
        house.store.update_job("a", lambda now: now.replaced(status="CancelRequested"))
        controller.reconcile()
        assert house.cluster.stopped == ["a"]
        assert house.folder("a").cancel_asked
        assert house.status("a") == "CancelRequested"
        house.tells("a", "Canceled", ended=True)
        controller.reconcile()
        assert house.status("a") == "Canceled"

    def test_a_driver_is_not_stopped_again_at_every_look_of_a_tick(self, house):
        house.job("a", "CancelRequested", launches=1)
        house.cluster.drivers["a"] = Launch("running")
        controller = house.controller()
        for _ in range(6):
            controller.reconcile()
            house.later(LOOK_SECONDS / 5)
        assert house.cluster.stopped == ["a", "a"]

    @pytest.mark.parametrize("away", ["read", "put_if_absent"])
    def test_a_driver_is_stopped_also_while_its_job_folder_cannot_be_reached(self, house, monkeypatch, caplog, away):
        def nobody_answers(*arguments):
            raise TimeoutError("the store does not answer")

        house.job("a", "CancelRequested", launches=1)
        house.cluster.drivers["a"] = Launch("running")
        with monkeypatch.context() as patched:
            patched.setattr(Disk, away, nobody_answers)
            house.controller().reconcile()
        assert (house.cluster.stopped, house.status("a")) == (["a"], "CancelRequested")
        assert "the store does not answer" in caplog.text
        house.cluster.drivers["a"] = Launch("stopped")
        house.controller().reconcile()
        assert house.status("a") == "Canceled"

    @pytest.mark.parametrize("end", ["failed", "stopped", "succeeded"])
    def test_a_driver_that_dies_of_it_is_not_replaced(self, house, end):
        house.job("a", "CancelRequested", launches=1)
        house.cluster.drivers["a"] = Launch(end)
        house.controller().reconcile()
        job = house.store.job("a")
        assert (job.status, job.state.status, house.cluster.launched) == ("Canceled", "Canceled", [])

    def test_a_job_that_was_about_to_complete_may_do_so(self, house):
        house.job("a", "CancelRequested", launches=1)
        house.tells("a", "Completed", ended=True)
        house.controller().reconcile()
        assert house.status("a") == "Completed"

    def test_a_job_canceled_while_its_lost_driver_is_replaced_is_not_launched(self, house):
        house.job("a", "Running", launches=1)
        house.cluster.drivers["a"] = Launch("failed")
        house.tells("a", "Running", progress=Progress(items=1))
        house.cluster.before = lambda call: house.store.update_job(
            "a", lambda now: now.replaced(status="CancelRequested")
        )
        controller = house.controller()
        controller.reconcile()
        assert house.cluster.launched == []
        controller.reconcile()
        assert house.status("a") == "Canceled"

    def test_a_driver_launched_while_another_controller_closed_its_job_is_stopped(self, house):
        house.job("a")

        def close(call):
            house.store.update_job("a", lambda now: now.replaced(status="Canceled"))

        house.cluster.before = close
        house.controller().reconcile()
        assert house.status("a") == "Canceled"
        assert house.cluster.stopped == house.cluster.launched == ["a"]


def test_a_jobs_uid_names_its_launches_whatever_others_are_called(house):
    house.store.add_job(house.job("v2").replaced(uid="uid-1", name="v3"))
    job = house.store.update_job("v3", lambda job: job.replaced(launches=2))
    assert job.launch_id == "uid-1-launch-2"


def test_a_driver_that_ray_does_not_start_ends_its_job_with_the_reason(house):
    house.job("a")
    house.job("b")
    controller = house.controller(max_running_jobs=1)
    controller.reconcile()
    house.cluster.drivers["a"] = Launch("pending", "Job has not started yet.")
    house.later()
    controller.reconcile()
    house.later(PENDING_SECONDS - 1)
    controller.reconcile()
    assert (house.status("a"), house.cluster.stopped) == ("Starting", [])
    house.later(1)
    controller.reconcile()
    error = house.store.job("a").state.error
    assert (house.status("a"), error.code, error.details) == (
        "Failed",
        "DriverNotStarted",
        "Job has not started yet.",
    )
    assert "within 300 s" in error.message
    assert house.cluster.stopped == ["a"]
    assert house.cluster.launched == ["a", "b"], "its place is free"


def test_a_driver_that_starts_late_is_waited_for(house):
    house.job("a")
    controller = house.controller()
    controller.reconcile()
    for status in ("pending", "running"):
        house.cluster.drivers["a"] = Launch(status)
        house.later(PENDING_SECONDS - 1)
        controller.reconcile()
    house.later(PENDING_SECONDS)
    controller.reconcile()
    assert house.status("a") == "Starting"


@pytest.mark.parametrize("reachable", [True, False])
def test_a_canceled_job_ends_at_once_while_its_driver_is_pending(house, reachable, silent):
    folder = None if reachable else "s3://silent/a"
    house.job("a", "CancelRequested", launches=1, folder=folder)
    house.cluster.drivers["a"] = Launch("pending")
    house.controller().reconcile()
    assert (house.status("a"), house.cluster.stopped) == ("Canceled", ["a"])
    assert not reachable or house.folder("a").cancel_asked


def test_a_job_stopped_through_ray_is_canceled(house):
    house.job("a", "Running", launches=1)
    house.cluster.drivers["a"] = Launch("stopped")
    house.controller().reconcile()
    job = house.store.job("a")
    assert (job.status, job.state.error.message) == ("Canceled", "stopped through Ray Jobs")


def test_ray_is_asked_once_a_second_and_the_job_folder_at_every_tick(house):
    house.job("a", "Starting", launches=1)
    house.cluster.drivers["a"] = Launch("running")
    controller = house.controller()
    for tick in range(10):
        house.tells("a", "Running", progress=Progress(items=9, items_succeeded=tick))
        controller.reconcile()
        assert house.store.job("a").state.progress.items_succeeded == tick
        house.later(LOOK_SECONDS / 5)
    assert house.cluster.looks == ["a", "a"]
    house.tells("a", "Completed", ended=True)
    controller.reconcile()
    assert house.status("a") == "Completed"
    assert house.cluster.looks == ["a", "a"]


@pytest.mark.parametrize("seed", range(40))
def test_controllers_that_interleave_and_die_launch_every_driver_once(tmp_path, seed):
    rng = random.Random(seed)
    house = House(tmp_path)
    names = [f"job-{number}" for number in range(3)]
    for name in names:
        house.job(name)
    depth = 0

    def disturb(call):
        """At any step another controller may do its whole round, or this one may die."""
        nonlocal depth
        if depth < 2 and rng.random() < 0.4:
            depth += 1
            try:
                house.controller(max_running_jobs=2).reconcile()
            finally:
                depth -= 1
        if rng.random() < 0.2:
            raise Killed

    update = house.store.update_job

    def update_job(name, change):
        disturb("update")
        job = update(name, change)
        disturb("updated")
        return job

    house.store.update_job = update_job
    house.cluster.before = disturb
    canceled = rng.sample(names, 1)
    for _ in range(30):
        with suppress(Killed):
            house.controller(max_running_jobs=2).reconcile()
        house.later()
        running = [i for i, driver in house.cluster.drivers.items() if driver.status == "running"]
        for launch_id in rng.sample(running, min(1, len(running))):
            name = launch_id.partition("-launch-")[0]
            match rng.randrange(4):
                case 0:
                    house.cluster.drivers[launch_id] = Launch("failed")
                case 1:
                    house.cluster.drivers[launch_id] = Launch("succeeded")
                    if launch_id not in house.cluster.stopped:
                        house.tells(name, "Completed", ended=True)
                case 2:
                    house.tells(name, "Running")
            if name in canceled and house.status(name) not in ("Completed", "Failed", "Canceled"):
                update(name, lambda now: now.replaced(status="CancelRequested"))
    house.cluster.before, house.store.update_job = (lambda call: None), update
    for _ in range(40):
        house.controller(max_running_jobs=2).reconcile()
        house.later()
        for launch_id, driver in house.cluster.drivers.items():
            if driver.status == "running":
                name = launch_id.partition("-launch-")[0]
                house.cluster.drivers[launch_id] = Launch("succeeded")
                house.tells(name, "Canceled" if house.folder(name).cancel_asked else "Completed", ended=True)
    jobs = {name: house.store.job(name) for name in names}
    assert all(job.ended for job in jobs.values())
    assert len(house.cluster.launched) == len(set(house.cluster.launched))
    for name, job in jobs.items():
        mine = [i for i in house.cluster.launched if i.partition("-launch-")[0] == name]
        assert mine == [name, f"{name}-launch-2", f"{name}-launch-3"][: len(mine)]
        assert len(mine) <= job.launches <= 3
        if job.status == "Failed":
            assert job.launches == 3
