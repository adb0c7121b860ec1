"""A GGUF file with random Q8_0 weights of the shape that a config.json describes (Llama architecture), lm_head included:
what `octavo bench --dummy` is for octavo, for llama.cpp.
usage: dummy_gguf.py CONFIG_DIR OUT.gguf"""
import json
import math
import os
import pathlib
import random
import struct
import sys

# https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
VERSION, ALIGNMENT = 3, 32
U32, F32_VALUE, STRING = 4, 6, 8
F32, Q8_0 = 0, 8
BLOCK, BLOCK_BYTES = 32, 34  # one half-precision scale, then 32 codes
POOL_BLOCKS = 1 << 17
UNIFORM_SPREAD = 74  # the standard deviation of uniform codes of 8 bits


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def metadata(config, name):
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    keys = {
        "general.architecture": "llama",
        "general.name": name,
        "general.file_type": 7,  # mostly Q8_0
        "llama.vocab_size": config["vocab_size"],
        "llama.context_length": config["max_position_embeddings"],
        "llama.embedding_length": config["hidden_size"],
        "llama.block_count": config["num_hidden_layers"],
        "llama.feed_forward_length": config["intermediate_size"],
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": config.get("num_key_value_heads") or heads,
        "llama.attention.key_length": size,
        "llama.attention.value_length": size,
        "llama.attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        "llama.rope.dimension_count": size,
        "llama.rope.freq_base": float(config["rope_theta"]),
        "tokenizer.ggml.model": "no_vocab",
    }
    out = b""
    for key, value in keys.items():
        kind, data = {
            str: lambda v: (STRING, text(v)),
            int: lambda v: (U32, struct.pack("<I", v)),
            float: lambda v: (F32_VALUE, struct.pack("<f", v)),
        }[type(value)](value)
        out += text(key) + struct.pack("<I", kind) + data
    return len(keys), out


def shapes(config):
    """(name, shape with the inputs first, type), in the order of the file."""
    hidden, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or hidden // heads
    kv = (config.get("num_key_value_heads") or heads) * size
    yield "token_embd.weight", (hidden, vocab), Q8_0
    for i in range(config["num_hidden_layers"]):
        yield f"blk.{i}.attn_norm.weight", (hidden,), F32
        yield f"blk.{i}.attn_q.weight", (hidden, heads * size), Q8_0
        yield f"blk.{i}.attn_k.weight", (hidden, kv), Q8_0
        yield f"blk.{i}.attn_v.weight", (hidden, kv), Q8_0
        yield f"blk.{i}.attn_output.weight", (heads * size, hidden), Q8_0
        yield f"blk.{i}.ffn_norm.weight", (hidden,), F32
        yield f"blk.{i}.ffn_gate.weight", (hidden, inner), Q8_0
        yield f"blk.{i}.ffn_up.weight", (hidden, inner), Q8_0
        yield f"blk.{i}.ffn_down.weight", (inner, hidden), Q8_0
    yield "output_norm.weight", (hidden,), F32
    # Tied weights: llama.cpp multiplies by the embedding, in the type that it has.
    if not config.get("tie_word_embeddings"):
        yield "output.weight", (hidden, vocab), Q8_0


def byte_count(shape, kind):
    count = math.prod(shape)
    if kind == F32:
        return 4 * count
    if shape[0] % BLOCK:
        raise ValueError(f"rows of {shape[0]} do not divide into blocks of {BLOCK}")
    return count // BLOCK * BLOCK_BYTES


def padded(count):
    return -(-count // ALIGNMENT) * ALIGNMENT


def blocks(inputs):
    """Random blocks with a scale that keeps products with `inputs` terms near 1."""
    codes = random.Random(1).randbytes(POOL_BLOCKS * BLOCK)
    scale = struct.pack("<e", 1 / (UNIFORM_SPREAD * math.sqrt(inputs)))
    return b"".join(scale + codes[i:i + BLOCK] for i in range(0, len(codes), BLOCK))


def write(config, name, out):
    tensors = list(shapes(config))
    count, keys = metadata(config, name)
    header = struct.pack("<4sIQQ", b"GGUF", VERSION, len(tensors), count) + keys
    offset = 0
    for tensor, shape, kind in tensors:
        header += text(tensor) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape) + struct.pack("<IQ", kind, offset)
        offset += padded(byte_count(shape, kind))
    out.write(header.ljust(padded(len(header)), b"\0"))
    pools = {}
    for _, shape, kind in tensors:
        size = byte_count(shape, kind)
        if kind == F32:
            pool = struct.pack("<f", 1.0) * 1024
        else:
            pool = pools[shape[0]] = pools.get(shape[0]) or blocks(shape[0])
        for at in range(0, size, len(pool)):
            out.write(pool[:size - at])
        out.write(b"\0" * (padded(size) - size))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, path = pathlib.Path(sys.argv[1]), sys.argv[2]
    with open(path + ".part", "wb") as out:
        write(json.loads((folder / "config.json").read_text()), folder.name, out)
    os.replace(path + ".part", path)


if __name__ == "__main__":
    main()
