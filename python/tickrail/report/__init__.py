"""What a run leaves behind."""

from tickrail.report.result import Result, StrategyError, StrategyResult

__all__ = ["Result", "StrategyError", "StrategyResult"]
