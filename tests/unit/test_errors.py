import pickle

import pytest

from batch_endpoints import errors
from batch_endpoints.errors import BatchEndpointError


def tree(kind):
    return [kind, *(below for sub in kind.__subclasses__() for below in tree(sub))]


# classes that tests define elsewhere are no part of the tree
TREE = [kind for kind in tree(BatchEndpointError) if kind.__module__.startswith("batch_endpoints.")]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_an_error_arrives_whole_in_another_process(kind):
    arrived = pickle.loads(pickle.dumps(kind("no such thing", where="x.yml:3", mend="Make one.")))
    assert type(arrived) is kind
    assert (arrived.what, arrived.where, arrived.mend) == ("no such thing", "x.yml:3", "Make one.")
    assert str(arrived) == "no such thing (x.yml:3)\nMake one."


def test_an_error_without_place_or_remedy_is_one_line():
    assert str(BatchEndpointError("no such thing")) == "no such thing"


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_the_tree_at_the_top_of_the_module_names_every_error(kind):
    assert kind.__name__ in errors.__doc__
    assert kind.code
    assert kind.__doc__
