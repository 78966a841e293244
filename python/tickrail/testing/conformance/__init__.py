"""Suites that every adapter passes: derive a test class, say how one is made, and pytest collects the rest.

from tickrail.testing.conformance import StateStoreSuite

class TestMyStore(StateStoreSuite):
    def make(self) -> MyStore:
        return MyStore(...)
"""

from tickrail.testing.conformance.async_execution import AsyncExecutionSuite
from tickrail.testing.conformance.clock import ClockSuite
from tickrail.testing.conformance.execution import ExecutionSuite
from tickrail.testing.conformance.market_data import FeedSuite, LiveFeedSuite, MarketDataSuite
from tickrail.testing.conformance.portfolio import PortfolioSuite
from tickrail.testing.conformance.state import StateStoreSuite
from tickrail.testing.conformance.telemetry import TelemetrySuite

__all__ = [
    "AsyncExecutionSuite",
    "ClockSuite",
    "ExecutionSuite",
    "FeedSuite",
    "LiveFeedSuite",
    "MarketDataSuite",
    "PortfolioSuite",
    "StateStoreSuite",
    "TelemetrySuite",
]
