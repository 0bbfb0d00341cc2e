"""An input that is an MLTable: its file, and the files that this names."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from operator import attrgetter

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import MLTable, SkippedFile, check
from batch_endpoints.specs.uris import shown
from batch_endpoints.specs.yaml_text import parse_yaml
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.addresses import kind_of, local_path
from batch_endpoints.storage.inputs.fetch import read_texts
from batch_endpoints.storage.inputs.listing import InputListing, list_files

FILE = "MLTable"


def read_mltable(uri: str, locate: Callable[[str], str], access: Access = AMBIENT) -> MLTable:
    """What the file says, with a URI for each of its paths.

    Args:
        uri: the folder that the file is in, or the file.
        locate: makes a URI of what is not relative, or refuses it.

    Raises:
        InputError: there is no such file, or it cannot be read.
        SpecError: it says what nobody understands here.
    """
    path, mark, query = (uri, "", "") if local_path(uri) else uri.partition("?")
    folder = path.rstrip("/").removesuffix(f"/{FILE}")
    text = read_texts(folder + mark + query, [FILE], access).get(FILE)
    if text is None:
        raise InputError(f"the input '{shown(uri)}' has no file {FILE}", mend="Name a folder that has one.")
    where = f"{shown(folder)}/{FILE}"
    document, origins = parse_yaml(text, where)
    table = check(MLTable, document, where=origins)
    paths = []
    for given in table.paths:
        kind = next(iter(given.model_fields_set & {"file", "folder", "pattern"}))
        paths.append(given.model_copy(update={kind: _absolute(given.path, folder, mark + query, locate)}))
    return table.model_copy(update={"paths": tuple(paths)})


def list_mltable(table: MLTable, access: Access = AMBIENT) -> InputListing:
    """All files of a table, each once; what a second path lists again is skipped there.

    Returns: as ``list_files``; where they are in several stores the root is "", and each path a URI of its own.

    Raises:
        InputError: one of the paths is missing, empty or unreadable.
    """
    listed = [list_files(given.path, access) for given in table.paths]
    if len(listed) == 1:
        return listed[0]
    root = _common([one.root for one in listed])
    files: dict[str, InputFile] = {}
    skipped: dict[str, SkippedFile] = {}
    again: list[SkippedFile] = []
    for given, one in zip(table.paths, listed, strict=True):
        for file in one.files:
            path = _from(root, one.root, file.path)
            if path in files:
                reason = f"'{shown(given.path)}' of the {FILE} lists it once more"
                again.append(SkippedFile(file=path, reason=reason))
            else:
                files[path] = replace(file, path=path)
        for left_out in one.skipped:
            path = _from(root, one.root, left_out.file)
            skipped.setdefault(path, left_out.model_copy(update={"file": path}))
    by_path = sorted(files.values(), key=attrgetter("path"))
    return InputListing(root, by_path, sorted([*skipped.values(), *again], key=attrgetter("file")))


def _absolute(path: str, folder: str, query: str, locate: Callable[[str], str]) -> str:
    if "://" in path or path.startswith(("azureml:", "/")):
        return locate(path)
    below = posixpath.normpath(path)
    if below.startswith(".."):
        raise InputError(
            f"the path '{path}' leads out of '{shown(folder)}'", mend="Write a whole URI for what is elsewhere."
        )
    place = local_path(folder)
    return str(place / below) if place else f"{folder}/{below}{query}".replace("/./", "/")


def _common(roots: Iterable[str]) -> str:
    """The folder that all of these are in, or are; "" where there is none."""
    parts = [root.split("/") for root in roots]
    if any(kind_of(root) == "web" or "?" in root for root in roots):
        return ""
    shared = []
    for names in zip(*parts, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    # of s3://bucket/… at least the bucket; of /… at least a folder
    return "/".join(shared) if len(shared) > (2 if "://" in "/".join(parts[0]) else 1) else ""


def _from(root: str, top: str, path: str) -> str:
    """The path of a file below ``top``, as named from another root."""
    if kind_of(top) == "web":
        return top
    if "?" in top:
        raise InputError(
            f"'{shown(top)}' cannot stand beside paths of other stores in one {FILE}",
            mend="Say region and endpoint in the environment, or in a datastore.",
        )
    if not root and "://" in top and re.search(r"\?[\w.-]+=", path):
        raise InputError(
            f"'{shown(f'{top}/{path}')}' cannot stand beside paths of other stores in one {FILE}: its name would be "
            "taken for a query",
            mend="Leave it out of the paths, or give it another name.",
        )
    return f"{top}/{path}"[len(root) :].lstrip("/") if root else f"{top}/{path}"
