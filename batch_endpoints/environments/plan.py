"""What has to be built for an environment: decided here, without looking at any machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from batch_endpoints.environments.conda import CondaFile, read_conda, specifier, to_pypi
from batch_endpoints.environments.requirements import Lines, named, read_lines
from batch_endpoints.errors import SpecError
from batch_endpoints.specs import Environment
from batch_endpoints.specs.yaml_text import parse_yaml

RECORDED_FILES = ("python_env.yaml", "conda.yaml", "requirements.txt", "constraints.txt")
"""What MLflow records beside a model of the environment it was made in."""
_LAYOUT = 2  # another number makes all nodes build anew


@dataclass(frozen=True)
class EnvironmentPlan:
    """One environment, as it has to be on every node.

    Args:
        python: PEP 440 specifier of its Python; "" means the server's.
        interpreter: path of the Python to use; "" where none is named.
        requirements: lines for pip.
        constraints: lines for pip's ``--constraint``.
        build_dependencies: lines for pip, installed before the others, which may replace them: setuptools and wheel,
            which old packages import when they run (``pkg_resources``).
        conda: packages that conda is to install, as conda writes them, with their channels.
        variables: environment variables of what runs in it.
        notes: what a user should know of these decisions.
    """

    python: str = ""
    interpreter: str = ""
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    build_dependencies: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_built(self) -> bool:
        """Is there anything to build? An interpreter that is named, or the server's, is there already."""
        return bool(self.python or self.requirements or self.build_dependencies or self.conda)

    def key(self, python: str) -> str:
        """The name of what is built: the same for the same content.

        Args:
            python: version and path of the Python that it is built on; conda brings its own, the one asked for.
        """
        left_out = ("notes", "variables") if self.conda else ("notes", "variables", "python")
        content = {name: value for name, value in asdict(self).items() if name not in left_out}
        text = json.dumps([_LAYOUT, python, content], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


def states_interpreter(environment: Environment) -> bool:
    """Does it say what an interpreter can be made of? An image alone does not."""
    return bool(environment.conda_file or environment.python) or environment.requirements is not None


def plan_environment(environment: Environment, *, has_conda: bool, has_recorded: bool = False) -> EnvironmentPlan:
    """What an environment that somebody wrote asks for.

    Args:
        has_conda: is there a conda or micromamba on this node?
        has_recorded: is it for a model whose own environment is recorded, which stands in for what is not stated?

    Raises:
        SpecError: it asks for something that no node can give.
    """
    what = f"environment '{environment.name}'" if environment.name else "the environment"
    conda_file, lines = environment.conda_file, environment.requirements
    if isinstance(conda_file, str):
        conda_file = _conda_text(conda_file, what)
    if isinstance(lines, str):
        lines = lines.splitlines()
    plan = _with_conda(read_conda(conda_file), has_conda) if conda_file else EnvironmentPlan()
    if lines:
        read = read_lines(lines, {}, f"the requirements of {what}" if environment.name else "the requirements")
        plan = _with_lines(plan, read)
    if environment.python:
        plan = replace(plan, python="", interpreter=environment.python)
    given = [name for name in ("image", "build") if getattr(environment, name)]
    if given:
        used = [
            name
            for name, value in (
                ("the conda file", conda_file),
                ("the requirements", lines),
                ("python", environment.python),
            )
            if value
        ]
        note = f"{what} has {' and '.join(given)}, for compute that runs containers: here "
        otherwise = "what is recorded with the model" if has_recorded else "the server's interpreter"
        note += f"its interpreter comes from {' and '.join(used)}" if used else f"{otherwise} is used"
        plan = replace(plan, notes=(note, *plan.notes))
    return plan


def plan_recorded(files: Mapping[str, str], *, has_conda: bool) -> EnvironmentPlan | None:
    """What MLflow recorded beside a model.

    Args:
        files: text of those of ``RECORDED_FILES`` that there are.
        has_conda: is there a conda or micromamba on this node?

    Returns: the plan, None where nothing is recorded.

    Raises:
        SpecError: it asks for something that no node can give.
    """
    where = "the environment recorded with the model"
    if "python_env.yaml" in files:
        document, _ = parse_yaml(files["python_env.yaml"], "python_env.yaml")
        python = str(document.get("python") or "")
        tools = read_lines(map(str, document.get("build_dependencies") or []), files, where).requirements
        plan = EnvironmentPlan(
            python=specifier(python, f"python={python}"),
            build_dependencies=tuple(line for line in tools if named([line]) != {"pip"}),  # uv does its work
        )
        lines = [str(line) for line in document.get("dependencies") or []]
        plan = _with_lines(plan, read_lines(lines, files, where))
    elif "conda.yaml" in files:
        document, _ = parse_yaml(files["conda.yaml"], "conda.yaml")
        plan = _with_conda(read_conda(document), has_conda, files)
    elif "requirements.txt" in files:
        plan = _with_lines(EnvironmentPlan(), read_lines(files["requirements.txt"].splitlines(), files, where))
    else:
        return None
    return plan


def _with_conda(conda: CondaFile, has_conda: bool, files: Mapping[str, str] | None = None) -> EnvironmentPlan:
    plan = EnvironmentPlan(python=conda.python, variables=conda.variables)
    if conda.others and has_conda:
        plan = replace(plan, conda=conda.others + conda.build_tools, channels=conda.channels)
    else:
        lines, notes = to_pypi(conda.others)
        plan = replace(plan, requirements=lines, build_dependencies=to_pypi(conda.build_tools)[0], notes=notes)
    return _with_lines(plan, read_lines(conda.pip, files or {}, "the conda file's list 'pip:'"))


def _with_lines(plan: EnvironmentPlan, lines: Lines) -> EnvironmentPlan:
    return replace(
        plan,
        requirements=plan.requirements + lines.requirements,
        constraints=plan.constraints + lines.constraints,
    )


def _conda_text(text: str, what: str) -> dict[str, object]:
    """The content of a conda file that came as text, as Azure ML's REST sends it."""
    if "\n" not in text and ":" not in text:
        raise SpecError(
            f"the conda file '{text}' of {what} was not sent along", mend="Give its content in its place."
        )
    return parse_yaml(text, "conda_file")[0]
