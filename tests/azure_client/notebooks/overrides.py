"""An MLflow model without a script, settings of one job, and a place of one's own for its output."""

import json
from pathlib import Path

from azure.ai.ml import Input, MLClient, Output
from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import (
    BatchEndpoint,
    BatchRetrySettings,
    Environment,
    Model,
    ModelBatchDeployment,
    ModelBatchDeploymentSettings,
)
from azure.identity import DefaultAzureCredential

ml_client = MLClient(DefaultAzureCredential(), "subscription", "group", "workspace")
found = {}
ml_client.batch_endpoints.begin_create_or_update(BatchEndpoint(name="no-code")).result()
model = ml_client.models.create_or_update(Model(name="linear", path="mlflow_model", type=AssetTypes.MLFLOW_MODEL))
deployment = ModelBatchDeployment(
    name="linear-1",
    endpoint_name="no-code",
    model=model,
    environment="azureml:python:1",
    compute="local",
    settings=ModelBatchDeploymentSettings(
        mini_batch_size=2,
        max_concurrency_per_instance=1,
        output_file_name="predictions.csv",
        retry_settings=BatchRetrySettings(max_retries=1, timeout=120),
    ),
)
ml_client.batch_deployments.begin_create_or_update(deployment).result()
endpoint = ml_client.batch_endpoints.get("no-code")
endpoint.defaults.deployment_name = "linear-1"
ml_client.batch_endpoints.begin_create_or_update(endpoint).result()
default_store = ml_client.datastores.get_default()
job = ml_client.batch_endpoints.invoke(
    endpoint_name="no-code",
    inputs={"rows": Input(type=AssetTypes.URI_FOLDER, path="data")},
    outputs={
        "score": Output(
            type=AssetTypes.URI_FILE, path=f"azureml://datastores/{default_store.name}/paths/mine/own.csv"
        )
    },
    params_override=[{"mini_batch_size": "1"}, {"compute.instance_count": "1"}],
    experiment_name="own-experiment",
)
ml_client.jobs.stream(job.name)
found["status"] = ml_client.jobs.get(job.name).status
ml_client.jobs.download(name=job.name, download_path="out", output_name="score")
[rows] = Path("out/named-outputs/score").rglob("own.csv")
found["rows"] = sorted(rows.read_text().splitlines())

job = ml_client.batch_endpoints.invoke(
    endpoint_name="no-code",
    input=Input(type=AssetTypes.URI_FOLDER, path=f"azureml://datastores/{default_store.name}/paths/mine"),
    job_name="second-name",
)
found["second"] = job.name
ml_client.jobs.cancel(job.name) if hasattr(ml_client.jobs, "cancel") else ml_client.jobs.begin_cancel(
    job.name
).result()
environment = Environment(name="scoring", image="ubuntu", conda_file="conda.yml")
environment = ml_client.environments.create_or_update(environment)
again = ml_client.environments.get("scoring", label="latest")
found["environment"] = [environment.version, again.conda_file["dependencies"]]
found["names"] = [one.name for one in ml_client.environments.list() if one.name != "python"]
ml_client.models.archive("linear")
found["models"] = [one.name for one in ml_client.models.list() if one.name == "linear"]
print()
print(json.dumps(found))
