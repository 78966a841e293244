"""The cases for pytest-benchmark: ``pytest benches/local --benchmark-autosave``, then ``--benchmark-compare``."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benches.delivery import CASES, Case

TICKS = 500_000


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_delivery(benchmark: BenchmarkFixture, case: Case) -> None:
    work = case.work(TICKS)
    benchmark.extra_info["ticks"] = work.items
    benchmark.pedantic(work.run, rounds=7, warmup_rounds=1)


@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case.name)
def test_yardstick(benchmark: BenchmarkFixture, case: Case) -> None:
    work = case.yardstick()
    benchmark.extra_info["ticks"] = work.items
    benchmark.pedantic(work.run, rounds=7, iterations=5, warmup_rounds=1)
