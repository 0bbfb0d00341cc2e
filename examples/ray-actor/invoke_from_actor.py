"""A Ray actor that scores a folder through an endpoint and works on with the predictions.

    eval "$(batch-endpoints token --ray)"
    ray job submit -- python examples/ray-actor/invoke_from_actor.py http://127.0.0.1:8700 tumor data/

The client holds no open connection, so it can be sent to tasks and actors like any value. It leaves the server's
token behind, and looks for one where it arrives: in the home of the server there, or as the environment says. For the
other nodes of a cluster that is:

    ray job submit --runtime-env-json '{"env_vars": {"BATCH_ENDPOINTS_TOKEN_FILE": "/mnt/shared/token"}}' -- …

A fourth argument names a resource of the node that the actor is to run on.
"""

import sys
from collections import Counter

import ray

from batch_endpoints import BatchEndpointsClient


@ray.remote(num_cpus=0)
class Ward:
    """Keeps the counts of all that it has had scored."""

    def __init__(self, client: BatchEndpointsClient, endpoint: str) -> None:
        self.client, self.endpoint = client, endpoint
        self.seen: Counter[int] = Counter()

    def admit(self, folder: str) -> dict[int, int]:
        job = self.client.invoke(self.endpoint, input=folder).wait()
        self.seen.update(job.outputs["score"].to_pandas()["prediction"].tolist())
        return dict(self.seen)


if __name__ == "__main__":
    url, endpoint, folder, *place = sys.argv[1:]
    ray.init()
    ward = Ward.options(resources=dict.fromkeys(place, 0.001)).remote(BatchEndpointsClient(url), endpoint)
    print(ray.get(ward.admit.remote(folder)))
