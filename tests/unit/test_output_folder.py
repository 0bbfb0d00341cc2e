"""A folder as the output, written by threads."""

from contextlib import contextmanager

from batch_endpoints.specs import rows_file
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.files.patience import Tries, patience
from batch_endpoints.storage.job.commits import Commit
from batch_endpoints.storage.outputs.output_folder import write_folder


def test_whoever_copies_parts_has_the_patience_of_who_asked_for_it(tmp_path):
    class Impatient(Disk):
        @contextmanager
        def open_output(self, path):
            waited.append(Tries().another())
            with super().open_output(path) as file:
                yield file

    waited = []
    files, target = Disk(tmp_path / "job"), Impatient(tmp_path / "out")
    for name in ("a", "b"):
        files.put_if_absent(name, name.encode())
    commits = [Commit(bundle=0, start=at, end=at + 1, parts=[name]) for at, name in enumerate("ab")]

    with patience(0):
        write_folder(files, [commits], target, rows_file("predictions/", None))

    assert waited == [False, False]
    assert [target.read(f"predictions/{name}") for name in target.names("predictions")] == [b"a", b"b"]
