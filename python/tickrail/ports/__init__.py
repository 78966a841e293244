"""Ports: what a strategy or the loop needs of the world, as Protocols; adapters implement them, found by name.

Each says in its docstring which threads call it, in which order, what it may raise, and whose time it tells. The
suites of ``tickrail.testing.conformance`` hold adapters to that.
"""

from tickrail.ports.clock import Clock
from tickrail.ports.execution import AsyncExecutionPort, Execution, ExecutionPort, StatementPort, Venue
from tickrail.ports.market_data import FeedPort, LiveFeed, LiveFeedPort, MarketDataPort
from tickrail.ports.portfolio import Portfolio, PortfolioPort
from tickrail.ports.state_store import StateStorePort
from tickrail.ports.telemetry import TelemetryPort

ClockPort = Clock

__all__ = [
    "AsyncExecutionPort",
    "Clock",
    "ClockPort",
    "Execution",
    "ExecutionPort",
    "FeedPort",
    "LiveFeed",
    "LiveFeedPort",
    "MarketDataPort",
    "Portfolio",
    "PortfolioPort",
    "StateStorePort",
    "StatementPort",
    "TelemetryPort",
    "Venue",
]
