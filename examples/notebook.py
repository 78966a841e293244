"""The cells of a notebook: ticks pulled by a ``for`` loop, orders made between them, the result looked at."""

# %% Some ticks: generated here; tickrail.read_ticks("eurusd.ticks") or any data frame does as well.
import tickrail
from tickrail.data.generator import generate_ticks

ticks = generate_ticks(100_000, seed=7)
instrument = ticks.instruments[0]

# %% Buy the dip, sell the recovery.
with tickrail.open_run(ticks, fee_rate=0.00002) as run:
    lowest = float("inf")
    for tick in run:
        mid = tick.mid
        lowest = min(lowest, mid)
        if mid > lowest * 1.0005 and run.position(instrument) == 0.0:
            run.target(instrument, 1.0)
        elif mid < lowest * 1.0002:
            run.target(instrument, 0.0)

# %% What came of it; in a notebook the last line of a cell shows it as a table.
result = run.result
print(result.summary())
print(result.equity)
