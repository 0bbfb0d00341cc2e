"""Parallel steps with real scripts and files, run without a cluster, for tests."""

import textwrap

from job_folders import Job

from batch_endpoints.planning.steps.parallel_step import scoring_job
from batch_endpoints.specs import ParallelComponent
from batch_endpoints.specs.invocation import JobInput, JobOutput


class Step(Job):
    """One step with its inputs and code below a folder; its input ``data`` is cut, unless it says otherwise.

    Args:
        inputs: besides ``data``: name -> type, and value or path.
        outputs: name -> type, and path where it is not in the job folder.
    """

    def __init__(self, place, script, files=10, *, inputs=None, outputs=None, data=None, variables=None, **component):
        super().__init__(place, script, files)
        (self.folder / "job.json").unlink()
        self.input_of = {"data": data or {"type": "uri_folder", "path": self.input.as_uri()}, **(inputs or {})}
        outputs = {"rows": {"type": "uri_file"}} if outputs is None else outputs
        task = {
            "type": "run_function",
            "code": self.code.as_uri(),
            "entry_script": "score.py",
            "append_row_to": "${{outputs.rows}}" if "rows" in outputs else "",
            **component.pop("task", {}),
        }
        self.component = ParallelComponent.model_validate(
            {
                "name": "step",
                "inputs": {name: {"type": given["type"], "optional": True} for name, given in self.input_of.items()},
                "outputs": {name: {"type": given["type"]} for name, given in outputs.items()},
                "input_data": "${{inputs.data}}",
                "retry_settings": {"max_retries": 0},
                "task": task,
                **component,
            }
        )
        given = {
            name: JobInput.model_validate({**one, "type": "literal"} if "value" in one else one)
            for name, one in self.input_of.items()
            if "value" in one or "path" in one
        }
        self.step = scoring_job(
            "job",
            self.component,
            inputs=given,
            outputs={name: JobOutput.model_validate(one) for name, one in outputs.items()},
            environment_variables=variables,
        )
        self.job_folder.write_job(self.step)

    def script(self, text, name="score.py"):
        (self.code / name).write_text(textwrap.dedent(text))

    @property
    def output(self):
        return self.folder / "named-outputs" / "rows"
