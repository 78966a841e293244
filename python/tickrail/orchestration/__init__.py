"""Wiring: configuration to a running set of strategies."""
