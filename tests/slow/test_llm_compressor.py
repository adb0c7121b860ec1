"""Folders that llm-compressor made, without octavo.json: each recipe loads, every layer has the scheme that was asked for,
and the logits are those of llm-compressor's own model."""

import json
import random

import pytest
from safetensors.torch import load_file

from conftest import PEERS, ROOT, octavo, run_peer
from folders import as_floats, with_float_activations
from test_transformers import octavo_logits, relative_l2

PYTHON = PEERS / "llm-compressor/bin/python"

# The scheme of each module's kind, and how far the logits may be from llm-compressor's own.  With float activations both
# runtimes multiply the same numbers.  INT8 activations: llm-compressor divides the range by 127.5 and octavo by 127, so two
# roundings are compared, each about 3 % from the float model; there, the weights are compared as well.
FLOAT, INT8 = 1e-3, 6e-2
EXPECTED = {
    "w8a16-preset": ({"": "w8a16-g128"}, FLOAT),
    "w4a16-preset": ({"": "w4a16-g128"}, FLOAT),
    "w8a16-channel-head": ({"": "w8a16", "lm_head": "w8a16"}, FLOAT),
    "gptq-w4a16-actorder": ({"": "w4a16-g32"}, FLOAT),
    "w8a8-preset": ({"": "w8a8"}, INT8),
    "w8a8-tensor": ({"": "w8a8-tensor"}, INT8),
    "mixed": ({"self_attn": "w8a8", "gate_proj": "w4a16-g32", "up_proj": "w4a16-g32", "layers.0.mlp": "16", "down_proj": "16"}, INT8),
}


@pytest.fixture(scope="module")
def sequences():
    numbers = random.Random(4)
    return [[numbers.randrange(512) for _ in range(length)] for length in (40, 17)]


@pytest.fixture(scope="module")
def folders(sequences, tmp_path_factory):
    out = tmp_path_factory.mktemp("llm-compressor")
    (out / "tokens.json").write_text(json.dumps(sequences))
    run_peer([PYTHON, ROOT / "tests/slow/llm_compressor_folders.py", out, out / "tokens.json"],
             {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""})
    return out


def expected_scheme(module, kinds):
    if module == "lm_head":
        return kinds.get("lm_head", "16")
    found = [scheme for part, scheme in kinds.items() if part and part in module]
    return found[-1] if found else kinds.get("", "16")


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_loads(name, folders, sequences, tmp_path):
    kinds, bound = EXPECTED[name]
    report = json.loads(octavo("doctor", folders / name, "--json"))
    assert report["fallbacks"] == []
    schemes = {layer["name"]: layer["scheme"] for layer in report["layers"]}
    assert schemes == {module: expected_scheme(module, kinds) for module in schemes}
    assert len(schemes) == 22
    want = load_file(folders / f"{name}.safetensors")
    got = octavo_logits(folders / name, sequences, tmp_path)
    worst = max(relative_l2(g, want[f"logits.{i}"]) for i, g in enumerate(got))
    print(f"{name}: relative L2 of the logits at most {worst:.2e}")
    assert worst <= bound
    if bound == INT8:
        codes = octavo_logits(with_float_activations(tmp_path / "codes", folders / name), sequences, tmp_path)
        floats = octavo_logits(as_floats(tmp_path / "floats", folders / name), sequences, tmp_path)
        worst = max(relative_l2(c, f) for c, f in zip(codes, floats))
        print(f"{name}: with float activations {worst:.2e} from the weights that the codes stand for")
        assert worst <= 1e-5
    # Another model's logits are further away, so the bound tells them apart.
    other = load_file(folders / ("w4a16-preset.safetensors" if name != "w4a16-preset" else "w8a16-preset.safetensors"))
    assert relative_l2(got[0], other["logits.0"]) > bound
