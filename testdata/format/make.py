"""Writes the files of this folder with the reference implementations; README.md says which versions."""

import json
import pathlib

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from safetensors import TensorSpec, serialize_file
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
ROWS, COLUMNS = 3, 64


def raw_blocks(rng, kind):
    """Random bytes with the halves at the start of each block set to useful values."""
    elements, size = GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (ROWS, COLUMNS // elements, size), dtype=np.uint8)
    halves = np.array([0.01, -0.37, 6e-8, 0.0, 65504.0, 3.3e-5], dtype=np.float16)
    for start in (0, 2)[: 2 if kind == Type.Q4_1 else 1]:
        values = np.roll(halves, start).reshape(ROWS, 2, 1)
        data[:, :, start : start + 2] = values.view(np.uint8)
    return data.reshape(ROWS, -1)


def write_block_types():
    """The types that octavo reads but does not write, two blocks wide, and what gguf-py says they are worth."""
    rng = np.random.default_rng(2)
    writer = gguf.GGUFWriter(HERE / "block_types.gguf", "llama")
    expected = {}
    for kind in (Type.Q5_0, Type.Q5_1, Type.Q4_K, Type.Q5_K, Type.Q6_K):
        elements, size = GGML_QUANT_SIZES[kind]
        data = rng.integers(0, 256, (ROWS, 2, size), dtype=np.uint8)
        starts = {Type.Q5_0: (0,), Type.Q6_K: (208,)}.get(kind, (0, 2))
        for start in starts:
            halves = rng.choice(np.array([0.01, -0.37, 6e-8, 0.0, 1000.0, 3.3e-5], dtype=np.float16), (ROWS, 2, 1))
            data[:, :, start : start + 2] = halves.view(np.uint8)
        data = data.reshape(ROWS, -1)
        name = f"tensor.{kind.name.lower()}"
        writer.add_tensor(name, data, raw_dtype=kind)
        expected[name] = gguf.dequantize(data, kind).astype(np.float32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, HERE / "block_types_expected.safetensors")


def write_gguf():
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(HERE / "types.gguf", "llama")
    writer.add_uint8("test.u8", 255)
    writer.add_int8("test.i8", -128)
    writer.add_uint16("test.u16", 65535)
    writer.add_int16("test.i16", -32768)
    writer.add_uint32("test.u32", 2**32 - 1)
    writer.add_int32("test.i32", -(2**31))
    writer.add_uint64("test.u64", 2**63 - 1)
    writer.add_int64("test.i64", -(2**63))
    writer.add_float32("test.f32", 1e-5)
    writer.add_float64("test.f64", -1e300)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "h\u00e9 \u20ac")
    writer.add_array("test.ints", [1, -2, 3])
    writer.add_array("test.floats", [0.5, -1.5])
    writer.add_array("test.bools", [True, False])
    writer.add_array("test.strings", ["a", "", "\u00df"])
    expected = {}
    for kind in (Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1):
        if kind == Type.F32:
            data = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
        elif kind == Type.F16:
            data = rng.standard_normal((ROWS, COLUMNS)).astype(np.float16)
        elif kind == Type.BF16:
            data = gguf.quantize(rng.standard_normal((ROWS, COLUMNS)).astype(np.float32), kind)
        else:
            data = raw_blocks(rng, kind)
        name = f"tensor.{kind.name.lower()}"
        writer.add_tensor(name, data, raw_dtype=kind)
        expected[name] = gguf.dequantize(data, kind).astype(np.float32).reshape(ROWS, COLUMNS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, HERE / "types_expected.safetensors")


def write_safetensors():
    count = np.arange(6).reshape(2, 3)
    bf16 = (np.arange(6, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16).reshape(2, 3)
    tensors = {
        "f32": ("float32", count.astype(np.float32)),
        "f16": ("float16", count.astype(np.float16)),
        "bf16": ("bfloat16", bf16),
        "i8": ("int8", -count.astype(np.int8)),
        "i32": ("int32", -count.astype(np.int32)),
        "i64": ("int64", -count.astype(np.int64)),
        "u8": ("uint8", count.astype(np.uint8)),
        "scalar": ("float32", np.array(0.5, dtype=np.float32)),
        "empty": ("float32", np.zeros((0, 4), dtype=np.float32)),
    }
    specs = {
        name: TensorSpec(dtype=kind, shape=list(v.shape), data_ptr=v.ctypes.data, data_len=v.nbytes)
        for name, (kind, v) in tensors.items()
    }
    metadata = {"format": "np", "note": "made by the reference"}
    serialize_file(specs, HERE / "types.safetensors", metadata)


def llama3_divisors(theta, head_dim, factor, context, low=1.0, high=4.0):
    """The factors that llama.cpp's converter writes as rope_freqs.weight, in f32 as there."""
    powers = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    out = []
    for frequency in (1 / np.float32(theta) ** powers).astype(np.float32):
        wavelength = np.float32(2 * np.pi) / frequency
        if wavelength < context / high:
            out.append(1.0)
        elif wavelength > context / low:
            out.append(float(factor))
        else:
            smooth = (context / wavelength - low) / (high - low)
            out.append(float(np.float32(1 / ((1 - smooth) / factor + smooth))))
    return out


def write_divisors():
    cases = [
        {"theta": theta, "head_dim": head_dim, "factor": factor, "context": context}
        for theta, head_dim, factor, context in (
            (500000.0, 128, 8.0, 8192),
            (500000.0, 64, 32.0, 8192),
            (500000.0, 16, 8.0, 64),
        )
    ]
    for case in cases:
        case["divisors"] = llama3_divisors(**case)
    (HERE / "llama3_divisors.json").write_text(json.dumps(cases, indent=1) + "\n")


write_gguf()
write_block_types()
write_safetensors()
write_divisors()
