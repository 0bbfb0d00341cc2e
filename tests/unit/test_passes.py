"""What lets a browser see the documentation."""

import pytest

from batch_endpoints.policies.passes import issue_pass, pass_nonce

NONCE = "0123456789abcdef" * 2


def test_a_pass_is_good_until_it_expires():
    text = issue_pass("token", "link", expires=1000, nonce=NONCE)
    assert pass_nonce("token", "link", text, now=999.9) == NONCE
    assert pass_nonce("token", "link", text, now=1000) == ""


@pytest.mark.parametrize(
    ("token", "kind", "change"),
    [
        ("another", "link", ("", "")),
        ("token", "session", ("", "")),
        ("token", "link", ("1000.", "9000.")),
        ("token", "link", ("0123", "3210")),
        ("token", "link", (".", "-")),
    ],
    ids=["another token", "a link is no session", "a later end", "another nonce", "no pass at all"],
)
def test_a_pass_that_was_not_issued_so_is_worth_nothing(token, kind, change):
    text = issue_pass("token", "link", expires=1000, nonce=NONCE).replace(*change)
    assert pass_nonce(token, kind, text, now=0) == ""
