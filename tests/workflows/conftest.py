from __future__ import annotations

from typing import Any

import pytest

from tests.workflows.shared_server import running_server
from tools.server import Server


@pytest.fixture(scope="session")
def server() -> Server:
    return running_server()


@pytest.fixture(scope="session")
def object_info(server: Server) -> dict[str, Any]:
    return server.client.object_info()
