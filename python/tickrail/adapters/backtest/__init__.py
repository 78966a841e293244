"""Adapters of a backtest: recorded ticks, simulated venues, telemetry and state in memory."""
