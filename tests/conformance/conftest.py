"""What every suite here is run over."""

from __future__ import annotations

from typing import Any

import pytest

from tickrail.orchestration import dishka_backend
from tickrail.orchestration.backend import Assemble
from tickrail.orchestration.container import Container, Provider

from . import plain_backend
from .container_parts import Build


@pytest.fixture(params=[dishka_backend.assemble, plain_backend.assemble], ids=["dishka", "plain"])
def build(request: pytest.FixtureRequest) -> Build:
    """``Container.build`` over each backend."""
    backend: Assemble = request.param

    def build(*providers: Provider, **options: Any) -> Container:
        return Container.build(*providers, backend=backend, **options)

    return build
