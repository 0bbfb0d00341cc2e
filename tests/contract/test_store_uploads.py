"""Uploads in each kind of object store, where nodes without a shared disk can read them."""

import hashlib

import pytest

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.control_plane.uploads import Upload, Uploads
from batch_endpoints.engine.driver.run_job import run_job
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.errors import NotFound, SpecError
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import (
    BatchEndpoint,
    CodeConfiguration,
    Invocation,
    JobInput,
    Model,
    ModelDeployment,
    check,
)
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.inputs.fetch import fetch_tree
from batch_endpoints.storage.inputs.listing import list_files
from batch_endpoints.storage.job.job_folder import JobFolder

SCRIPT = b"""
def init():
    pass

def run(files):
    return [open(file).read() for file in files]
"""
CODE = {"src/score.py": SCRIPT, "src/deep/more.py": b"x = 1"}


@pytest.fixture
def root(store):
    return f"{store.PLACE}/be/uploads"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def manifest(name, files):
    rows = [{"path": path, "sha256": sha256(content), "size": len(content)} for path, content in files.items()]
    return check(Upload, {"name": name, "files": rows})


def send(uploads, name, files):
    """As a client does."""
    upload = manifest(name, files)
    contents = {sha256(content): content for content in files.values()}
    for missing in uploads.add(upload):
        with uploads.receive(missing) as write:
            write(contents[missing])
    assert uploads.add(upload) == []
    return upload.uri


def test_a_folder_is_there_once_all_of_its_content_is(root, tmp_path):
    uploads, upload = Uploads(root), manifest("src", CODE)
    assert uploads.add(upload) == [sha256(content) for content in CODE.values()]
    with pytest.raises(NotFound):
        uploads.resolve(upload.uri)
    uri = uploads.resolve(send(uploads, "src", CODE))
    assert uri == f"{root}/trees/{upload.digest}/src"
    assert [file.path for file in list_files(uri).files] == ["deep/more.py", "score.py"]
    assert (fetch_tree(uri, tmp_path) / "score.py").read_bytes() == SCRIPT
    assert uploads.has(uri)
    assert not uploads.has(root)
    assert uploads.resolve(f"{upload.uri}/deep/more.py") == f"{uri}/deep/more.py"
    with pytest.raises(NotFound):
        uploads.resolve(f"{upload.uri}/none.py")


def test_a_folder_that_lacks_a_file_because_its_server_ended_is_not_there(root, monkeypatch):
    uploads, upload = Uploads(root), manifest("src", CODE)
    for content in CODE.values():
        with uploads.receive(sha256(content)) as write:
            write(content)
    writable_place(root).replace(f"trees/{upload.digest}/src/score.py", SCRIPT)
    with pytest.raises(NotFound):
        uploads.resolve(upload.uri)
    assert uploads.add(upload) == []
    assert len(list_files(uploads.resolve(upload.uri)).files) == 2


def test_content_that_is_damaged_or_breaks_off_is_not_kept(root):
    uploads = Uploads(root)

    def goes_away():
        with uploads.receive(sha256(b"code")) as write:
            write(b"code")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        goes_away()
    with pytest.raises(SpecError, match="was damaged on its way"), uploads.receive(sha256(b"code")) as write:
        write(b"c0de")
    assert writable_place(root).names("") == []


def test_a_job_scores_with_code_and_a_model_that_were_uploaded_to_a_store(root, store):
    plane = ControlPlane(
        MemoryRecordStore(), jobs_root=f"{store.PLACE}/be/jobs", uploads_root=root, local_paths=False
    )
    plane.endpoints.put(BatchEndpoint(name="echo"))
    code, model = send(plane.uploads, "src", CODE), send(plane.uploads, "m.bin", {"m.bin": b"weights"})
    deployment = ModelDeployment(
        name="v-1",
        endpoint_name="echo",
        model=Model(path=model),
        code_configuration=CodeConfiguration(code=code, scoring_script="score.py"),
    )
    plane.deployments.put(deployment)
    plane.endpoints.patch("echo", {"defaults": {"deployment_name": "v-1"}})
    data = send(plane.uploads, "data", {"data/a.txt": b"one", "data/b.txt": b"two"})

    job = plane.jobs.invoke("echo", Invocation(inputs={"data": JobInput(path=data)}))
    folder = JobFolder(writable_place(job.folder), job.folder)
    folder.write_job(job.spec)
    state = run_job(folder, LocalRunner)

    assert (state.status, state.progress.items_succeeded) == ("Completed", 2), state.error
    assert (
        writable_place(job.folder).read("named-outputs/score/predictions.csv")
        == b'"prediction","file"\n"one","a.txt"\n"two","b.txt"\n'
    )


def test_a_scoring_script_that_is_no_python_is_refused_where_it_lies(root, store):
    plane = ControlPlane(MemoryRecordStore(), jobs_root=f"{store.PLACE}/be/jobs", uploads_root=root)
    plane.endpoints.put(BatchEndpoint(name="echo"))
    code = send(plane.uploads, "src", {"src/score.py": b"def run(:"})
    deployment = ModelDeployment(
        name="v-1",
        endpoint_name="echo",
        model=Model(path=send(plane.uploads, "m.bin", {"m.bin": b"weights"})),
        code_configuration=CodeConfiguration(code=code, scoring_script="score.py"),
    )
    with pytest.raises(SpecError, match=r"score\.py:1: invalid syntax"):
        plane.deployments.put(deployment)
