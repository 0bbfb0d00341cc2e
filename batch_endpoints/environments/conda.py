"""Conda files: their Python, their pip packages, and what their other packages are called on PyPI."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from batch_endpoints.errors import SpecError

# conda's name -> PyPI's, where they differ
PYPI_NAMES = {
    "matplotlib-base": "matplotlib",
    "dask-core": "dask",
    "msgpack-python": "msgpack",
    "numpy-base": "numpy",
    "opencv": "opencv-python-headless",
    "py-opencv": "opencv-python-headless",
    "py-lightgbm": "lightgbm",
    "py-xgboost": "xgboost",
    "py-xgboost-cpu": "xgboost",
    "py-xgboost-gpu": "xgboost",
    "pytables": "tables",
    "python-flatbuffers": "flatbuffers",
    "python-xxhash": "xxhash",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "pytorch-lightning": "lightning",
    "ruamel_yaml": "ruamel.yaml",
    "tensorflow-base": "tensorflow",
    "tensorflow-gpu": "tensorflow",
    "tensorflow-cpu": "tensorflow-cpu",
    "torchvision-cpu": "torchvision",
}
# what wheels and the interpreter bring along themselves
_BROUGHT_ALONG = re.compile(
    r"_\w+_mutex|_libgcc_mutex|blas|bzip2|ca-certificates|cpuonly|cudatoolkit|cudnn|intel-openmp|ld_impl_linux-64|"
    r"libblas|libcblas|libffi|libgcc(-ng)?|libgfortran[\d-]*(ng)?|libgomp|liblapack|libnsl|libopenblas|libsqlite|"
    r"libstdcxx(-ng)?|libuuid|libuv|libzlib|llvm-openmp|mkl(-service|_fft|_random)?|ncurses|nomkl|openblas|openssl|"
    r"python_abi|pytorch-cuda|pytorch-mutex|readline|sqlite|tk|xz|zlib"
)
# programs and libraries that no wheel on PyPI stands for
_NOT_PYTHON = re.compile(
    r"lib.+|r-.+|gcc.*|gxx.*|clang.*|make|git|curl|wget|ffmpeg|graphviz|gdal|geos|proj|poppler|tesseract|openjdk|nodejs|"
    r"go|rust|cuda.*|nccl|hdf5|perl|openmpi|mpich|unixodbc|postgresql|mysql"
)
_BUILD_TOOLS = ("setuptools", "wheel")


@dataclass(frozen=True)
class CondaFile:
    """What a conda file asks for.

    Args:
        python: PEP 440 specifier; "" where it says nothing.
        pip: the lines of its ``pip:`` list.
        others: its other packages, as it writes them.
        build_tools: setuptools and wheel, as it writes them; pip is left out, as uv does its work.
        variables: environment variables for what runs in it.
    """

    python: str = ""
    pip: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    build_tools: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


def read_conda(document: Mapping[str, Any]) -> CondaFile:
    """Read a conda file's content.

    Raises:
        SpecError: it is none.
    """
    if "dependencies" not in document:
        raise SpecError(
            f"the conda file has no 'dependencies'; it has: {', '.join(map(str, document))}",
            mend="dependencies: [python=3.11, pip, …]",
        )
    if "pip" in document:
        raise SpecError(
            "the conda file's 'pip' stands beside its 'dependencies'",
            mend="It belongs into them, as their last element: - pip: [six, …]",
        )
    dependencies = document["dependencies"] or []
    if not isinstance(dependencies, list):
        raise SpecError("the conda file's 'dependencies' is no list", mend="dependencies: [python=3.11, pip, …]")
    python, pip, others, build_tools = "", [], [], []
    for one in dependencies:
        if isinstance(one, dict):
            if list(one) != ["pip"] or not isinstance(one["pip"], list | None):
                raise SpecError(f"the conda file's dependency {one} is neither a package nor a list 'pip:'")
            pip += [str(line) for line in one["pip"] or []]
        elif (name := package_name(str(one))) == "python":
            python = specifier(_split(str(one))[1], str(one))
        elif name in _BUILD_TOOLS:
            build_tools.append(str(one))
        elif name != "pip":
            others.append(str(one))
    channels = document.get("channels") or []
    channels = tuple(map(str, [channels] if isinstance(channels, str) else channels))
    return CondaFile(python, tuple(pip), tuple(others), tuple(build_tools), channels, _variables(document))


def to_pypi(packages: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Conda packages as requirements of PyPI, for nodes without conda.

    Returns: the requirements, and notes on what was done.

    Raises:
        SpecError: one of them is not a Python package.
    """
    lines, left_out = [], []
    for package in packages:
        name, version = _split(package)
        if _BROUGHT_ALONG.fullmatch(name):
            left_out.append(name)
        elif _NOT_PYTHON.fullmatch(name):
            raise SpecError(
                f"the conda package '{package}' is not a Python package, and this machine has no conda or micromamba",
                mend="Install micromamba on the nodes, or install it on them and take it out of the file.",
            )
        else:
            lines.append(PYPI_NAMES.get(name, name) + specifier(version, package))
    notes = []
    if lines:
        notes.append(f"there is no conda here: of the conda file, PyPI has to give {', '.join(lines)}")
    if left_out:
        notes.append(f"left out of the conda file, as wheels bring it along: {', '.join(left_out)}")
    return tuple(lines), tuple(notes)


def package_name(package: str) -> str:
    """``conda-forge::NumPy=1.21`` -> ``numpy``."""
    return _split(package)[0]


def specifier(version: str, package: str) -> str:
    """Conda's version (``=1.21``, ``1.21.*``, ``>=1.2,<2``, ``=1.2=py38_0``) as PEP 440 writes it.

    Raises:
        SpecError: it has no counterpart.
    """
    parts = [_one_specifier(part.strip()) for part in version.split(",")] if version.strip() else []
    said = ",".join(part for part in parts if part)
    try:
        SpecifierSet(said)
    except InvalidSpecifier:
        raise SpecError(
            f"the conda package '{package}' has a version that PyPI's rules cannot say",
            mend="Write it as =1.2, ==1.2.3 or >=1.2,<2; alternatives (|) are not possible.",
        ) from None
    return said


def _variables(document: Mapping[str, Any]) -> dict[str, str]:
    given = document.get("variables") or {}
    if not isinstance(given, dict):
        raise SpecError("the conda file's 'variables' are no names with values", mend="variables: {NAME: value}")
    variables = {str(name): "" if value is None else str(value) for name, value in given.items()}
    for name, value in variables.items():
        if not name or "=" in name or "\0" in name + value:
            raise SpecError(f"the conda file's variable '{name}' cannot be one, or its value has a NUL")
    return variables


def _one_specifier(part: str) -> str:
    found = re.fullmatch(r"(==|>=|<=|!=|~=|=|<|>)?\s*([^\s=]+)(?:[=\s].*)?", part)
    if not found:
        return part
    operator, number = found[1] or "=", found[2]
    any_behind = number.endswith("*") or operator == "="
    number = number.rstrip("*").rstrip(".")
    if not number:
        return ""
    if any_behind and operator in ("=", "==", "!="):
        return f"{'!=' if operator == '!=' else '=='}{number}.*"
    return operator + number


def _split(package: str) -> tuple[str, str]:
    """``conda-forge::numpy=1.21`` -> name and version."""
    channel, mark, plain = package.strip().rpartition("::")
    plain = plain if mark and not re.search(r"\s", channel) else package.strip()
    found = re.match(r"[\w.-]+", plain)
    if not found or "[" in plain or "]" in plain:
        raise SpecError(
            f"the conda package '{package}' is not understood", mend="Write name, name=1.2 or name>=1.2,<2."
        )
    return found[0].lower(), plain[found.end() :].lstrip()
