"""Words of the market and of time, without behaviour of a run."""
