"""``RuntimeBootstrapper``: from the name of an environment to a ``Runtime`` that is ready to run."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tickrail.config import LoadedConfig, load_config
from tickrail.config.loader import try_config
from tickrail.errors import ConfigProblems, Problem, TickrailError
from tickrail.orchestration.account_lock import accounts_held
from tickrail.orchestration.assembly import Assembly
from tickrail.orchestration.checks import Check
from tickrail.orchestration.kept_trading import unreadable
from tickrail.orchestration.output import complain, say
from tickrail.orchestration.phases import Phase, attribute
from tickrail.orchestration.provider import Provider
from tickrail.orchestration.run_claim import build_name, claimed
from tickrail.orchestration.runtime import Runtime
from tickrail.orchestration.tracing import span
from tickrail.orchestration.wiring import Wiring, wiring_of

if TYPE_CHECKING:
    import argparse

    from tickrail.orchestration.shutdown import Shutdown

__all__ = ["RuntimeBootstrapper", "main"]

INTERRUPTED: Final = 130
LOG: Final = logging.getLogger("tickrail.orchestration")


class RuntimeBootstrapper:
    """Builds a runtime in one order, everywhere: configuration, adapters, classes, services, strategies.

    Args:
        env: Name of the environment: a folder under ``root``.
        root: The configuration root; its parent is the project, where strategies are imported from.
        overrides: Texts ``a.b=v`` over everything else, as ``--set``.
        secrets_dir: Folder of secrets; ``None`` takes the variable ``TICKRAIL_SECRETS_DIR``.
        environ: Variables; ``None`` takes those of the process.
        modules: Providers of services, or ``module:attribute`` where one is found.
        checks: Functions that are asked before the start, beside those of ``runtime.checks``.
    """

    def __init__(
        self,
        env: str,
        *,
        root: str | Path = "config",
        overrides: Iterable[str] = (),
        secrets_dir: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
        modules: Sequence[Provider | str] = (),
        checks: Sequence[Check | str] = (),
    ) -> None:
        self.env = env
        self.root = Path(root)
        self.overrides = tuple(overrides)
        self.secrets_dir = secrets_dir
        self.environ = environ
        self.modules = tuple(modules)
        self.checks = tuple(checks)
        self._loaded: LoadedConfig | None = None

    @classmethod
    def of(cls, loaded: LoadedConfig, *, modules: Sequence[Provider | str] = ()) -> Self:
        """A bootstrapper for a configuration that is loaded already."""
        made = cls(loaded.env, root=loaded.shown_root, modules=modules)
        made._loaded = loaded
        return made

    def load(self) -> LoadedConfig:
        """The configuration, loaded once.

        Raises:
            ConfigError: It cannot be loaded.
        """
        if self._loaded is None:
            self._loaded = load_config(self.env, **self._sources())
        return self._loaded

    def check(self) -> Wiring:
        """Do all that ``bootstrap`` does short of making services and starting, and undo it.

        Configuration, adapters, data, classes, parameters, handlers and the graph of services. A mistake in the
        configuration keeps nothing else from being checked.

        Returns:
            What a run would be put together from, in which all is well.

        Raises:
            ConfigError: Whatever is wrong, all of it, each with its place.
            WiringError: Nothing else is wrong, but the providers make no sound graph.
        """
        loaded, problems = self._try_load()
        unread = any(not problem.path for problem in problems)  # what a file would have said is not known to be missing
        if loaded is None or unread:
            raise ConfigProblems(problems)
        problems = [*problems, *unreadable(loaded.config.runtime.run_dir, loaded.env)]
        with ExitStack() as undo:
            try:
                wiring = wiring_of(loaded, Assembly(loaded, undo).parts(self.modules))
            except ConfigProblems as error:
                found = [more for more in error.problems if not any(_related(more, one) for one in problems)]
                raise ConfigProblems([*problems, *found], hint=error.hint) from None
        if problems:
            raise ConfigProblems(problems)
        return wiring

    def _try_load(self) -> tuple[LoadedConfig | None, list[Problem]]:
        return (self._loaded, []) if self._loaded is not None else try_config(self.env, **self._sources())

    def _sources(self) -> dict[str, Any]:
        names = ("root", "secrets_dir", "environ", "overrides")
        return {name: getattr(self, name) for name in names}

    def bootstrap(self) -> Runtime:
        """Build it; nothing is left behind where that fails.

        Returns:
            A runtime with all strategies registered in the order of their tables, ready to run.

        Raises:
            ConfigError: The configuration is wrong, or names what is not there (a class, a parameter, an adapter, an
                instrument): all of it, each with its place.
            WiringError: The providers make no sound graph.
        """
        try:
            loaded = self.load()
        except BaseException as error:
            attribute(error, Phase.CONFIGURATION)
            raise
        LOG.info("configuration of environment %s: digest %s", loaded.env, loaded.digest.hex())
        with ExitStack() as undo:
            log_handler = self._log_to(loaded, undo)
            if loaded.config.runtime.exclusive:
                undo.enter_context(claimed(loaded, build_name()))
            undo.enter_context(accounts_held(loaded))
            with span("tickrail.bootstrap", environment=loaded.env):
                assembly = Assembly(loaded, undo)
                runtime = assembly.build(self.modules, self.checks)
                runtime.graph_hash = wiring_of(loaded, assembly.made).digest
                runtime.log_handler = log_handler
                return runtime

    def _log_to(self, loaded: LoadedConfig, undo: ExitStack) -> logging.Handler | None:
        """Log records go where ``runtime.log`` says, as long as the runtime is open; what writes them there."""
        if loaded.config.runtime.log == "none":
            return None
        logs = importlib.import_module("tickrail.adapters.observability.logs")
        handler: logging.Handler = logs.install(loaded.config.runtime.log, run=f"{loaded.env}-{os.getpid()}")
        undo.callback(logs.remove, handler)
        return handler


def _related(one: Problem, other: Problem) -> bool:
    """Whether one of them lies in the table that the other is about, so that it may follow from it."""
    shorter, longer = sorted((one.path, other.path), key=len)
    return longer == shorter or (shorter != "" and longer.startswith(f"{shorter}."))


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m tickrail.orchestration.bootstrapper --env E``: bootstrap, run, print the summary.

    Ends as ``tickrail run`` does, by the same signals, within the same time and with the same exit codes.
    """
    given = _parser().parse_args(arguments)
    bootstrapper = RuntimeBootstrapper(
        given.env, root=given.root, overrides=given.overrides, secrets_dir=given.secrets_dir
    )
    from tickrail.orchestration.shutdown import Shutdown  # late: of use to programs alone

    with Shutdown(notify=os.environ.get("NOTIFY_SOCKET"), watchdog_us=os.environ.get("WATCHDOG_USEC")) as shutdown:
        return _exit_code(bootstrapper, shutdown)


def _exit_code(bootstrapper: RuntimeBootstrapper, shutdown: Shutdown) -> int:
    try:
        with bootstrapper.bootstrap() as runtime:
            shutdown.attach(runtime.dispatcher)
            runtime.end_deadline_s = shutdown.grace_s
            result = runtime.run(started=shutdown.ready)
            shutdown.phase("services are closed")
    except TickrailError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except Exception as error:
        _complain(f"unexpected {type(error).__name__}: {error}")
        return 1
    from tickrail.report.result import left_by_exit

    say("the summary", lambda: sys.stdout.write(result.summary() + "\n"))
    interrupted = result.status == "interrupted" and not left_by_exit(result)
    code = INTERRUPTED if interrupted else 0 if result.ok else 1
    left = bool(result.stats.get("ending", {}).get("abandoned") or runtime.dispatcher.io.abandoned)
    return shutdown.exit_code(code, abandoned=left)


def _complain(what: str) -> None:
    complain(lambda: sys.stderr.write(f"error: {what}\n"))


def _parser() -> argparse.ArgumentParser:
    import argparse  # late: the command line has a parser of its own

    parser = argparse.ArgumentParser(prog="python -m tickrail.orchestration.bootstrapper", description=main.__doc__)
    default = os.environ.get("TICKRAIL_ENV")
    parser.add_argument("--env", default=default, required=default is None, help="environment (default: TICKRAIL_ENV)")
    root = os.environ.get("TICKRAIL_CONFIG_ROOT", "config")
    parser.add_argument("--root", "--config-root", default=root, help="configuration root")
    parser.add_argument("--secrets-dir", help="folder of secrets (default: TICKRAIL_SECRETS_DIR)")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="a.b=v", help="set one value")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
