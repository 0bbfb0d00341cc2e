"""How a command line of ``az ml`` is read: nouns, verbs, abbreviated flags, flags with several values.

A verb is a function that returns plain data; what becomes of it (``--output``, ``--query``) is decided here.
"""

from __future__ import annotations

import errno
import functools
import logging
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from batch_endpoints.cli.terminal import echo
from batch_endpoints.errors import BatchEndpointError
from batch_endpoints.terminal_text import for_stream

if TYPE_CHECKING:
    from batch_endpoints.cli import render
    from batch_endpoints.client import BatchEndpointsClient

DEBUG = "batch_endpoints.debug"
HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Failed(click.ClickException):
    """It failed: the message goes to stderr and the exit code is 1."""

    def show(self, file: Any = None) -> None:
        echo(f"ERROR: {self.message}", err=True, fg="red")


class CommonFlags:
    """What the flags that every verb has say."""

    def __init__(self, server: str, only_show_errors: bool) -> None:
        self.server, self.quiet = server, only_show_errors

    @functools.cached_property
    def client(self) -> BatchEndpointsClient:
        from batch_endpoints.client import BatchEndpointsClient

        return BatchEndpointsClient(self.server or None)

    def note(self, text: str) -> None:
        """Say something that is not the answer."""
        if not self.quiet:
            echo(text, err=True)


def _flags_of_every_verb() -> list[click.Option]:
    ignored: dict[str, Any] = {"hidden": True, "expose_value": False}
    return [
        click.Option(
            ["-o", "--output"],
            type=click.Choice(["json", "jsonc", "table", "tsv", "yaml", "yamlc", "none"], case_sensitive=False),
            help="Format; a table on a terminal, JSON when piped.",
        ),
        click.Option(["--query"], default="", metavar="JMESPATH", help="Show only this part of the answer."),
        click.Option(["--server"], default="", metavar="URL", help="The server to talk to."),
        click.Option(["--only-show-errors"], is_flag=True, help="No notes, no log and no progress."),
        click.Option(["--debug"], is_flag=True, help="Log requests, and show the stack of an error."),
        # what scripts written for az pass along; it says nothing here
        click.Option(["-g", "--resource-group"], **ignored),
        click.Option(["-w", "--workspace-name"], **ignored),
        click.Option(["--subscription"], **ignored),
        click.Option(["--verbose"], is_flag=True, **ignored),
    ]


class Verb(click.Command):
    """One verb of a noun; its function returns what is to be shown, or None."""

    def __init__(self, *args: Any, columns: render.Columns = (), **attributes: Any) -> None:
        """Args:
        *args: as of click.Command.
        columns: dotted keys that make the table of a list, perhaps by their headings; () means all that are
            plain values.
        **attributes: as of click.Command.
        """
        super().__init__(*args, **attributes)
        self.columns = columns
        self._own = list(self.params)
        self.params += _flags_of_every_verb()
        self.context_settings = {**HELP, **self.context_settings}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_each_value_flagged(self, with_whole_flags(self, args)))

    def invoke(self, ctx: click.Context) -> Any:
        from batch_endpoints.cli import render

        given = ctx.params
        output, query, server = (given.pop(key) or "" for key in ("output", "query", "server"))
        quiet, debug = given.pop("only_show_errors"), given.pop("debug")
        ctx.meta[DEBUG] = debug
        if debug:
            from batch_endpoints.specs.log_lines import LogFormatter

            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(LogFormatter())
            logging.basicConfig(level=logging.DEBUG, handlers=[handler])
        select = render.selection(query)
        ctx.obj = CommonFlags(server, quiet)
        answer = super().invoke(ctx)
        shown = select(answer)
        if shown is not None:
            form = output or ("table" if sys.stdout.isatty() else "json")
            render.show(shown, form, () if query else self.columns)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, params in (("Options", self._own), ("Options of every verb", self.get_params(ctx))):
            rows = [
                record
                for param in params
                if title == "Options" or param not in self._own
                if (record := param.get_help_record(ctx))
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class Noun(click.Group):
    """What verbs act on."""

    command_class = Verb

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.context_settings = {**HELP, **self.context_settings}


class Main(click.Group):
    """The nouns, each imported when it is used, and errors as text."""

    def __init__(
        self, *, places: Mapping[str, tuple[str, str]], aliases: Mapping[str, str], **attributes: Any
    ) -> None:
        """Args:
        places: where each command is (``module:name`` in this package), and its help in one line.
        aliases: short names of commands.
        **attributes: as of click.Group.
        """
        super().__init__(**attributes)
        self._places, self._aliases = places, aliases
        self.context_settings = {**HELP, **self.context_settings}
        self.params.append(
            click.Option(["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_version,
                         help="Show the version.")
        )  # fmt: skip

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = self._aliases.get(cmd_name, cmd_name)
        if name not in self._places:
            return None
        module, _, attribute = self._places[name][0].partition(":")
        found = getattr(import_module(f"batch_endpoints.cli.{module}"), attribute)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        short = {name: alias for alias, name in self._aliases.items()}
        rows = [
            (f"{name}, {short[name]}" if name in short else name, text)
            for name, (_, text) in self._places.items()
        ]  # fmt: skip
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:  # it quotes what was typed, or pasted
            message = error.format_message()
            if (shown := for_stream(message, sys.stderr)) != message:
                raise click.UsageError(shown, ctx=error.ctx) from None
            raise
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.meta.get(DEBUG) or (isinstance(error, OSError) and error.errno == errno.EPIPE):
                raise
            if isinstance(error, BatchEndpointError):
                raise Failed(str(error)) from None
            raise Failed(f"{type(error).__name__}: {error}\nRun it again with --debug to see where.") from None


def with_whole_flags(command: click.Command, args: Sequence[str]) -> list[str]:
    """Abbreviated long flags, as argparse allows them, written out: ``--f x`` is ``--file x``.

    Raises:
        click.UsageError: an abbreviation of several flags.
    """
    flags = {flag: param for param in command.params for flag in (*param.opts, *param.secondary_opts)}
    flags |= dict.fromkeys(["--help"], click.Option(["--help"]))
    whole = list(args)
    for index, token in enumerate(args):
        if token == "--":
            break
        flag, equals, value = token.partition("=")
        if not flag.startswith("--") or flag in flags:
            continue
        meant = [known for known in flags if known.startswith(flag)]
        if len({id(flags[known]) for known in meant}) > 1:
            raise click.UsageError(f"{flag} could be {', '.join(sorted(meant))}; write more of it")
        if meant:
            whole[index] = meant[0] + equals + value
    return whole


def with_each_value_flagged(command: click.Command, args: Sequence[str]) -> list[str]:
    """``--set a=1 b=2`` as click knows it: ``--set a=1 --set b=2``."""
    many = {flag for param in command.params if getattr(param, "multiple", False) for flag in param.opts}
    flagged: list[str] = []
    current, taken = "", False
    for token in args:
        if token.startswith("-") and len(token) > 1 and not token[1].isdigit():
            flag = token.partition("=")[0]
            current, taken = (flag, "=" in token) if flag in many else ("", False)
        elif current:
            if taken:
                flagged.append(current)
            taken = True
        flagged.append(token)
    return flagged


def confirmed(what: str, yes: bool) -> None:
    """Ask before something is deleted.

    Raises:
        click.UsageError: nobody can be asked, and ``--yes`` was not given.
        click.Abort: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"to delete {what} without being asked, add --yes")
    click.confirm(for_stream(f"Delete {what}?", sys.stderr), abort=True, err=True)


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        echo(f"batch-endpoints {version('batch-endpoints')}")
        ctx.exit()
