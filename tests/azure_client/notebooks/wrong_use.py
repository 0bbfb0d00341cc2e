"""What goes wrong, and how the client reports it."""

import json

from azure.ai.ml import Input, MLClient
from azure.ai.ml.entities import (
    BatchEndpoint,
    CodeConfiguration,
    Data,
    Model,
    ModelBatchDeployment,
    ModelBatchDeploymentSettings,
)
from azure.identity import DefaultAzureCredential

ml_client = MLClient(DefaultAzureCredential(), "subscription", "group", "workspace")
found = {}


def raises(what, call):
    try:
        call()
    except Exception as error:
        found[what] = [type(error).__name__, str(error)]
    else:
        found[what] = ["nothing", ""]


def deployment(name="scored", model="azureml:m@latest", script="broken.py"):
    return ModelBatchDeployment(
        name=name,
        endpoint_name="wrong-use",
        model=model,
        compute="local",
        code_configuration=CodeConfiguration(code="code", scoring_script=script),
        settings=ModelBatchDeploymentSettings(mini_batch_size=1),
    )


raises("no endpoint", lambda: ml_client.batch_endpoints.get("nowhere"))
ml_client.batch_endpoints.begin_create_or_update(BatchEndpoint(name="wrong-use")).result()
model = ml_client.models.create_or_update(Model(name="m", version="1", path="model"))
raises("name", lambda: ml_client.batch_deployments.begin_create_or_update(deployment(name="d", model=model)).result())
raises("no model", lambda: ml_client.models.get("nowhere", version="1"))
ml_client.data.create_or_update(Data(name="d", version="1", path="data", type="uri_folder"))
raises(
    "other content",
    lambda: ml_client.data.create_or_update(Data(name="d", version="1", path="code", type="uri_folder")),
)
data = Input(type="uri_folder", path="data")
raises("no default", lambda: ml_client.batch_endpoints.invoke(endpoint_name="wrong-use", input=data))
raises("deleted job", lambda: ml_client.jobs.get("no-job"))
found["deleted job"][1] = "no job" if "no-job" in found["deleted job"][1] else found["deleted job"][1]

ml_client.batch_deployments.begin_create_or_update(deployment(model=model)).result()
job = ml_client.batch_endpoints.invoke(endpoint_name="wrong-use", deployment_name="scored", input=data)
raises("failed job", lambda: ml_client.jobs.stream(job.name))
print()
print(json.dumps(found))
