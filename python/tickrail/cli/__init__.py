"""The command line: one module a command, imported when it is asked for."""

from __future__ import annotations

import click

from tickrail.cli.group import CommandGroup

__all__ = ["main"]

EPILOG = """\b
Exit codes:
  0    the run is complete
  1    the run failed, or a strategy failed
  2    wrong usage
  70   the end of the run had to abandon something
  78   wrong configuration
  129  ended by a second SIGHUP
  130  interrupted (Ctrl-C)
  143  ended by a second SIGTERM

\b
Shell completion:
  bash  eval "$(_TICKRAIL_COMPLETE=bash_source tickrail)"
  zsh   eval "$(_TICKRAIL_COMPLETE=zsh_source tickrail)"
  fish  _TICKRAIL_COMPLETE=fish_source tickrail | source
"""


@click.group(cls=CommandGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--traceback", is_flag=True, expose_value=False, help="Show where an error arose [TICKRAIL_TRACEBACK=1].")
@click.version_option(package_name="tickrail", prog_name="tickrail")
def main() -> None:
    """Run trading strategies: the same class in backtest, paper and live."""


main.lazily("run", "tickrail.cli.run:run", "Run the strategies of one environment.")
main.lazily("ctl", "tickrail.cli.ctl:ctl", "Operate a running process.")
main.lazily("top", "tickrail.cli.top:top", "Watch a running process in a live table.")
main.lazily("check", "tickrail.cli.check:check", "Check everything short of starting.")
main.lazily("show", "tickrail.cli.show:show", "Show the configuration after all layers.")
main.lazily("diff", "tickrail.cli.diff:diff", "Show what two environments do not share.")
main.lazily("graph", "tickrail.cli.graph:graph", "Show what a run is made of, in order.")
main.lazily("schema", "tickrail.cli.schema:schema", "Print the JSON schema of configuration files.")
main.lazily("init", "tickrail.cli.init:init", "Make a small working project.")
main.lazily("data", "tickrail.cli.data:data", "Make, import and look into tick files.")
main.lazily("info", "tickrail.cli.info:info", "Show versions, build, processor and paths.")
