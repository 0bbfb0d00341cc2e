import shutil
import threading
from datetime import datetime, timezone

import pytest

from batch_endpoints.errors import Conflict
from batch_endpoints.specs import JobState, Model, ModelDeployment, ScoringJob
from batch_endpoints.storage.files.claim_files import claim_file
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.inputs.listing import list_files
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.outputs import claims
from batch_endpoints.storage.outputs.claims import claim, release, take_over
from batch_endpoints.storage.outputs.named_output import named_output


class Rival:
    """One of several jobs that have the same output."""

    def __init__(self, place, name):
        outputs = {"score": {"path": (place / "out").as_uri()}}
        deployment = ModelDeployment(name="xgb", model=Model(path="/m"))
        self.spec = ScoringJob(name=name, deployment=deployment, inputs={}, outputs=outputs)
        self.place = place / name
        self.folder = JobFolder(writable_place(self.place.as_uri()), self.place.as_uri())
        self.folder.write_job(self.spec)
        self.output = named_output(self.spec, self.folder.uri)

    def claim(self):
        claim(self.output, self.folder)

    def gets_it(self):
        try:
            self.claim()
        except Conflict:
            return False
        return True

    def begins(self):
        self.folder.begin_output()
        take_over(self.output, self.folder)

    def release(self):
        release(self.spec, self.folder)

    def ends(self):
        self.folder.write_state(JobState(status="Failed", ended_at=datetime(2024, 1, 2, tzinfo=timezone.utc)))


def test_a_claim_is_kept_by_all_drivers_of_a_job_until_it_is_given_up(tmp_path):
    a, b = Rival(tmp_path, "a"), Rival(tmp_path, "b")
    a.claim()
    a.claim()
    with pytest.raises(Conflict, match=r"the job in '.*/a' is about to write"):
        b.claim()
    b.release()
    assert not b.gets_it(), "who has claimed nothing gives up nothing"
    a.release()
    assert b.gets_it()
    b.release()
    assert list((tmp_path / "out").iterdir()) == []


def test_the_claim_of_a_job_whose_folder_was_removed_is_not_in_the_way(tmp_path):
    a, b = Rival(tmp_path, "a"), Rival(tmp_path, "b")
    a.claim()
    shutil.rmtree(a.place)
    assert b.gets_it()


@pytest.mark.parametrize("stale", [False, True], ids=["nothing there", "the claim of a job that has ended"])
def test_of_jobs_that_claim_at_the_same_moment_one_gets_it(tmp_path, stale):
    for turn in range(10):
        place = tmp_path / str(turn)
        if stale:
            gone = Rival(place, "gone")
            gone.claim()
            gone.ends()
        rivals, start, winners = [Rival(place, name) for name in "bc"], threading.Barrier(2), []

        def race(rival, start=start, winners=winners):
            start.wait()
            if rival.gets_it():
                winners.append(rival)

        threads = [threading.Thread(target=race, args=[rival]) for rival in rivals]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(winners) == 1


def test_a_job_that_finds_a_claim_stale_does_not_remove_that_of_who_was_faster(tmp_path, monkeypatch):
    gone, b, c = (Rival(tmp_path, name) for name in ["gone", "b", "c"])
    gone.claim()
    gone.ends()
    state, taken = JobFolder.state, []

    def b_is_faster(folder):
        found = state(folder)
        if not taken:
            taken.append(True)
            taken[0] = b.gets_it()
        return found

    monkeypatch.setattr(JobFolder, "state", b_is_faster)
    monkeypatch.setattr(claims, "HURRIED_SECONDS", 0.5)  # where c has the lesser name, it waits for b in vain
    assert (c.gets_it(), taken) == (False, [True])


@pytest.mark.parametrize(
    "holder", ["s3://bucket/job?endpoint_override=http://evil", "https://host/job", "garbage", "ssh://host/job"]
)
@pytest.mark.parametrize("named_by_it", [True, False])
def test_what_no_job_has_put_there_is_not_asked_for(tmp_path, monkeypatch, holder, named_by_it):
    """Others may write to that place, and must not choose what this machine asks."""
    asked = []
    monkeypatch.setattr(claims, "writable_place", lambda uri: asked.append(uri) or writable_place(uri))
    a = Rival(tmp_path, "a")
    planted = tmp_path / "out" / a.output.claims / (claim_file(holder) if named_by_it else "0" * 16)
    planted.parent.mkdir(parents=True)
    planted.write_text(holder)
    a.claim()
    a.begins()
    assert asked == []


def test_who_begins_to_write_tells_those_who_have_ended_and_removes_their_claims(tmp_path):
    gone, failed, b = Rival(tmp_path, "gone"), Rival(tmp_path, "failed"), Rival(tmp_path, "b")
    for ended in (gone, failed):
        assert ended.gets_it()
        ended.ends()
    shutil.rmtree(gone.place)
    b.claim()
    assert failed.folder.output_taken_by == "", "it has written nothing yet"

    b.begins()

    assert failed.folder.output_taken_by == b.place.as_uri()
    b.release()
    assert list((tmp_path / "out").iterdir()) == []
    assert not gone.place.exists()


def test_a_job_that_begins_anew_has_its_output_again(tmp_path):
    a, b = Rival(tmp_path, "a"), Rival(tmp_path, "b")
    a.claim()
    a.ends()
    b.claim()
    b.begins()
    b.ends()
    a.begins()
    assert a.folder.holds_output
    assert not b.folder.holds_output
    assert b.folder.output_taken_by == a.place.as_uri()


def test_claims_in_an_input_folder_are_no_input(tmp_path):
    a = Rival(tmp_path, "a")
    a.claim()
    (tmp_path / "out" / "data.txt").write_text("x")
    for uri in [(tmp_path / "out").as_uri(), f"{tmp_path.as_uri()}/out/**"]:
        assert [file.path for file in list_files(uri).files] == ["data.txt"]
