"""Parameters of strategies: validated, read-only, introspectable; mistakes are named."""

from __future__ import annotations

import gc
import pathlib
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
from pydantic import Field

import tickrail
from tickrail import Tick
from tickrail.errors import HandlerError, NotInjected, ParameterError
from tickrail.strategy import Inject, Strategy, injected
from tickrail.strategy.stable_text import stable_text
from tickrail.strategy.strategy import check_ready, inject, parameters_of, schema


class PriceStore:
    pass


class Cross(Strategy):
    fast: int = 20
    slow: int = 100
    quantity: float = 1.0
    kind: ClassVar[str] = "cross"
    _seen: int = 0
    plain = "an ordinary attribute"


class Full(Cross):
    level: float
    prices: Inject[PriceStore]
    path: pathlib.Path | None = None
    pair: tuple[int, int] = (1, 2)
    mode: Literal["a", "b"] = "a"
    window: Annotated[int, Field(ge=2)] = 2
    names: list[str] = []  # noqa: RUF012


def test_defaults_and_keywords() -> None:
    strategy = Cross(fast=5)
    assert (strategy.fast, strategy.slow, strategy.quantity) == (5, 100, 1.0)
    assert repr(strategy) == "Cross(fast=5, slow=100, quantity=1.0)"


def test_introspection_leaves_out_class_variables_underscores_and_services() -> None:
    assert [p.name for p in Cross.parameters()] == ["fast", "slow", "quantity"]
    assert [p.name for p in Full.parameters()][3:] == ["level", "path", "pair", "mode", "window", "names"]
    level = next(p for p in Full.parameters() if p.name == "level")
    assert level.required
    assert level.type_name == "float"


@pytest.mark.parametrize("value", ["15", True, 15.0, None])
def test_int_takes_whole_numbers_only(value: object) -> None:
    with pytest.raises(ParameterError, match=r"parameter 'fast' \(int\) is .*; expected a whole number"):
        Cross(fast=value)  # type: ignore[arg-type]


def test_float_takes_a_whole_number_and_nothing_else() -> None:
    quantity = Cross(quantity=2).quantity
    assert isinstance(quantity, float)
    for wrong in ("2", True):
        with pytest.raises(ParameterError, match="expected a number"):
            Cross(quantity=wrong)  # type: ignore[arg-type]


def test_steps_of_a_numpy_range_are_numbers() -> None:
    assert [type(Cross(fast=step).fast) for step in np.arange(2)] == [int, int]
    with pytest.raises(ParameterError):
        Cross(fast=np.bool_(True))  # type: ignore[arg-type]


def test_what_files_can_say_is_taken_for_richer_types() -> None:
    strategy = Full(level=1, prices=PriceStore(), path="a/b", pair=[3, 4], mode="b")  # type: ignore[arg-type]
    assert strategy.path == pathlib.Path("a/b")
    assert strategy.pair == (3, 4)
    assert strategy.mode == "b"


def test_all_mistakes_at_once_with_near_miss() -> None:
    with pytest.raises(ParameterError) as caught:
        Cross(fats=1, slow="x")  # type: ignore[call-arg, arg-type]
    error = caught.value
    assert isinstance(error, TypeError)
    assert error.strategy == "Cross"
    assert str(error).splitlines() == [
        "Cross: unknown parameter 'fats'; did you mean 'fast'?",
        "Cross: parameter 'slow' (int) is of type str; expected a whole number",
    ]
    assert [(p.path, p.near_miss) for p in error.problems] == [("fats", "fast"), ("slow", None)]


def test_missing_and_constraint() -> None:
    with pytest.raises(ParameterError, match=r"parameter 'level' \(float\) is missing"):
        Full(prices=PriceStore())  # type: ignore[call-arg]
    with pytest.raises(ParameterError, match=r"parameter 'window' .* is 1; expected greater than or equal to 2"):
        Full(level=1.0, prices=PriceStore(), window=1)


def test_keyword_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        Cross(5)  # type: ignore[misc]


def test_parameters_cannot_be_changed_while_other_attributes_can() -> None:
    strategy = Cross()
    with pytest.raises(ParameterError, match=r"Cross.fast is a parameter and cannot be changed"):
        strategy.fast = 3  # type: ignore[misc]
    with pytest.raises(ParameterError):
        del strategy.fast
    strategy.average = 1.5  # type: ignore[attr-defined]
    assert (strategy.fast, vars(strategy)["average"]) == (20, 1.5)


def test_a_value_that_json_cannot_say_is_told_by_its_class() -> None:
    circle: list[object] = []
    circle.append(circle)
    parameter = schema(Full).parameters["names"]
    assert (parameter.plain(circle), parameter.plain(["a", object()])) == ("list", ["a", "object"])


def test_a_mutable_default_is_not_shared() -> None:
    first, second = (Full(level=1.0, prices=PriceStore()) for _ in range(2))
    first.names.append("x")
    assert second.names == []


def test_services() -> None:
    prices = PriceStore()
    assert Full(level=1.0, prices=prices).prices is prices
    strategy = Full(level=1.0)  # type: ignore[call-arg]
    with pytest.raises(NotInjected, match=r"Full.prices was read before a service was injected"):
        _ = strategy.prices
    with pytest.raises(ParameterError, match="nothing was injected for prices"):
        check_ready(strategy)
    inject(strategy, {"prices": prices})
    check_ready(strategy)
    assert strategy.prices is prices


class Bare(Strategy):
    """Nothing to hold: the interpreter's own layout stays (docs/decisions/0020)."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_quote(self, tick: Tick) -> None:
        self.count += 1


def has_dict(strategy: Strategy) -> bool:
    """Whether the interpreter made a dict for the attributes; looked at from outside, as asking for it makes one."""
    return any(isinstance(held, dict) for held in gc.get_referents(strategy))


def test_without_parameters_no_dict_is_made_by_anything_that_a_run_does() -> None:
    strategy = Bare()
    check_ready(strategy)
    inject(strategy, {})
    assert (repr(strategy), parameters_of(strategy), Bare.parameters()) == ("Bare()", {}, ())
    result = tickrail.backtest(strategy, tickrail.data.generate_ticks(1_000, seed=1))
    assert result.ok
    assert strategy.count == 1_000
    with pytest.raises(HandlerError, match="no compiled state"):
        strategy.snapshot()
    assert not has_dict(strategy)
    assert has_dict(Cross()), "with parameters there is one, its own"
    strategy.count = 7
    assert (vars(strategy), strategy.count) == ({"count": 7}, 7)


def test_services_of_a_strategy_without_parameters_keep_what_stands_there() -> None:
    class Served(Strategy):
        prices: Inject[PriceStore]

        def __init__(self) -> None:
            super().__init__()
            self.count = 3

    strategy, prices = Served(), PriceStore()
    assert not has_dict(strategy)
    inject(strategy, {"prices": prices})
    check_ready(strategy)
    assert (strategy.prices, strategy.count) == (prices, 3)
    with pytest.raises(ParameterError, match="has no service field 'price'"):
        inject(strategy, {"price": prices})


def test_injected_marks_a_service_that_checkers_do_not_ask_for() -> None:
    class Optional(Strategy):
        prices: Inject[PriceStore] = injected()

    with pytest.raises(NotInjected):
        _ = Optional().prices


def test_inheritance_overrides_and_new_defaults() -> None:
    class Slow(Cross):
        fast = 50
        slow: int = 500

    assert (Slow().fast, Slow().slow, Slow(fast=1).fast) == (50, 500, 1)
    assert [p.name for p in Slow.parameters()] == ["fast", "slow", "quantity"]
    assert Cross().fast == 20
    with pytest.raises(ParameterError):
        Slow().fast = 3  # type: ignore[misc]


def test_a_diamond_keeps_the_nearest_default() -> None:
    class Left(Cross):
        fast: int = 1

    class Right(Cross):
        fast: int = 2
        slow: int = 3

    class Both(Left, Right):
        pass

    assert (Both().fast, Both().slow) == (1, 3)


def test_a_wrong_default_is_an_error_of_the_class() -> None:
    with pytest.raises(ParameterError, match="parameter 'fast'"):

        class Wrong(Strategy):
            fast: int = "many"  # type: ignore[assignment]

        Wrong()


@pytest.mark.parametrize("name", ["close", "name", "buy", "on_start", "on_tick", "parameters"])
def test_a_parameter_cannot_hide_a_member(name: str) -> None:
    with pytest.raises(
        ParameterError, match=rf"Hides.{name}: a parameter cannot have the name of a member of Strategy"
    ):
        type("Hides", (Strategy,), {"__annotations__": {name: int}, name: 1})


def test_an_annotation_that_cannot_be_resolved() -> None:
    class Lost(Strategy):
        where: "Nowhere"  # type: ignore[name-defined]  # noqa: F821, UP037

    with pytest.raises(ParameterError, match=r"annotation .*Nowhere.* cannot be resolved"):
        Lost(where=1)


def test_an_init_that_forgets_super_is_named() -> None:
    class Own(Cross):
        def __init__(self) -> None:
            pass

    with pytest.raises(ParameterError, match=r"Own.__init__ did not call super"):
        check_ready(Own())


class Weights:
    """Has no representation of its own."""


def test_values_are_the_same_text_in_every_process_and_other_values_another() -> None:
    plain = {"a": [1, 2.5, True, None, "x at 0x1f"], "b": (1,), "c": (), "d": {1: "y"}, "e": set(), "f": frozenset()}
    assert stable_text(plain) == repr(plain), "what is plain is as it was"
    names = [f"name{number}" for number in range(20)]
    assert stable_text(set(names)) == "{" + ", ".join(sorted(map(repr, names))) + "}"
    assert stable_text(frozenset({"b", "a"})) == "frozenset({'a', 'b'})"
    makers: list[Callable[[], Any]] = [Weights, lambda: lambda x: x, lambda: partial(print, Weights())]
    for make in makers:
        one, other = make(), make()
        assert repr(one) != repr(other) and stable_text(one) == stable_text(other)
    ends = np.zeros(5_000)
    middle = ends.copy()
    middle[2_500] = 1.0
    assert repr(ends) == repr(middle) and stable_text(ends) != stable_text(middle)
    assert stable_text([ends]) == stable_text([ends.copy()]) != stable_text([ends.reshape(50, 100)])


def test_the_digest_of_a_run_does_not_go_by_where_a_parameter_lies() -> None:
    class Ranks(Strategy):
        by: Any = None
        names: frozenset[str] = frozenset()

        def on_quote(self, tick: Tick) -> None:
            pass

    def digest(**given: Any) -> str:
        return tickrail.backtest(Ranks(**given), tickrail.data.generate_ticks(10)).digest

    kept = [Weights(), lambda x: x]
    assert digest(by=kept[0]) == digest(by=Weights()) != digest(by=kept[1]) == digest(by=lambda x: x)
    assert digest(names=frozenset("ab")) == digest(names=frozenset("ba")) != digest(names=frozenset("ac"))
