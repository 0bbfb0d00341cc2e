"""Builds one environment with uv, and with conda where it asks for conda's packages and there is one."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import uv

from batch_endpoints.environments.cache import Built
from batch_endpoints.environments.plan import EnvironmentPlan
from batch_endpoints.environments.pythons import Python, read_pythons, search_path
from batch_endpoints.environments.requirements import options_of
from batch_endpoints.errors import EnvironmentFailed
from batch_endpoints.planning.variables import for_user_code

logger = logging.getLogger(__name__)
_CONDAS = ("micromamba", "mamba", "conda")
_MAMBAS = (".local/share/mamba", "micromamba")  # folders of micromamba, of its version 2 and before
_FOR_BUILDS = re.compile(
    r"UV_(?:DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|NO_INDEX|INDEX_STRATEGY|OFFLINE|CACHE_DIR|LINK_MODE"
    r"|CONFIG_FILE|NATIVE_TLS|SYSTEM_CERTS|INSECURE_HOST|HTTP_TIMEOUT|HTTP_RETRIES|CONCURRENT_[A-Z]+|CONSTRAINT"
    r"|OVERRIDE|EXCLUDE_NEWER|PRERELEASE|PYTHON_INSTALL_DIR|KEYRING_PROVIDER)"
    r"|NETRC|CONDARC|MAMBARC|MAMBA_ROOT_PREFIX|CONDA_PKGS_DIRS|CONDA_CHANNELS|CONDA_OVERRIDE_[A-Z]+|CC|CXX|CFLAGS"
    r"|CXXFLAGS|LDFLAGS|MAKEFLAGS|PYENV_ROOT"
)
"""What builders read besides. An index whose URL holds a password is one that builds can see."""
_LAST_LINES = 30
_NO_ARROW = "tables cannot be given to the environment: it has no pyarrow, and none can be added to what it asks for"


def find_conda() -> str:
    """The program of this machine that installs conda packages; "" where there is none."""
    return next((found for name in _CONDAS if (found := shutil.which(name))), "")


def list_pythons() -> Sequence[Python]:
    """The interpreters that uv finds on this machine, pyenv's among them."""
    return read_pythons(_run([_uv(), "python", "list", "--only-installed", "--output-format", "json"]))


def build_environment(plan: EnvironmentPlan, python: Python, place: Path, lock: int) -> Built:
    """Make an environment.

    Args:
        python: what it is built on; of no meaning where conda brings its own.
        place: its folder, which is not there yet.
        lock: descriptor that every process of the build holds open.

    Raises:
        EnvironmentFailed: it cannot be built; its headline has the last words of uv.
    """
    began, notes = time.monotonic(), []
    logger.info("environment is being built: %s", place.name)
    if plan.conda:
        conda = find_conda()
        channels = _channels(conda, plan, lock)
        if channels and not plan.channels:
            notes.append(f"the conda file names no channels: {', '.join(channels)} is used")
        _run(_conda_command(conda, plan, channels, python, place), lock)
    else:
        _run([_uv(), "venv", "--no-project", "--python", python.path, str(place)], lock)
    interpreter = str(place / "bin" / "python")
    if plan.build_dependencies:
        lines = [*options_of(plan.requirements), *plan.build_dependencies]
        _install(lines, (), interpreter, lock)
    if plan.requirements:
        _install(plan.requirements, plan.constraints, interpreter, lock)
    packages = _packages(interpreter, lock)
    if "pyarrow" not in packages:
        if not _add_arrow(plan, packages, interpreter, lock):
            notes.append(_NO_ARROW)
        packages = _packages(interpreter, lock)
    version = _run([interpreter, "-c", "import platform; print(platform.python_version())"], lock).strip()
    seconds = round(time.monotonic() - began, 3)
    logger.info("environment built: %s, Python %s, %d packages, %.1f s", place.name, version, len(packages), seconds)
    return Built(interpreter, version, packages, seconds, tuple(notes))


def last_words(stderr: str) -> str:
    """The telling lines of what uv says when it fails, as one: the error, its first and last cause, and what the
    package's own build said last.
    """
    lines = re.sub(r"\x1b\[[0-9;]*m", "", stderr).splitlines()
    begin = max((n for n, line in enumerate(lines) if re.match(r"\s*(error:|×)", line)), default=-1)
    told = [line for line in lines if line.strip() and not line.startswith(("warning:", "Using Python"))]
    if begin < 0:
        return " ".join(line.strip() for line in told[-3:]) or "it says nothing"
    causes: list[str] = []
    quoted: list[str] = []
    in_quote = False
    for line in lines[begin:]:
        text = line.strip().lstrip("×╰├│─▶▸ ").strip()
        if text.startswith("hint:"):
            break
        if text in ("[stderr]", "[stdout]"):
            in_quote = True
        elif re.match(r"\s*(error:|cause:|×|[╰├]─▶)", line) and not in_quote:
            causes.append(re.sub(r"^(error|cause):\s*", "", text))
        elif in_quote:
            quoted.append(text)
        elif text.strip("^") and causes:
            causes[-1] += f" {text}"
    parts = [*causes[:2], *causes[2:][-1:], *[text for text in quoted if text][-1:]]
    return ": ".join(part.rstrip(":.") for part in dict.fromkeys(parts))[:600]


def _install(
    requirements: Sequence[str], constraints: Sequence[str], interpreter: str, lock: int, *options: str
) -> None:
    # host processes write no bytecode, so it is made here, once for all
    command = [_uv(), "pip", "install", "--compile-bytecode", "--python", interpreter, *options]
    for kind, lines in (("requirements", requirements), ("constraints", constraints)):
        if lines:
            file = Path(interpreter).parents[1] / f"{kind}.txt"
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
            command += [f"--{kind}", str(file)]
    if any(line.startswith("--extra-index-url") for line in requirements):
        command += ["--index-strategy", "unsafe-best-match"]  # pip's way, for which these lines were written
    _run(command, lock)


def _add_arrow(plan: EnvironmentPlan, packages: Mapping[str, str], interpreter: str, lock: int) -> bool:
    """Add what tables cross to the host process by, whoever will use this environment and whatever for; was it?

    It serves us, so it changes no package that is there.
    """
    as_they_are = [f"{name}=={version}" for name, version in packages.items()]
    try:
        lines = [*options_of(plan.requirements), "pyarrow"]
        _install(lines, as_they_are, interpreter, lock, "--only-binary=pyarrow")
    except EnvironmentFailed as error:
        logger.warning("environment without pyarrow: %s", error)
        return False
    return True


def _packages(interpreter: str, lock: int) -> dict[str, str]:
    listed = json.loads(_run([_uv(), "pip", "list", "--format", "json", "--python", interpreter], lock))
    return {one["name"]: one["version"] for one in listed}


def _channels(conda: str, plan: EnvironmentPlan, lock: int) -> tuple[str, ...]:
    """Where conda's packages come from; none means those that are configured on this machine.

    conda has channels by default; micromamba, and mamba since its version 2, have those of their configuration only
    (https://mamba.readthedocs.io/en/latest/user_guide/configuration.html), and find nothing where there are none.
    """
    if plan.channels or Path(conda).name == "conda":
        return tuple(channel for channel in plan.channels if channel != "nodefaults")
    try:
        configured = _run([conda, "config", "list", "channels"], lock)
    except EnvironmentFailed:  # a mamba before version 2, which has conda's
        return ()
    return () if re.search(r"^[ \t]*- ", configured, re.MULTILINE) else ("conda-forge",)


def _conda_command(
    conda: str, plan: EnvironmentPlan, channels: Sequence[str], python: Python, place: Path
) -> list[str]:
    """One command that micromamba, mamba and conda all take."""
    from_channels = [part for channel in channels for part in ("--channel", channel)]
    asked = plan.python or f"=={'.'.join(python.version.split('.')[:2])}.*"
    version = re.sub(r"==([\d.]+)\.\*", r"=\1", asked)
    return [
        *(conda, "create", "--yes", "--quiet", "--prefix", str(place)),
        *(["--override-channels", *from_channels] if channels else []),
        *(f"python{version}", *plan.conda),
    ]


def _uv() -> str:
    return uv.find_uv_bin()


def _run(command: Sequence[str], lock: int | None = None) -> str:
    """Run a command; returns what it says.

    Raises:
        EnvironmentFailed: it fails.
    """
    home = tempfile.mkdtemp(prefix="batch-endpoints-home-")
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=_variables(os.environ, Path.home(), home),
        cwd="/",  # uv reads settings of the folder it is in
        pass_fds=() if lock is None else (lock,),
        start_new_session=True,
    )
    try:
        said, complained = process.communicate()
    except BaseException:  # this process was told to end
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if process.returncode:
        told = [line for line in complained.strip().splitlines() if not line.startswith("Using Python")]
        tail = "\n".join(told[-_LAST_LINES:])
        raise EnvironmentFailed(f"the environment could not be built: {last_words(complained)}", mend=tail)
    return said


def _variables(environment: Mapping[str, str], home: Path, scratch: str) -> dict[str, str]:
    """What a build sees of this process's variables; setup.py of a requirement is user code as well.

    Args:
        home: where uv and conda have caches and settings: they are named, for HOME is the build's own.
        scratch: that.
    """
    settings = {
        "UV_CONFIG_FILE": home / ".config/uv/uv.toml",
        "UV_PYTHON_INSTALL_DIR": home / ".local/share/uv/python",
        "NETRC": home / ".netrc",
        "CONDARC": home / ".condarc",
        "MAMBARC": home / ".mambarc",
        "MAMBA_ROOT_PREFIX": next((one for name in _MAMBAS if (one := home / name).exists()), home / _MAMBAS[0]),
    }
    return {
        "UV_CACHE_DIR": str(Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "uv"),
        **{name: str(place) for name, place in settings.items() if place.exists()},
        **for_user_code(environment),
        **{name: value for name, value in environment.items() if _FOR_BUILDS.fullmatch(name)},
        "PATH": search_path(environment, home),
        "HOME": scratch,
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
    }
