"""The SDK: endpoints, deployments, assets and jobs of a server, over HTTP, from anywhere.

>>> client = BatchEndpointsClient("http://127.0.0.1:8700")
>>> job = client.invoke("tumor", input="data/").wait()
>>> job.outputs["score"].to_pandas()

``sdk`` is the face, ``jobs`` and ``records`` what it hands out, ``connection`` the HTTP below; ``transfer`` moves
files and ``wire`` makes documents ready to be sent. Importing this loads neither Ray nor pyarrow.
"""

from batch_endpoints.client.job_handle import Job, JobEvent, Output, OutputFile
from batch_endpoints.client.records import Records, Versions
from batch_endpoints.client.sdk import BatchEndpointsClient, Overrides

__all__ = ["BatchEndpointsClient", "Job", "JobEvent", "Output", "OutputFile", "Overrides", "Records", "Versions"]
