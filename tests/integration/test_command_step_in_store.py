"""Command steps whose folder, code and inputs are in an object store."""

from s3_server import BUCKET
from step_folders import Step

from batch_endpoints.storage.job.step_record import step_record


def keys(s3, prefix):
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return sorted(one["Key"].removeprefix(prefix) for one in found)


def test_outputs_are_in_the_store_when_the_command_has_succeeded_and_not_before(s3, tmp_path):
    for key in ("in/a.txt", "in/sub/b c.txt"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    s3.put_object(
        Bucket=BUCKET, Key="code/run.sh", Body=b'cp -r "$1"/. "$2"; echo x > "$3"; ln -s x "$2/l"; exit "$4"'
    )
    command = "bash run.sh ${{inputs.data}} ${{outputs.all}} ${{outputs.file}} ${{inputs.code}}"
    outputs = {"all": "uri_folder", "file": "uri_file", "empty": "uri_folder"}
    code = {"component": {"code": f"s3://{BUCKET}/code"}}
    inputs = {"data": ("uri_folder", f"s3://{BUCKET}/in"), "code": ("integer", 1)}

    failing = Step(tmp_path, command, uri=f"s3://{BUCKET}/failing", inputs=inputs, outputs=outputs, **code)
    assert failing.run().error
    assert keys(s3, "failing/attempts/1/") == ["begun"]

    step = Step(
        tmp_path,
        command,
        uri=f"s3://{BUCKET}/step",
        inputs=inputs | {"code": ("integer", 0)},
        outputs=outputs,
        **code,
    )
    record = step.run(2).record
    assert keys(s3, "step/attempts/2/") == ["all/a.txt", "all/sub/b c.txt", "begun", "empty/", "file/file"]
    assert s3.get_object(Bucket=BUCKET, Key="step/attempts/2/all/sub/b c.txt")["Body"].read() == b"in/sub/b c.txt"
    assert record.notes == (
        "'l' in the output 'all' is a link: it is left out",
        "the output 'empty' is an empty folder",
    )
    assert step_record(step.files) == record
    assert "attempt 2 runs" in step.log(2)

    given = {name: (output.type, output.path) for name, output in record.outputs.items()}
    command = "ls -A ${{inputs.empty}}; cat ${{inputs.file}} ${{inputs.all}}/a.txt"
    reads = Step(tmp_path, command, uri=f"s3://{BUCKET}/next", inputs=given)
    assert reads.run().error is None
    assert "\nx\nin/a.txt" in reads.log()
