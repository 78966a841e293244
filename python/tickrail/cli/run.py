"""``tickrail run``: the strategies of one environment, from configuration to result folder."""

from __future__ import annotations

import errno
import gc
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tickrail.cli.ending import FILE, End, left_undone
from tickrail.cli.failures import FAILED, INTERRUPTED, OK
from tickrail.cli.options import FiniteRange, configuration_options, json_option, traceback_option
from tickrail.cli.progress import progress_bar
from tickrail.errors import RunFailed, TickrailError
from tickrail.orchestration.output import complain, say

if TYPE_CHECKING:
    from tickrail.orchestration.runtime import Runtime
    from tickrail.orchestration.shutdown import Shutdown
    from tickrail.report.result import Result

__all__ = ["run"]


def _address(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    return f"127.0.0.1:{text}" if text is not None and text.isdigit() else text


@click.command(short_help="Run the strategies of one environment.")
@configuration_options
@click.option("--out", type=click.Path(path_type=Path), help="Result folder; it must not exist or be empty.")
@click.option("--no-progress", is_flag=True, help="No progress bar (there is none without a terminal either).")
@click.option(
    "--control/--no-control",
    default=None,
    help="Serve 'tickrail ctl' by a socket in the run directory (default: in every environment but backtest).",
)
@click.option(
    "--http",
    metavar="[HOST:]PORT",
    callback=_address,
    help="Serve /livez, /readyz and /metrics there (runtime.http); without a host, to this machine alone.",
)
@click.option(
    "--shutdown-timeout",
    "shutdown_s",
    type=FiniteRange(min=0.1, max=86_400.0),
    default=25.0,
    show_default=True,
    help="Seconds from SIGTERM or Ctrl-C to the end of the process, whatever happens.",
)
@json_option
@traceback_option
def run(**options: Any) -> int:
    """Run the strategies of one environment.

    Ends with a summary, the run digest and the place of the result folder:
    RUN_DIR/ENV-TIME-DIGEST, where RUN_DIR is runtime.run_dir of the
    configuration. Ctrl-C and SIGTERM stop the run between two steps, and its
    partial result is kept; a second one leaves it a few seconds, a third none.
    """
    with _uncollected():
        from tickrail.orchestration.shutdown import Shutdown

    deadline_s = options.pop("shutdown_s")
    socket, watchdog_us = os.environ.get("NOTIFY_SOCKET"), os.environ.get("WATCHDOG_USEC")
    with Shutdown(deadline_s=deadline_s, notify=socket, watchdog_us=watchdog_us) as shutdown:
        code, abandoned = _run(shutdown, **options)
        return shutdown.exit_code(code, abandoned=abandoned)


def _run(
    shutdown: Shutdown,
    *,
    env: str,
    config_root: Path,
    secrets_dir: Path | None,
    overrides: tuple[str, ...],
    out: Path | None,
    no_progress: bool,
    control: bool | None,
    http: str | None,
    as_json: bool,
) -> tuple[int, bool]:
    """The exit code that the run means, and whether something had to be abandoned."""
    with _uncollected():
        from tickrail.config import load_config

        if http is not None:
            overrides += (f"runtime.http={http}",)
        loaded = load_config(env, root=config_root, secrets_dir=secrets_dir, overrides=overrides)
        run_dir = loaded.config.runtime.run_dir
        _require_writable(out if out is not None else run_dir, empty=out is not None)
        # Late: a wrong configuration is said sooner.
        from tickrail.orchestration.bootstrapper import RuntimeBootstrapper
        from tickrail.orchestration.kept_trading import is_kept

    home = out.parent if out is not None else run_dir
    end = End(shutdown, home / f"{env}-{os.getpid()}.{FILE}", as_json=as_json)
    with ExitStack() as closed, RuntimeBootstrapper.of(loaded).bootstrap() as runtime:
        wanted = env != "backtest" if control is None else control
        marked = closed.enter_context(ExitStack())
        parent = _mark(marked, runtime, run_dir, env, end.file) if wanted or is_kept(env) else None
        served = _control(runtime, run_dir, env, wanted=wanted)
        if runtime.http_port is not None and runtime.config.runtime.http is not None:
            host = runtime.config.runtime.http.rpartition(":")[0]
            served_at = f"http://{host}:{runtime.http_port} has /livez, /readyz and /metrics"
            complain(lambda: click.echo(served_at, err=True))
        shutdown.attach(runtime.dispatcher)
        runtime.end_deadline_s = shutdown.grace_s
        with served, progress_bar(env, wanted=not no_progress) as progress:
            try:
                result = runtime.run(progress=progress, started=shutdown.ready)
            except Exception as error:
                raise _kept(error, end, runtime, partial(_write, out=out, run_dir=run_dir, env=env), parent) from None
        if signal.SIGINT in shutdown.signals:
            result = replace(result, status="interrupted")
        if parent is not None:
            result = replace(result, parent=parent)
        # before finalisers of services, which may raise: the result is what the user waited for
        with end.step("result", "the result is written"):
            folder = end.within("result", partial(_write, result, out, run_dir, env))
            if folder is not None:
                marked.close()
        # Said even where finalisers raise, and once they are done: async handlers of commands end with the services.
        closed.callback(lambda: _say(end, result, runtime, folder, as_json=as_json))
        closed.enter_context(end.step("services", "services are closed", into=folder))
    from tickrail.report.result import left_by_exit  # late: what writes results is loaded once there is one

    abandoned = left_undone(result) or bool(end.abandoned)
    # A failure is not hidden by the Ctrl-C of whoever has seen it.
    if result.status == "interrupted" and not left_by_exit(result) and not result.failures:
        return INTERRUPTED, abandoned
    return OK if result.ok else FAILED, abandoned


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector: modules and models make a hundred thousand objects, and nearly all of them stay.

    They are kept out of later collections too, which otherwise go through all of them while ticks wait.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _say(end: End, result: Result, runtime: Runtime, folder: Path | None, *, as_json: bool) -> None:
    log_dropped = runtime.log_dropped
    end.abandoned += (f"coroutine {name} has not ended" for name in runtime.dispatcher.io.abandoned)
    report = end.report(result, dict(runtime.dispatcher.dead_letter_counts))
    if report is not None:
        end.write(report)
    where = "not written" if folder is None else str(_shown(folder))
    if as_json:
        more = {} if report is None else {"shutdown": report.to_dict()}
        lost = {"log_dropped": log_dropped} if log_dropped else {}
        text = json.dumps({**result.to_dict(), "folder": None if folder is None else str(folder), **lost, **more})
    else:
        lines = [] if report is None else report.lines()
        if log_dropped:
            lines.append(f"{log_dropped:,} log records were dropped, as nobody read them")
        text = "\n".join([result.summary(), *lines, f"result: {where}"])
    say("the summary", lambda: click.echo(text), place=where)
    end.plan(())


def _control(runtime: Runtime, run_dir: Path, env: str, *, wanted: bool) -> AbstractContextManager[object]:
    """Serves operators within the block."""
    if not wanted:
        return nullcontext()
    from tickrail.orchestration.control import socket_of
    from tickrail.orchestration.kept_trading import is_kept, trading_file

    run_id = f"{env}-{os.getpid()}"
    # What is kept by itself has been taken up already, whoever is served.
    file = None if is_kept(env) else trading_file(run_dir, env)
    return closing(runtime.dispatcher.open_control(socket_of(run_dir, run_id), run_id, trading_file=file))


def _mark(marked: ExitStack, runtime: Runtime, run_dir: Path, env: str, report: Path) -> str | None:
    """Says which run goes on until ``marked`` is closed; the run before it, if that one came to no end."""
    from tickrail.orchestration.kept_trading import socket_folder
    from tickrail.orchestration.run_mark import RunMark

    facts = {"run_id": runtime.dispatcher.run_id, "configuration_digest": runtime.loaded.digest.hex()}
    return marked.enter_context(RunMark(socket_folder(run_dir), run_dir, env, facts, report=report)).parent


def _require_writable(folder: Path, *, empty: bool) -> None:
    """Refuse before the run what would fail after it."""
    if empty and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise click.UsageError(f"--out {folder}: is not an empty folder")
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise click.UsageError(
            f"results cannot be written to '{folder}': '{existing}' is no folder that may be written"
        )


def _write(result: Result, out: Path | None, run_dir: Path, env: str) -> Path:
    folder = out if out is not None else _result_folder(run_dir, env, result.digest)
    try:
        return result.write(folder)
    except OSError as error:  # it may name no file, or one that is gone again
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(folder)) from error


def _kept(
    error: Exception, end: End, runtime: Runtime, write: Callable[[Result], Path], parent: str | None
) -> Exception:
    """The error, once there are a partial result and how it ended; it says where they lie."""
    result = _partial(error, runtime)
    if result is None:
        return error
    try:
        folder = write(replace(result, parent=parent))
        report = end.report(result, dict(runtime.dispatcher.dead_letter_counts))
        if report is not None:
            end.write(report, folder)
        place = f"the partial result lies in {_shown(folder)}"
    except OSError as lost:  # why the run failed is what has to be said
        place = f"the partial result could not be written: {lost.filename}: {lost.strerror}"
    if isinstance(error, TickrailError):
        error.hint = place if error.hint is None else f"{error.hint}; {place}"
    else:
        click.echo(place, err=True)
    return error


def _partial(error: Exception, runtime: Runtime) -> Result | None:
    """What there is of a run that ended by ``error``; ``None``: it had not begun."""
    from tickrail.report.result import Result

    if isinstance(error, RunFailed):
        return error.result if isinstance(error.result, Result) else None
    if not (runtime.dispatcher.ended and runtime.lives.changes):
        return None
    return runtime.dispatcher.result(
        status="failed", cause=error, configuration=runtime.config.model_dump(mode="json", by_alias=True)
    )


def _result_folder(run_dir: Path, env: str, digest: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{env}-{stamp}-{digest[:8]}"
    candidates = (run_dir / (name if number == 1 else f"{name}-{number}") for number in range(1, 1_000))
    return next(candidate for candidate in candidates if not candidate.exists())


def _shown(folder: Path) -> Path:
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
