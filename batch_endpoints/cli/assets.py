"""``model``, ``data``, ``environment``, ``component``, ``datastore``, ``compute``: one grammar for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from batch_endpoints.cli.changes import (
    assignments,
    changed,
    edit_options,
    file_option,
    flags_of,
    no_wait_option,
    set_option,
)
from batch_endpoints.cli.grammar import CommonFlags, Noun, Verb, confirmed
from batch_endpoints.client.records import Records, Versions, merge_patch

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Flag:
    """A flag of ``create`` that sets one key of the document."""

    names: Sequence[str]
    key: str
    help: str
    is_path: bool = False


DESCRIPTION = Flag(("--description",), "description", "What it is.")
PATH = Flag(("-p", "--path"), "path", "Local path or URI.", is_path=True)
TYPE = Flag(("-t", "--type"), "type", "Its type.")


def noun(kind: str, name: str, help: str, flags: Sequence[Flag], columns: Sequence[str], versioned: bool) -> Noun:
    """The noun of one kind of asset.

    Args:
        kind: what the client calls the collection: ``models``.
        name: what a person calls one: ``model``.
        help: what it is, in one line.
        flags: of ``create``, beyond those of all kinds.
        columns: of the table that ``list`` shows.
        versioned: has each name versions?
    """
    group = Noun(name=name, help=help)
    name_option = click.option("-n", "--name", required=True, help=f"Name of the {name}.")
    version_option = _optional(
        versioned, click.option("-v", "--version", default="", help="Version; the latest where it is left out.")
    )
    label_option = _optional(versioned, click.option("-l", "--label", default="", help="latest"))

    @group.command()
    @file_option
    @click.option("-n", "--name", default="", help="Name; overrides the one in the YAML.")
    @_optional(versioned, click.option("-v", "--version", default="", help="Version; otherwise the next number."))
    @_all(click.option(*f.names, f.key, default="", help=f.help) for f in flags)
    @click.option("--tags", multiple=True, metavar="KEY=VALUE ...", help="Tags.")
    @set_option
    @no_wait_option
    @click.pass_obj
    def create(
        told: CommonFlags, /, file: Path | None, set_: tuple[str, ...], tags: tuple[str, ...], **given: str
    ) -> Any:
        """Create it from a YAML file, or from flags alone."""
        paths = {flag.key for flag in flags if flag.is_path}
        changes: dict[str, Any] = {
            key: _absolute(value) if key in paths else value for key, value in given.items() if value
        }
        if "type" in changes:
            changes["type"] = changes["type"].lower()  # az takes AmlCompute as well
        if not (file or changes):
            raise click.UsageError("give --file, or at least --name")
        tagged, set_values = assignments(f"tags.{pair}" for pair in tags), assignments(set_)
        origins = flags_of(changes) | dict.fromkeys(tagged, "--tags") | dict.fromkeys(set_values, "--set")
        return _records(told, kind).create(file or {}, changes | tagged | set_values, flags=origins)

    @group.command()
    @name_option
    @version_option
    @label_option
    @click.pass_obj
    def show(told: CommonFlags, name: str, version: str = "", label: str = "") -> Any:
        """Show one."""
        return _get(_records(told, kind), name, version, label)

    listed = "List them, the newest version of each; all of one with --name." if versioned else "List them."

    @group.command("list", cls=Verb, columns=columns, help=listed)
    @_optional(versioned, click.option("-n", "--name", default="", help="All versions of this name."))
    @click.pass_obj
    def list_(told: CommonFlags, name: str = "") -> Any:
        records = _records(told, kind)
        return list(records.versions(name) if name and isinstance(records, Versions) else records.list())

    @group.command()
    @name_option
    @version_option
    @label_option
    @edit_options
    @no_wait_option
    @click.pass_obj
    def update(
        told: CommonFlags,
        name: str,
        set_: tuple[str, ...],
        add: tuple[str, ...],
        remove: tuple[str, ...],
        version: str = "",
        label: str = "",
    ) -> Any:
        """Change what may change; the content of a version never does."""
        records = _records(told, kind)
        before = _get(records, name, version, label)
        patch = merge_patch(before, changed(before, set_, add, remove))
        if isinstance(records, Versions):
            return records.update(name, patch, str(before["version"]))
        return records.update(name, patch)

    @group.command()
    @name_option
    @_optional(versioned, click.option("-v", "--version", required=True, help="The version to delete."))
    @click.option("-y", "--yes", is_flag=True, help="Do not ask.")
    @no_wait_option
    @click.pass_obj
    def delete(told: CommonFlags, /, yes: bool, **which: str) -> None:
        """Delete one."""
        confirmed(f"{kind.removesuffix('s')} '{':'.join(which[k] for k in sorted(which))}'", yes)
        _records(told, kind).delete(**which)

    return group


def _records(told: CommonFlags, kind: str) -> Records:
    records = getattr(told.client, kind)
    assert isinstance(records, Records)
    return records


def _get(records: Records, name: str, version: str, label: str) -> dict[str, Any]:
    if label not in ("", "latest"):
        raise click.UsageError("the only label is latest")
    return records.get(name, version) if isinstance(records, Versions) else records.get(name)


def _absolute(path: str) -> str:
    from batch_endpoints.client.wire import is_local

    return str(Path(path).expanduser().absolute()) if is_local(path) else path


def _optional(wanted: bool, option: Callable[[F], F]) -> Callable[[F], F]:
    return option if wanted else lambda function: function


def _all(options: Iterable[Callable[[F], F]]) -> Callable[[F], F]:
    """Several options as one decorator, shown in their order."""

    def decorate(function: F) -> F:
        for option in reversed(list(options)):
            function = option(function)
        return function

    return decorate


model = noun(
    "models",
    "model",
    "Models: a folder or file, by name and version.",
    (TYPE, PATH, DESCRIPTION),
    ("name", "version", "type", "description"),
    versioned=True,
)
data = noun(
    "data",
    "data",
    "Data assets: URIs with a name and versions.",
    (TYPE, PATH, DESCRIPTION),
    ("name", "version", "type", "path", "description"),
    versioned=True,
)
environment = noun(
    "environments",
    "environment",
    "Environments: interpreters and packages for scoring scripts.",
    (
        Flag(("-i", "--image"), "image", "Docker image; kept and shown."),
        Flag(("-c", "--conda-file"), "conda_file", "Conda file; its content is sent.", is_path=True),
        DESCRIPTION,
    ),
    ("name", "version", "image", "description"),
    versioned=True,
)
component = noun(
    "components",
    "component",
    "Components: reusable steps, and the pipelines made of them.",
    (DESCRIPTION,),
    ("name", "version", "type", "display_name"),
    versioned=True,
)
datastore = noun(
    "datastores",
    "datastore",
    "Datastores: places for data, and how to get in.",
    (TYPE, DESCRIPTION),
    ("name", "type", "account_name", "container_name", "uri"),
    versioned=False,
)
compute = noun(
    "computes",
    "compute",
    "Computes: clusters that deployments run on.",
    (
        TYPE,
        Flag(("--size",), "size", "Kind of machine."),
        Flag(("--tier",), "tier", "dedicated or low_priority."),
        Flag(("--min-instances",), "min_instances", "Nodes that always run."),
        Flag(("--max-instances",), "max_instances", "Nodes at most."),
        Flag(("--idle-time-before-scale-down",), "idle_time_before_scale_down", "Seconds."),
        DESCRIPTION,
    ),
    ("name", "type", "size", "tier", "min_instances", "max_instances"),
    versioned=False,
)
