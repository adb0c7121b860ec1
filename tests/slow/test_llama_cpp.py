"""`octavo export` in llama.cpp: perplexity within 1 % of octavo's own, and blocks as gguf-py has them."""

import json
import re

import gguf
import numpy as np
import pytest

from conftest import ARTIFACTS, CALIBRATION, CHUNKS, CONTEXT, PEERS, TEXT, octavo, octavo_perplexity, run_peer
from folders import dequantize, read

LLAMA_CPP = PEERS / "llama.cpp/bin"


def llama_cpp_perplexity(path):
    said = run_peer([LLAMA_CPP / "llama-perplexity", "-m", path, "-f", TEXT, "-c", CONTEXT, "--chunks", CHUNKS])
    found = re.search(r"Final estimate: PPL = ([\d.]+)", said)
    assert found, said[-3000:]
    return float(found[1])


@pytest.mark.parametrize("name, options", [
    ("base", []), ("base", ["--type", "q8_0"]), ("w4a16-g32", ["--type", "q8_0"]),
    # A calibrated scale need not fit F16.
    *((name, ["--round-scales"] if CALIBRATION in flags else []) for name, flags in ARTIFACTS.items()),
])
def test_perplexity(name, options, artifact, base, tmp_path):
    folder = base if name == "base" else artifact(name)
    said = json.loads(octavo("export", folder, "--out", tmp_path / "m.gguf", "--json", *options))
    if "a8" in name:  # int8 activations are no part of the file: octavo, too, reads it without them
        folder = tmp_path / "pulled"
        octavo("pull", tmp_path / "m.gguf", "--out", folder)
    octavos = octavo_perplexity(folder, base, tmp_path)
    llamas = llama_cpp_perplexity(tmp_path / "m.gguf")
    print(f"{name} {options}: {said['types']}; perplexity {octavos:.4f} in octavo, {llamas:.4f} in llama.cpp "
          f"({llamas / octavos - 1:+.2%})")
    assert abs(llamas / octavos - 1) <= 0.01


def unpermute(weight, heads):
    """GGUF's rows of Q and K back in Hugging Face's order (conversion/llama.py, the other way)."""
    rows = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return rows.swapaxes(1, 2).reshape(weight.shape)


@pytest.mark.parametrize("name, kind", [("w8a16", "Q8_0"), ("w8a16-g64", "Q8_0"), ("w4a16-g32", "Q4_0"), ("w8a8-head8", "Q8_0")])
def test_codes_are_copied_bit_for_bit(name, kind, artifact, tmp_path):
    """gguf-py's own reading of the file, un-permuted, is code * scale of the artifact."""
    octavo("export", artifact(name), "--out", tmp_path / "m.gguf")
    tensors, config = read(artifact(name))
    names = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
             "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    compared = 0
    for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors:
        found = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", tensor.name)
        if not found or found[2] not in names:
            continue
        assert tensor.tensor_type.name == kind
        got = gguf.dequantize(tensor.data, tensor.tensor_type)
        if found[2] in heads:
            got = unpermute(got, heads[found[2]])
        want = dequantize(f"model.layers.{found[1]}.{names[found[2]]}", tensors).numpy()
        assert np.array_equal(got, want), tensor.name
        compared += 1
    assert compared == 7 * config["num_hidden_layers"]


def test_floats_become_q8_0_as_in_gguf_py(base, tmp_path):
    octavo("export", base, "--out", tmp_path / "m.gguf", "--type", "q8_0")
    tensors, _ = read(base)
    compared = 0
    for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors:
        found = re.fullmatch(r"blk\.(\d+)\.ffn_(gate|up|down)\.weight", tensor.name)
        if found:
            want = gguf.quantize(tensors[f"model.layers.{found[1]}.mlp.{found[2]}_proj.weight"].float().numpy(),
                                 gguf.GGMLQuantizationType.Q8_0)
            assert np.array_equal(tensor.data, want), tensor.name
            compared += 1
    assert compared == 90
