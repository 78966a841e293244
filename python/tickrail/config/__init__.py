"""Configuration: TOML tables, variables and flags into frozen models that know where each value came from."""

from tickrail.config.loader import LoadedConfig, load_config
from tickrail.config.models import (
    FeedConfig,
    InstrumentConfig,
    LimitConfig,
    RuntimeConfig,
    RuntimeSettings,
    StrategyConfig,
    VenueConfig,
)
from tickrail.config.origins import Origin

__all__ = [
    "FeedConfig",
    "InstrumentConfig",
    "LimitConfig",
    "LoadedConfig",
    "Origin",
    "RuntimeConfig",
    "RuntimeSettings",
    "StrategyConfig",
    "VenueConfig",
    "load_config",
]
