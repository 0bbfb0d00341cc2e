"""The user's code: a host process that runs it, and the worker's side that feeds, times and understands it.

host.py            runs in the deployment's own interpreter; standard library only
mlflow_driver.py   what the host loads where an MLflow model needs no script
pandas_files.py    what that one reads with pandas
host_process.py    starts a host, talks to it, ends it
contract.py        what a reply means: rows, and which items have a result
worker.py          one mini-batch: call, retry, account
"""
