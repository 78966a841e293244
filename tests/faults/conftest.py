"""A project of its own for each test that tells a process to end."""

from __future__ import annotations

from pathlib import Path

import pytest
from shutdown_project import made


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("project"))


@pytest.fixture
def project(source: Path, tmp_path: Path) -> Path:
    return made(tmp_path, like=source)
