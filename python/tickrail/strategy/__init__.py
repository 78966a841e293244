"""Strategies: the base class, its typed fields, its handlers and its life."""

from tickrail.strategy.inject import Inject, injected
from tickrail.strategy.lifecycle import Operation, State, transition
from tickrail.strategy.parameters import Parameter
from tickrail.strategy.strategy import Strategy

__all__ = ["Inject", "Operation", "Parameter", "State", "Strategy", "injected", "transition"]
