"""Commands of the project: `kedro run` with errors of one line, and `kedro status`."""

from __future__ import annotations

import copy
import os
import shlex
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click
from kedro.framework.cli.project import PARAMS_ARG_HELP, PIPELINES_ARG_HELP
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import KedroCliError, _split_params, env_option, split_string
from kedro.io.core import DatasetError

from circuit_distillation.hooks.runs import RUNNER
from circuit_distillation.storage.errors import first_line

GO_ON = "--only-missing-outputs"
SECONDS_BETWEEN_LINES = "15"  # of a progress bar in a log
IN_ONE_LINE = (ValueError, OSError, RuntimeError, MemoryError, FloatingPointError, DatasetError)
INTERRUPTS = ("KeyboardInterrupt", "SignalException")  # the latter of processes that share a computation


class RunError(KedroCliError):
    """What stopped a command, in a line; a second one where the cause may not be the user's."""

    def show(self, file: TextIO | None = None) -> None:
        """The line; with --verbose where it came from."""
        if self.VERBOSE_ERROR:
            click.echo("".join(traceback.format_exception(self.__cause__)), err=True)
        click.secho(f"Error: {self.message}", fg="red", err=True)
        if not self.VERBOSE_ERROR and not isinstance(self.__cause__, KedroCliError):
            click.echo("(--verbose shows where it comes from)", err=True)


class LogStream:
    """A stream in which a bar that redraws itself takes a line each time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write with line ends for returns."""
        return self._stream.write(text.replace("\r", "\n"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _run(verbose: bool, **options: Any) -> Any:
    KedroCliError.VERBOSE_ERROR = verbose
    _prepare_output()
    options["runner"] = options.get("runner") or RUNNER
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # of a scheduler: stops like Ctrl-C
    try:
        return kedro_run.callback(**options)
    except KedroCliError as error:
        raise RunError(error.message) from error
    except BaseException as error:
        if type(error).__name__ in INTERRUPTS:
            _stop()
        if isinstance(error, IN_ONE_LINE):
            raise RunError(_in_one_line(error)) from error
        raise


run = copy.copy(kedro_run)
run.callback = _run
run.params = [
    *kedro_run.params,
    click.Option(["--verbose"], is_flag=True, help="Show where errors come from."),
]


@click.group(name=__name__)
def cli() -> None:
    """Commands of circuit distillation."""


cli.add_command(run)


@cli.command()
@env_option
@click.option("--pipelines", default="__default__", help=PIPELINES_ARG_HELP, callback=split_string)
@click.option("--params", default="", help=PARAMS_ARG_HELP, callback=_split_params)
@click.option(
    "--accept", is_flag=True, help="Take all that is stored as it is: give it the fingerprint of now."
)
def status(env: str | None, pipelines: list[str], params: dict[str, Any], accept: bool) -> None:
    """What each arm trains with, what `kedro run --only-missing-outputs` would run, and why; runs nothing."""
    from circuit_distillation.status import accept_stored, arms_table, planned, table

    try:
        planner, parameters = planned(env, pipelines, params)
    except KedroCliError as error:
        raise RunError(error.message) from error
    if accept:
        click.echo(f"{accept_stored(planner)} artifacts are taken as they are")
    click.echo(f"{table(planner)}\n\n{arms_table(parameters)}")


def _prepare_output() -> None:
    """Bars that stay readable where they cannot redraw themselves."""
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", SECONDS_BETWEEN_LINES)
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # also of every model that is loaded
        sys.stderr = LogStream(sys.stderr)


def _stop() -> NoReturn:
    """Say how to go on; then stop MLflow's run, which is not finished, if its store still answers."""
    module = Path(sys.argv[0]).name == "__main__.py"  # python -m circuit_distillation, or its package
    start = ["python", "-m", "circuit_distillation"] if module else ["kedro"]
    words = [word for word in sys.argv[1:] if word != GO_ON]
    command = shlex.join([*start, *words, GO_ON])
    click.echo(f"\nStopped. What is finished is kept; go on with `{command}`", err=True)
    if mlflow := sys.modules.get("mlflow"):
        try:
            mlflow.end_run("KILLED")
        except Exception as error:  # of any kind: MLflow passes on those of its stores
            click.echo(f"MLflow has failed ({first_line(error)}): its run stays open", err=True)
    sys.exit(130)


def _in_one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[-2:]) if lines else type(error).__name__
