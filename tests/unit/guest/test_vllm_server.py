"""What a zygote of vLLM refuses to be forked from; the rest needs vLLM, see integration/test_vllm.py."""

import sys
from types import SimpleNamespace

import pytest

from pilotlight_guest import vllm_server


@pytest.mark.parametrize("begun", [False, True])
def test_a_device_that_imports_have_touched_is_not_forked(
    begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_server, "_import", lambda: None)
    cuda = SimpleNamespace(is_initialized=lambda: begun)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    if begun:
        with pytest.raises(RuntimeError, match="has begun to use CUDA"):
            vllm_server.preload()
    else:
        vllm_server.preload()
