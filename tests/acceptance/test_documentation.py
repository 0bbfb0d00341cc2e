"""The documentation is true: its commands run as they stand there, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from batch_endpoints.cli.local_ray import free_ports

ROOT = Path(__file__).parents[2]
LAST = ROOT / "docs" / "running.md"  # it ends the server
PAGES = [ROOT / "README.md", *sorted({*(ROOT / "docs").glob("*.md")} - {LAST}), LAST]
ALL_PAGES = [*PAGES, *ROOT.glob("examples/*/README.md"), *ROOT.glob("cluster-configs/*.md")]
NOT_RUN = re.compile(r"<!-- not run(?: here)?: (.+) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    before: str  # the line before it that is not empty

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def reason_not_to_run(self) -> str:
        found = NOT_RUN.fullmatch(self.before)
        return found[1] if found else ""


def blocks(page: Path) -> list[Block]:
    """The blocks of commands and of Python, in their order."""
    found: list[Block] = []
    lines = page.read_text().splitlines()
    begin = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if begin is None:
            begin = number
            continue
        before = next((text for text in reversed(lines[:begin]) if text.strip()), "")
        text = "\n".join(lines[begin + 1 : number])
        found.append(Block(str(page.relative_to(ROOT)), begin + 1, lines[begin][3:].strip(), text, before))
        begin = None
    assert begin is None, f"{page}: a block without an end"
    return [block for block in found if block.language in ("bash", "python")]


def as_bash(block: Block, python: str) -> str:
    if block.language == "bash":
        return block.text
    return f"{python} - <<'END-OF-PYTHON'\n{block.text}\nEND-OF-PYTHON"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The examples as a clone has them."""
    folder = tmp_path / "checkout"
    left_out = shutil.ignore_patterns("model", "data", "ml*", "named-outputs")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=left_out)
    return folder


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with ``python`` and ``batch-endpoints``; its ``up`` gets a free port instead of the usual one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (port,) = free_ports(1)
    command = f'exec "{sys.executable}" -m batch_endpoints.cli "$@"'
    texts = {
        "python": f'exec "{sys.executable}" "$@"',
        "batch-endpoints": f'[ "$1" = up ] && set -- "$@" --port {port}\n{command}',
    }
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.walk
def test_commands_run_as_they_stand_in_the_documentation(shell, checkout, programs):
    run = [block for page in PAGES for block in blocks(page) if not block.reason_not_to_run]
    environment = {**shell.environment, "PATH": f"{programs}:{os.environ['PATH']}"}
    script = "\n".join(f"echo '+ {block}' >&2\n{as_bash(block, 'python')}" for block in run)
    try:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    finally:
        shell.run("down")
    assert "Completed" in done.stdout + done.stderr
    assert f"+ {run[-1]}" in done.stderr


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_to_files_and_headings(page):
    def anchors(file: Path) -> set[str]:
        headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}, which is not there"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}, a heading that is not there"


def test_a_block_that_is_not_run_has_its_reason():
    for page in ALL_PAGES:
        for block in blocks(page):
            if block.before.startswith("<!--"):
                assert len(block.reason_not_to_run) > 10, f"{block}: say why it is not run"
