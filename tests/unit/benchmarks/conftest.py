import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
CLAIMS = BENCHMARKS / "claims"

sys.path.insert(0, str(BENCHMARKS))


@pytest.fixture(scope="session")
def claims() -> Iterator[SimpleNamespace]:
    """The modules of benchmarks/claims, which import each other by bare names; `page` is its `__main__`."""
    names = [path.stem for path in CLAIMS.glob("*.py") if path.stem != "__main__"]
    kept = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(CLAIMS))
        modules = {name: importlib.import_module(name) for name in names}
        spec = importlib.util.spec_from_file_location("page_of_claims", CLAIMS / "__main__.py")
        assert spec is not None and spec.loader is not None
        page = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(page)
        yield SimpleNamespace(**modules, page=page)
    for name in names:
        del sys.modules[name]
    sys.modules.update(kept)
