"""Ports: what a strategy or the loop needs of the world, as Protocols; adapters implement them, found by name."""

from tickrail.ports.clock import Clock
from tickrail.ports.execution import Execution, Venue
from tickrail.ports.market_data import LiveMarketData, MarketData
from tickrail.ports.portfolio import Portfolio
from tickrail.ports.state_store import StateStore
from tickrail.ports.telemetry import Telemetry

__all__ = ["Clock", "Execution", "LiveMarketData", "MarketData", "Portfolio", "StateStore", "Telemetry", "Venue"]
