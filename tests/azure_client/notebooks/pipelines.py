"""A pipeline component behind an endpoint, and the same pipeline as a job."""

import json
from pathlib import Path

from azure.ai.ml import Input, MLClient, Output, command, dsl
from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import AmlCompute, BatchEndpoint, PipelineComponentBatchDeployment
from azure.identity import DefaultAzureCredential

ml_client = MLClient(DefaultAzureCredential(), "subscription", "group", "workspace")
found = {}
compute = ml_client.compute.begin_create_or_update(AmlCompute(name="cpu", min_instances=0, max_instances=2)).result()
found["compute"] = [compute.name, compute.max_instances]

clean = command(
    name="clean",
    display_name="clean",
    command="cat ${{inputs.data}}/*.csv | grep -v x > ${{outputs.cleaned}}/all.txt",
    environment="azureml:python:1",
    inputs={"data": Input(type="uri_folder")},
    outputs={"cleaned": Output(type="uri_folder")},
)
scale = command(
    name="scale",
    display_name="scale",
    command="python scale.py ${{inputs.cleaned}} ${{inputs.factor}} ${{outputs.totals}}",
    code="steps",
    environment="azureml:python:1",
    inputs={"cleaned": Input(type="uri_folder"), "factor": Input(type="integer", default=1)},
    outputs={"totals": Output(type="uri_folder")},
)


@dsl.pipeline(name="totals", description="Adds up")
def totals(data: Input(type="uri_folder"), factor: int = 1):
    cleaning = clean(data=data)
    scaling = scale(cleaned=cleaning.outputs.cleaned, factor=factor)
    return {"totals": scaling.outputs.totals}


component = totals(data=Input(type="uri_folder", path="data")).component
component = ml_client.components.create_or_update(component)
found["component"] = [component.name, sorted(ml_client.components.get("totals", component.version).jobs)]

endpoint = BatchEndpoint(name="totals-endpoint")
ml_client.batch_endpoints.begin_create_or_update(endpoint).result()
deployment = PipelineComponentBatchDeployment(
    name="totals-1",
    endpoint_name="totals-endpoint",
    component=component,
    settings={"default_compute": "cpu", "continue_on_step_failure": False},
)
ml_client.batch_deployments.begin_create_or_update(deployment).result()
endpoint = ml_client.batch_endpoints.get("totals-endpoint")
endpoint.defaults.deployment_name = "totals-1"
ml_client.batch_endpoints.begin_create_or_update(endpoint).result()

job = ml_client.batch_endpoints.invoke(
    endpoint_name="totals-endpoint",
    inputs={"data": Input(type=AssetTypes.URI_FOLDER, path="data"), "factor": Input(type="integer", default=3)},
)
ml_client.jobs.stream(job.name)
found["status"] = ml_client.jobs.get(job.name).status
found["steps"] = sorted(child.display_name for child in ml_client.jobs.list(parent_job_name=job.name))
ml_client.jobs.download(name=job.name, download_path="deployed", output_name="totals")
found["deployed"] = Path("deployed/named-outputs/totals/total.txt").read_text().strip()

pipeline_job = totals(data=Input(type="uri_folder", path="data"), factor=2)
pipeline_job.settings.default_compute = "cpu"
job = ml_client.jobs.create_or_update(pipeline_job, experiment_name="totals")
ml_client.jobs.stream(job.name)
found["job"] = [ml_client.jobs.get(job.name).status, ml_client.jobs.get(job.name).experiment_name]
ml_client.jobs.download(name=job.name, download_path="job", output_name="totals")
found["of_job"] = Path("job/named-outputs/totals/total.txt").read_text().strip()

# the job becomes a deployment, which is read and put again
from_job = PipelineComponentBatchDeployment(
    name="from-job", endpoint_name="totals-endpoint", job_definition=ml_client.jobs.get(job.name)
)
ml_client.batch_deployments.begin_create_or_update(from_job).result()
job = ml_client.batch_endpoints.invoke(
    endpoint_name="totals-endpoint",
    deployment_name="from-job",
    inputs={"data": Input(type=AssetTypes.URI_FOLDER, path="data")},
)
ml_client.jobs.stream(job.name)
found["from_job"] = ml_client.jobs.get(job.name).status
found["deployments"] = sorted(one.name for one in ml_client.batch_deployments.list("totals-endpoint"))
print()
print(json.dumps(found))
