"""Azure's own notebook for a model with a scoring script, with two deployments and a switch of the default."""

import json
from pathlib import Path

from azure.ai.ml import Input, MLClient
from azure.ai.ml.constants import AssetTypes, BatchDeploymentOutputAction
from azure.ai.ml.entities import (
    BatchEndpoint,
    BatchRetrySettings,
    CodeConfiguration,
    Data,
    Model,
    ModelBatchDeployment,
    ModelBatchDeploymentSettings,
)
from azure.identity import DefaultAzureCredential

ml_client = MLClient(DefaultAzureCredential(), "subscription", "group", "workspace")
found = {}

endpoint = BatchEndpoint(name="heart-classifier", description="A heart condition classifier", tags={"type": "x"})
endpoint = ml_client.batch_endpoints.begin_create_or_update(endpoint).result()
found["scoring_uri"] = endpoint.scoring_uri

model = ml_client.models.create_or_update(Model(name="heart", path="model", type=AssetTypes.CUSTOM_MODEL))
again = ml_client.models.create_or_update(Model(name="heart", path="model", type=AssetTypes.CUSTOM_MODEL))
found["model_versions"] = [model.version, again.version]
latest = ml_client.models.get("heart", label="latest")


def deployment(name, script):
    return ModelBatchDeployment(
        name=name,
        endpoint_name="heart-classifier",
        model=latest,
        compute="local",
        code_configuration=CodeConfiguration(code="code", scoring_script=script),
        settings=ModelBatchDeploymentSettings(
            max_concurrency_per_instance=1,
            mini_batch_size=2,
            instance_count=1,
            output_action=BatchDeploymentOutputAction.APPEND_ROW,
            output_file_name="predictions.csv",
            retry_settings=BatchRetrySettings(max_retries=1, timeout=60),
            environment_variables={"ADD": "1"},
        ),
    )


for name, script in {"by-value": "score.py", "by-name": "score_by_name.py"}.items():
    ml_client.batch_deployments.begin_create_or_update(deployment(name, script)).result()
endpoint = ml_client.batch_endpoints.get("heart-classifier")
endpoint.defaults.deployment_name = "by-value"
ml_client.batch_endpoints.begin_create_or_update(endpoint).result()
found["deployments"] = sorted(d.name for d in ml_client.batch_deployments.list("heart-classifier"))

# get one, change a setting, and put it again
known = ml_client.batch_deployments.get("by-value", "heart-classifier")
known.mini_batch_size = 1
known = ml_client.batch_deployments.begin_create_or_update(known).result()
found["changed"] = [known.mini_batch_size, known.retry_settings.timeout, known.environment_variables]

data = Data(name="patients", path="data", type=AssetTypes.URI_FOLDER)
ml_client.data.create_or_update(data)
patients = ml_client.data.get("patients", label="latest")
found["data_version"] = patients.version


def predictions(job, to):
    ml_client.jobs.stream(job.name)
    ml_client.jobs.download(name=job.name, download_path=to, output_name="score")
    return sorted(Path(to, "named-outputs", "score", "predictions.csv").read_text().splitlines())


job = ml_client.batch_endpoints.invoke(
    endpoint_name="heart-classifier", inputs={"patients": Input(type=AssetTypes.URI_FOLDER, path=patients.id)}
)
found["job"] = job.name
found["by_value"] = predictions(job, "first")
found["children"] = [child.display_name for child in ml_client.jobs.list(parent_job_name=job.name)]
child = next(iter(ml_client.jobs.list(parent_job_name=job.name)))
ml_client.jobs.download(name=child.name, download_path="child", output_name="score")
found["of_child"] = sorted(Path("child/named-outputs/score/predictions.csv").read_text().splitlines())
ml_client.jobs.download(name=job.name, download_path="logs")
found["logs"] = sorted(path.relative_to("logs").parts[0] for path in Path("logs").rglob("*.log"))

endpoint = ml_client.batch_endpoints.get("heart-classifier")
endpoint.defaults.deployment_name = "by-name"
ml_client.batch_endpoints.begin_create_or_update(endpoint).result()
job = ml_client.batch_endpoints.invoke(
    endpoint_name="heart-classifier", input=Input(type=AssetTypes.URI_FILE, path="data/a.csv"), experiment_name="e-1"
)
found["by_name"] = predictions(job, "second")
found["status"] = ml_client.jobs.get(job.name).status
found["jobs"] = len(list(ml_client.batch_endpoints.list_jobs(endpoint_name="heart-classifier")))
found["jobs_of_deployment"] = len(
    list(ml_client.batch_deployments.list_jobs(endpoint_name="heart-classifier", name="by-value"))
)
ml_client.jobs.archive(job.name)
found["listed"] = [one.name == found["job"] for one in ml_client.jobs.list()]

ml_client.models.download(name="heart", version="1", download_path="downloaded")
found["downloaded"] = sorted(path.name for path in Path("downloaded").rglob("*.txt"))

ml_client.batch_deployments.begin_delete("by-value", "heart-classifier").result()
ml_client.batch_endpoints.begin_delete(name="heart-classifier").result()
found["endpoints"] = [one.name for one in ml_client.batch_endpoints.list()]
print()
print(json.dumps(found))
