"""Holds the picture of the house: imports go downwards only, and each library is named where it belongs."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import batch_endpoints

PACKAGE = Path(batch_endpoints.__file__).parent
FLOORS = [
    ["cli"],
    ["ingress", "client"],
    ["control_plane", "controller", "engine"],
    ["scoring", "storage", "records", "environments"],
    ["processes"],
    ["interfaces", "settings"],
    ["planning", "policies"],
    ["specs"],
    ["errors", "terminal_text"],
]
INNER_FLOORS = {
    "storage": [["tables", "outputs"], ["inputs", "job"], ["files"], ["number_types"]],
    "engine": [
        ["__main__"],
        ["on_ray"],
        ["local"],
        ["pipeline"],
        ["driver", "worker"],
        ["interpreter", "lean_arrow"],
    ],
}
FLOOR = {box: number for number, boxes in enumerate(FLOORS) for box in boxes}
ROOMS = {
    "ray": (
        "engine/on_ray/",
        "ingress/serve.py",
    ),
    "fastapi": ("ingress/",),
    "fastapi_offline": ("ingress/",),
    "starlette": ("ingress/",),
    "mlflow": ("scoring/",),
    "boto3": ("storage/files/s3.py",),
    "botocore": ("storage/files/s3.py",),
    "azure": ("storage/files/azure.py",),
    "google": ("storage/files/gcs.py",),
    "sqlalchemy": ("records/",),
    "alembic": ("records/",),
    "smart_open": ("storage/files/",),
    "pyarrow.fs": ("storage/",),
    "click": ("cli/",),
    "rich": ("cli/",),
}
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if not path.relative_to(PACKAGE).as_posix().startswith("examples/")
)


def name(path):
    return path.relative_to(PACKAGE).as_posix()


def box(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imports(path):
    """Every module that a file imports, also inside functions and for type checking only, with its line."""
    found = []
    tree = ast.parse(path.read_text())
    names = {
        alias.asname or alias.name.partition(".")[0]: alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            found += [(node.module, node.lineno)]
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            found.append((f"{names[node.value.id]}.{node.attr}", node.lineno))  # pa.fs works without its own import
    return found


def ours(path):
    """The boxes that a module imports from, with the line."""
    for module, line in imports(path):
        parts = module.split(".")
        if parts[0] == "batch_endpoints" and len(parts) > 1 and parts[1] in FLOOR:
            yield parts[1], line


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_downwards_and_neighbours_keep_apart(path):
    here = box(path)
    if here == "__init__":  # the public face
        return
    wrong = [
        f"{name(path)}:{line} imports {other}"
        for other, line in ours(path)
        if other != here and FLOOR[other] <= FLOOR[here]
    ]
    assert not wrong


def test_every_module_has_its_place_in_the_picture():
    assert {box(path) for path in MODULES} - {"__init__"} == set(FLOOR)


@pytest.mark.parametrize("box", INNER_FLOORS)
def test_imports_within_a_box_go_downwards_too(box):
    floor = {room: number for number, rooms in enumerate(INNER_FLOORS[box]) for room in rooms}

    def room(parts):
        return parts[2] if len(parts) > 2 and parts[:2] == ["batch_endpoints", box] else ""

    inside = {path: room(["batch_endpoints", *name(path).removesuffix(".py").split("/")]) for path in MODULES}
    assert {one for one in inside.values() if one} - {"__init__"} <= set(floor)
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path, here in inside.items()
        if here in floor
        for module, line in imports(path)
        if (other := room(module.split("."))) in floor and other != here and floor[other] <= floor[here]
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle():
    known = {
        ".".join(["batch_endpoints", *path.relative_to(PACKAGE).with_suffix("").parts]): path for path in MODULES
    }
    known = {module.removesuffix(".__init__"): path for module, path in known.items()}
    needs = {
        module: {other for other, _ in imports(path) if other in known and not module.startswith(f"{other}.")}
        - {module}
        for module, path in known.items()
        if module != "batch_endpoints"
    }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


@pytest.mark.parametrize("library", ROOMS)
def test_a_library_is_named_only_where_it_belongs(library):
    wrong = [
        f"{name(path)}:{line}"
        for path in MODULES
        if not name(path).startswith(ROOMS[library])
        for module, line in imports(path)
        if module == library or module.startswith(library + ".")
    ]
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_is_short_enough_to_be_read_in_one_go(path):
    assert len(path.read_text().splitlines()) <= 330


def test_only_the_http_edge_is_asynchronous():
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    wrong = [
        f"{name(path)}:{node.lineno}"
        for path in MODULES
        if box(path) != "ingress"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, kinds)
    ]
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def loaded_by(statement):
    """Which of the heavy libraries one statement loads in a new interpreter."""
    code = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return set(loaded) & set(ROOMS)


def test_importing_the_package_loads_no_heavy_library():
    assert loaded_by("import batch_endpoints") == set()


def test_the_pure_layers_load_no_heavy_library():
    pure = "batch_endpoints.interfaces.records, batch_endpoints.settings, batch_endpoints.planning.overrides"
    assert loaded_by(f"import {pure}") == set()


def test_files_of_tests_have_names_of_their_own():
    """pytest collects neither of two with one name, and none of the others when it runs them together."""
    names = sorted(file.name for file in Path(__file__).parents[1].rglob("test_*.py"))
    assert names == sorted(set(names))


def test_no_test_imports_from_a_conftest():
    """There are several, and which one is meant depends on what is collected."""
    for file in Path(__file__).parents[1].rglob("*.py"):
        assert "from conftest import" not in file.read_text() or file == Path(__file__), file
