"""tickrail."""
