"""``python -m benches``."""

import sys

from benches.report import main

sys.exit(main())
