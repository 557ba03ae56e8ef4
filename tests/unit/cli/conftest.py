"""What the commands find in the state folder of whoever runs the tests is none of their business."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _state_of_nobody(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server that has run here has left start times, and `simulate --config` reads them."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder
