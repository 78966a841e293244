"""Timers, and what measuring costs."""

from benches import clock


class Timers:
    timeout = 300
    unit = "ns"

    def track_sim_timer(self) -> float:
        return clock.interleaved({"timer": clock.timer_ns})["timer"]


class Scheduling:
    params = (1, 1_000, 1_000_000)
    param_names = ("pending",)
    timeout = 300
    unit = "ns"

    def track_schedule_and_cancel(self, pending: int) -> float:
        return clock.schedule_ns(pending)


class Metering:
    timeout = 300
    unit = "ns"

    def track_cost_a_tick(self) -> float:
        ticks = clock.quotes(2_000_000)
        cases = {"off": lambda: clock.tick_ns(ticks, 0), "on": lambda: clock.tick_ns(ticks, 256)}
        costs = clock.interleaved(cases)
        return costs["on"] - costs["off"]


class Lateness:
    timeout = 300
    unit = "us"

    def track_p50(self) -> float:
        return clock.lateness_us()[0]

    def track_p99(self) -> float:
        return clock.lateness_us()[1]
