from batch_endpoints.cli import local_ray
from batch_endpoints.engine import ray_pool


def test_ray_gives_a_driver_that_is_to_end_more_time_than_it_needs_for_its_workers(tmp_path):
    given = float(local_ray._environment(str(tmp_path))["RAY_JOB_STOP_WAIT_TIME_S"])
    assert given >= 3 * ray_pool._CLOSE_SECONDS
