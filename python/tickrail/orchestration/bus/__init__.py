"""The parts of the command bus: see ``tickrail.orchestration.command_bus``."""
