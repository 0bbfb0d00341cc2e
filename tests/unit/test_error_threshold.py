import pytest

from batch_endpoints.policies.error_threshold import nothing_succeeded, over_threshold


@pytest.mark.parametrize(
    ("failed", "threshold", "expected"),
    [(0, 0, False), (1, 0, True), (3, 3, False), (4, 3, True), (10**9, -1, False), (0, -1, False)],
    ids=["none of none", "one of none", "as many as allowed", "one more", "any number", "none of any"],
)
def test_a_job_goes_on_until_more_have_failed_than_are_allowed(failed, threshold, expected):
    assert over_threshold(failed, threshold) == expected


@pytest.mark.parametrize(
    ("succeeded", "failed", "expected"), [(0, 0, False), (0, 1, True), (1, 9, False)], ids=["empty", "all", "most"]
)
def test_a_job_in_which_every_item_failed_has_failed(succeeded, failed, expected):
    assert nothing_succeeded(succeeded, failed) == expected
