"""The engine: how one job runs, from its folder to its output.

__main__.py           python -m batch_endpoints.engine <job folder>
driver.py             the job's stages: prepare, plan, run, finalize
rounds.py             all of the plan is scored, and then what has failed
bundle.py             one bundle on one worker: score, commit
mini_batch_scorer.py  one mini-batch: fetch, score
local.py              bundles on this machine, without Ray
on_ray/               bundles on a Ray cluster, by Ray Data; drivers as Ray jobs
"""
