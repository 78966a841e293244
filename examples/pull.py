"""Pull iteration: the loop stands in the script, and trades where a notebook would.

Run it: ``python examples/pull.py``.
"""

import tickrail

if __name__ == "__main__":
    highest = 0.0
    with tickrail.open_run(tickrail.data.generate_ticks(100_000, seed=7)) as run:
        for tick in run:
            if highest and tick.bid > highest:
                run.target(tick.instrument, 1.0)
            highest = max(highest, tick.bid)
    print(run.result.summary())
