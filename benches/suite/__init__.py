"""The asv suite; the cases are those of ``python -m benches``."""

import sys
from pathlib import Path

# asv puts benches/ on the path, whereas the cases are imported as a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
