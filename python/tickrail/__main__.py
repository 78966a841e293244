"""``python -m tickrail`` equals ``tickrail``."""

from tickrail.cli import main

if __name__ == "__main__":
    main(prog_name="tickrail")
