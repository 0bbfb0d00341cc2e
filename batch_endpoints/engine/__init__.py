"""The engine: how one job runs, from its folder to its output.

__main__.py    python -m batch_endpoints.engine <job folder>
driver.py      the job's stages: prepare, plan, run, finalize
bundle.py      one bundle on one worker: fetch, score, commit
ray_pool.py    bundles on a Ray cluster
local.py       bundles on this machine, without Ray
ray_jobs.py    starts drivers as Ray jobs
"""
