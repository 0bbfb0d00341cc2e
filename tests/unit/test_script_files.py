import os

import pytest

from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.commits import Commit, CommittedFile
from batch_endpoints.storage.outputs.script_files import store_files, write_files


@pytest.fixture
def files(tmp_path):
    return Disk(tmp_path)


@pytest.fixture
def output(tmp_path):
    (tmp_path / "scratch" / "output").mkdir(parents=True)
    return tmp_path / "scratch" / "output"


def written(files, *names_of_commits, rows_names=()):
    """The files of an output, by name, and which were renamed; each file holds the number of its commit."""
    commits = []
    for number, names in enumerate(names_of_commits):
        files.replace(f"parts/{number}", str(number).encode())
        some = tuple(CommittedFile(name=name, stored=f"parts/{number}") for name in names)
        commits.append(Commit(bundle=0, start=number, end=number + 1, files=some))
    target = Disk(files.disk / "out")
    renamed = write_files(files, commits, target, rows_names)
    return {name: target.read(name).decode() for name in target.names("")}, renamed


def test_a_renamed_file_can_be_traced_and_so_can_the_one_that_kept_its_name(files):
    for number in range(2):
        files.replace(f"parts/{number}", b"")
    day = [f"day{number}/part-0.csv" for number in (1, 2)]
    commits = [
        Commit(
            bundle=0,
            start=number,
            end=number + 1,
            files=(
                CommittedFile(
                    name="part-0.csv", stored=f"parts/{number}", mini_batch=number, input_files=(day[number],)
                ),
            ),
        )
        for number in range(2)
    ]
    (renamed,) = write_files(files, commits, Disk(files.disk / "out"))
    assert (renamed.file, renamed.kept_as) == ("part-0.csv", "part-0-2.csv")
    assert (renamed.mini_batch, renamed.input_files) == (1, (day[1],))
    assert (renamed.first.mini_batch, renamed.first.input_files) == (0, (day[0],))


def test_a_script_may_remove_its_output_folder(files, tmp_path):
    assert store_files(files, tmp_path / "gone", print) == []


def test_files_of_a_script_move_into_the_job_folder(files, tmp_path):
    output = tmp_path / "output"
    (output / "deep").mkdir(parents=True)
    (output / "deep" / "a.png").write_bytes(b"png")
    (output / "empty").write_bytes(b"")
    (output / "link").symlink_to("empty")
    stored = store_files(files, output, print)
    assert [(file.name, files.read(file.stored)) for file in stored] == [
        ("link", b""),
        ("deep/a.png", b"png"),
        ("empty", b""),
    ]
    assert [path.name for path in output.rglob("*")] == ["deep"]


def test_files_of_one_name_are_all_kept(files):
    for number in range(4):
        files.replace(f"parts/{number}", str(number).encode())
    names = ["a.txt", "a.txt", "p.csv", "a-2.txt"]
    commits = [
        Commit(bundle=0, start=n, end=n + 1, files=(CommittedFile(name=name, stored=f"parts/{n}"),))
        for n, name in enumerate(names)
    ]
    renamed = write_files(files, commits, Disk(files.disk / "out"), ["p.csv"])
    out = files.disk / "out"
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "a.txt": "0",
        "a-2.txt": "1",
        "p-2.csv": "2",
        "a-2-2.txt": "3",
    }
    assert [(one.file, one.kept_as, one.reason) for one in renamed] == [
        ("a.txt", "a-2.txt", "two mini-batches wrote it"),
        ("p.csv", "p-2.csv", "the rows go to it"),
        ("a-2.txt", "a-2-2.txt", "two mini-batches wrote it"),
    ]


@pytest.mark.parametrize(
    ("commits", "expected"),
    [
        pytest.param([["x"], ["x/y", "x/z"]], {"x": "0", "x-2/y": "1", "x-2/z": "1"}, id="a file, then a folder"),
        pytest.param([["x/y"], ["x"]], {"x/y": "0", "x-2": "1"}, id="a folder, then a file"),
        pytest.param([["a/b.d/c"], ["a/b.d"], ["a"]], {"a/b.d/c": "0", "a/b-2.d": "1", "a-2": "2"}, id="deep"),
        pytest.param([["p.csv/x"], ["part"]], {"p-2.csv/x": "0", "part-2": "1"}, id="names of the rows"),
        pytest.param([["x"], ["x/y"], ["x-2"]], {"x": "0", "x-2/y": "1", "x-2-2": "2"}, id="what a number has made"),
    ],
)
def test_a_file_and_a_folder_of_one_name_are_both_kept(files, commits, expected):
    found, renamed = written(files, *commits, rows_names=["p.csv", "part/0.csv"])
    assert found == expected
    assert len(renamed) == sum("-2" in name for name in expected)


def test_what_init_wrote_is_in_the_output_once_unless_it_differs(files, output):
    commits = []
    for number, content in enumerate(["same", "same", "other", "same"]):
        (output / "labels.txt").write_text(content)
        stored = store_files(files, output, print, {output / "labels.txt"})
        commits.append(Commit(bundle=0, start=number, end=number + 1, files=tuple(stored)))
    target = Disk(files.disk / "out")
    renamed = write_files(files, commits, target)
    assert {name: target.read(name) for name in target.names("")} == {"labels.txt": b"same", "labels-2.txt": b"other"}
    assert [(one.file, one.kept_as) for one in renamed] == [("labels.txt", "labels-2.txt")]


def test_files_of_mini_batches_that_are_alike_are_all_kept(files, output):
    commits = []
    for number in range(2):
        (output / "done.txt").write_text("ok")
        commits.append(Commit(bundle=0, start=number, end=number + 1, files=store_files(files, output, print)))
    target = Disk(files.disk / "out")
    write_files(files, commits, target)
    assert target.names("") == ["done-2.txt", "done.txt"]


def test_a_name_that_is_not_utf8_is_escaped_and_noted(files, output):
    with open(os.fsencode(output) + b"/\xff.txt", "w") as file:
        file.write("x")
    notes = []
    (stored,) = store_files(files, output, notes.append)
    assert (stored.name, files.read(stored.stored)) == ("\\udcff.txt", b"x")
    assert notes == ["a script wrote a file whose name is not UTF-8: it is kept as '\\udcff.txt'"]
    Commit(bundle=0, start=0, end=1, files=(stored,)).model_dump_json()


def test_a_name_that_is_too_long_once_it_is_escaped_is_shortened(files, output):
    with open(os.fsencode(output) + b"/" + b"\xff" * 100 + b".txt", "w") as file:
        file.write("x")
    (stored,) = store_files(files, output, print)
    assert (len(stored.name), stored.name[:12], stored.name[-4:]) == (255, "\\udcff\\udcff", ".txt")
    assert files.read(stored.stored) == b"x"


def test_a_link_stands_for_a_file_that_the_script_has_made(files, output):
    (output / "z.txt").write_text("z")
    (output / "a.txt").symlink_to("z.txt")
    (output.parent / "tmp.txt").write_text("tmp")
    (output / "b.txt").symlink_to(output.parent / "tmp.txt")
    stored = store_files(files, output, print, scratch=output.parent)
    assert {file.name: files.read(file.stored) for file in stored} == {"a.txt": b"z", "b.txt": b"tmp", "z.txt": b"z"}
    assert list(output.iterdir()) == []


def test_what_is_left_out_is_told_and_does_not_stay(files, output, tmp_path):
    (tmp_path / "elsewhere.txt").touch()
    (output / "folder").mkdir()
    (output / "gone").symlink_to("nothing")
    (output / "out").symlink_to(tmp_path / "elsewhere.txt")
    (output / "tree").symlink_to("folder")
    os.mkfifo(output / "pipe")
    notes = []
    assert store_files(files, output, notes.append, scratch=output.parent) == []
    assert sorted(notes) == [
        "a script wrote 'gone', which is a link that leads nowhere: it is left out of the output",
        "a script wrote 'out', which is a link to a file outside of the output folder: it is left out of the output",
        "a script wrote 'pipe', which is neither a file nor a folder: it is left out of the output",
        "a script wrote 'tree', which is a link to a folder: it is left out of the output",
    ]
    assert [path.name for path in output.iterdir()] == ["folder"]


def test_a_file_that_may_not_be_read_is_told(open_folder, unprivileged):
    open_folder.chmod(0o777)
    with unprivileged():
        (open_folder / "output").mkdir()
        (open_folder / "output" / "a.txt").touch()
        (open_folder / "output" / "a.txt").chmod(0)
        notes = []
        assert store_files(Disk(open_folder), open_folder / "output", notes.append) == []
    assert notes == [
        "a script wrote 'a.txt', which is a file that may not be read, or is gone: it is left out of the output"
    ]
