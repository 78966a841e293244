"""From ``module:Class`` to the class, or to the words that say why not."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import ModuleType
from typing import Final

from tickrail.domain.near import near_miss
from tickrail.errors import StrategyImportError, TickrailError
from tickrail.orchestration.guarded_import import ImportHangs, guarded_import
from tickrail.strategy.strategy import Strategy

__all__ = ["import_strategy"]

PACKAGE: Final = str(Path(__file__).parents[1])


def import_strategy(path: str, project: Path) -> type[Strategy]:
    """The class that ``path`` names.

    Raises:
        StrategyImportError: There is no such module or class, importing raised, or the class is no strategy.
    """
    module_name, _, class_name = path.partition(":")
    module = _import(module_name, project)
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, Strategy) and found is not Strategy:
        return found
    known = [name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, Strategy)]
    offered = [name for name in known if name != "Strategy"]
    if found is None:
        raise StrategyImportError(
            f"module '{module_name}' has no class '{class_name}'",
            expected="one of " + ", ".join(offered) if offered else "a class derived from tickrail.Strategy",
            near_miss=near_miss(class_name, offered),
        )
    raise StrategyImportError(f"'{path}' is no strategy", expected="a class derived from tickrail.Strategy")


def _import(name: str, project: Path) -> ModuleType:
    try:
        return guarded_import(name)
    except ImportHangs as error:
        raise StrategyImportError(error.message, hint=error.hint) from None
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise _no_module(name, error.name, project) from None
        raise _raised(name, error) from None
    except (Exception, SystemExit) as error:  # a script that ends the process when imported is the user's mistake too
        raise _raised(name, error) from None


def _no_module(name: str, absent: str, project: Path) -> StrategyImportError:
    folder = project.joinpath(*absent.split(".")[:-1])
    here = (
        [entry.stem for entry in folder.iterdir() if entry.suffix == ".py" or entry.is_dir()] if folder.is_dir() else []
    )
    meant = near_miss(absent.rpartition(".")[2], here)
    near = (
        None
        if meant is None
        else ".".join([*absent.split(".")[:-1], meant, *name.split(".")[len(absent.split(".")) :]])
    )
    return StrategyImportError(
        f"no module '{absent}'", expected=f"a module below {project} or installed", near_miss=near
    )


def _raised(name: str, error: BaseException) -> StrategyImportError:
    if isinstance(error, SyntaxError):
        return StrategyImportError(f"importing '{name}': {error.msg} ({error.filename}:{error.lineno})")
    said = error.message if isinstance(error, TickrailError) else str(error)
    return StrategyImportError(f"importing '{name}' raised {type(error).__name__}: {said}{_place(error)}")


def _place(error: BaseException) -> str:
    """The last line of the user's own code, which neither the import machinery nor this package is."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and not frame.filename.startswith(PACKAGE)]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
