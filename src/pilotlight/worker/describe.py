"""What engines want to know of weights, from the file's own header."""

from pathlib import Path

from pilotlight.ports import WeightsInfo
from pilotlight.weights.gguf_header import read_header


def describe(path: Path) -> WeightsInfo:
    """Blocking, 1 to some tens of ms. Raises SourceError naming the file when it is no usable GGUF."""
    if path.suffix != ".gguf":
        return WeightsInfo(path.stat().st_size)
    header = read_header(path)
    return WeightsInfo(
        size=header.file_size,
        n_ctx_train=header.n_ctx_train,
        k_numbers=header.kv_heads * header.key_length,
        v_numbers=header.kv_heads * header.value_length,
    )
