"""What the configuration page shows is what its code prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tickrail.config.models import (
    FeedConfig,
    InstrumentConfig,
    LimitConfig,
    RuntimeSettings,
    StrategyConfig,
    VenueConfig,
)

REPOSITORY = Path(__file__).parent.parent.parent
PAGE = (REPOSITORY / "docs" / "reference" / "configuration.md").read_text()


def test_the_shown_output_is_the_output() -> None:
    found = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TICKRAIL_")}
    done = subprocess.run(
        [sys.executable, "-c", found[1]], capture_output=True, text=True, check=True, cwd=REPOSITORY, env=environ
    )
    assert done.stdout == found[2]


def test_every_key_has_its_row_and_no_row_lacks_its_key() -> None:
    models = {
        "[runtime]": RuntimeSettings,
        '[instruments."SYMBOL.VENUE"]': InstrumentConfig,
        "[feeds.ID]": FeedConfig,
        "[venues.ID]": VenueConfig,
        "[strategies.ID]": StrategyConfig,
        "[limits.ID]": LimitConfig,
    }
    for heading, model in models.items():
        section = PAGE.partition(f"### `{heading}`")[2].partition("\n## ")[0].partition("\n### ")[0]
        rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        assert rows == [field.alias or name for name, field in model.model_fields.items()]
