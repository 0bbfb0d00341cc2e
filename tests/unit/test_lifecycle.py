from typing import get_args

import pytest

from batch_endpoints.errors import Conflict
from batch_endpoints.policies.lifecycle import check_cancel, check_resume, check_retry_failed, may_move
from batch_endpoints.specs import TERMINAL, JobStatus

STATUSES = get_args(JobStatus)
WALK = ["NotStarted", "Starting", "Preparing", "Provisioning", "Queued", "Running", "Finalizing", "Completed"]


def reachable(status):
    found, ahead = {status}, [status]
    while ahead:
        here = ahead.pop()
        new = [then for then in STATUSES if then not in found and may_move(here, then)]
        found.update(new)
        ahead += new
    return found


@pytest.mark.parametrize("now", sorted(TERMINAL))
@pytest.mark.parametrize("then", STATUSES)
def test_what_has_ended_stays_as_it_is(now, then):
    assert may_move(now, then) == (now == then)


@pytest.mark.parametrize("status", STATUSES)
def test_staying_is_no_move(status):
    assert may_move(status, status)


@pytest.mark.parametrize("status", STATUSES)
def test_every_job_can_reach_an_end(status):
    assert reachable(status) & TERMINAL


@pytest.mark.parametrize("status", STATUSES)
def test_every_open_job_can_be_canceled_and_can_fail(status):
    if status not in TERMINAL:
        assert {"Canceled", "Failed"} <= reachable(status)


@pytest.mark.parametrize("status", [s for s in STATUSES if s not in TERMINAL and s != "CancelRequested"])
def test_a_lost_driver_leads_back_to_another_start(status):
    assert may_move(status, "Starting")


@pytest.mark.parametrize("then", STATUSES)
def test_a_job_that_is_being_canceled_only_ends(then):
    assert may_move("CancelRequested", then) == (then in TERMINAL or then == "CancelRequested")


@pytest.mark.parametrize(("now", "then"), [(a, b) for i, a in enumerate(WALK) for b in WALK[i + 1 :]])
def test_a_launched_job_goes_forward_and_may_skip_what_took_no_time(now, then):
    assert may_move(now, then) == (now != "NotStarted" or then == "Starting")


@pytest.mark.parametrize(
    ("now", "then"), [("Running", "Preparing"), ("Finalizing", "Running"), ("Running", "NotStarted")]
)
def test_nothing_goes_back_but_to_a_start(now, then):
    assert not may_move(now, then)


@pytest.mark.parametrize("status", STATUSES)
def test_only_what_ended_without_completing_is_resumed(status):
    if status in TERMINAL - {"Completed"}:
        check_resume("j", status)
    else:
        with pytest.raises(Conflict, match=f"job 'j' is {status}"):
            check_resume("j", status)


@pytest.mark.parametrize("items_failed", [0, 3])
@pytest.mark.parametrize("status", STATUSES)
def test_failed_items_are_tried_again_in_what_has_ended_also_when_it_has_completed(status, items_failed):
    if status not in TERMINAL:
        with pytest.raises(Conflict, match=f"job 'j' is {status}, and only what has ended is tried again"):
            check_retry_failed("j", status, items_failed)
    elif not items_failed:
        with pytest.raises(Conflict, match="job 'j' has no failed items") as caught:
            check_retry_failed("j", status, items_failed)
        assert ("job resume -n j" in str(caught.value)) == (status != "Completed")
    else:
        check_retry_failed("j", status, items_failed)


@pytest.mark.parametrize("status", STATUSES)
def test_only_what_has_not_ended_can_be_canceled(status):
    if status in TERMINAL:
        with pytest.raises(Conflict, match=rf"job 'j' has ended \({status}\)"):
            check_cancel("j", status)
    else:
        check_cancel("j", status)
