"""A GGUF file with its quantised tensors as half-precision numbers."""

from pathlib import Path

import gguf
import numpy as np

MOSTLY_F16 = 1
"""As `general.file_type`."""
OF_THE_WRITER = ("general.architecture", "general.file_type")


def write(quantised: Path, into: Path) -> None:
    """One tensor after the other is in memory."""
    reader = gguf.GGUFReader(quantised)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(into, architecture)
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in OF_THE_WRITER:
            sub = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub)
    writer.add_file_type(MOSTLY_F16)
    wide = [t.tensor_type == gguf.GGMLQuantizationType.F32 for t in reader.tensors]
    for tensor, is_f32 in zip(reader.tensors, wide, strict=True):
        shape = tuple(int(n) for n in reversed(tensor.shape))
        kind, size = (np.float32, 4) if is_f32 else (np.float16, 2)
        writer.add_tensor_info(tensor.name, shape, np.dtype(kind), int(tensor.n_elements) * size)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, is_f32 in zip(reader.tensors, wide, strict=True):
        data = tensor.data if is_f32 else gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float16)
        writer.write_tensor_data(np.ascontiguousarray(data))
    writer.close()
