"""What engines want to know of weights, from the file's own header."""

from pathlib import Path

from pilotlight.ports import WeightsInfo
from pilotlight.weights.gguf_header import Header, read_header, tensor_types


def describe(path: Path) -> WeightsInfo:
    """Blocking, 1 to some tens of ms. Raises SourceError naming the file when it is no usable GGUF."""
    if path.suffix != ".gguf":
        return WeightsInfo(path.stat().st_size)
    return _info(read_header(path))


def describe_arriving(path: Path) -> WeightsInfo:
    """Of a GGUF whose header has arrived, whatever its name, and of what types its tensors are. As `describe`."""
    types = tensor_types(path, path.stat().st_size)
    return _info(read_header(path), types or frozenset())


def _info(header: Header, types: frozenset[int] = frozenset()) -> WeightsInfo:
    return WeightsInfo(
        size=header.file_size,
        n_ctx_train=header.n_ctx_train,
        k_numbers=header.kv_heads * header.key_length,
        v_numbers=header.kv_heads * header.value_length,
        types=types,
    )
