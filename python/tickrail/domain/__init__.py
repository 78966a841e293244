"""Words of the market and of time; nothing here knows of a run."""
