"""The artifact in Hugging Face transformers with compressed-tensors, float32, against `octavo logits`."""

import json
import pathlib

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from conftest import ROOT, octavo


def reference_logits(folder, sequences):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        return [model(torch.tensor([ids])).logits[0].float() for ids in sequences]


def octavo_logits(folder, sequences, scratch: pathlib.Path):
    tokens = scratch / "tokens.json"
    tokens.write_text(json.dumps(sequences))
    octavo("logits", folder, "--tokens", tokens, "--out", scratch / "logits.safetensors", "--compute", "f32")
    got = load_file(scratch / "logits.safetensors")
    return [got[f"logits.{i}"] for i in range(len(sequences))]


@pytest.fixture(scope="module")
def sequences():
    prompts = json.loads((ROOT / "testdata/smollm2/prompts.json").read_text())
    return [p["token_ids"] + p["greedy_48"] for p in prompts]


def relative_l2(got, want):
    return ((got - want).norm() / want.norm()).item()


@pytest.mark.parametrize("kind", ["base", "int8"])
def test_logits(kind, sequences, tmp_path, request):
    folder = request.getfixturevalue(kind)
    want = reference_logits(folder, sequences)
    got = octavo_logits(folder, sequences, tmp_path)
    worst = max(relative_l2(g, w) for g, w in zip(got, want))
    print(f"{kind}: relative L2 of the logits at most {worst:.2e}")
    assert worst <= 1e-3


def test_a_damaged_scale_is_seen(int8, sequences, tmp_path):
    """The comparison can fail: one scale doubled moves the logits past the bound."""
    from safetensors.torch import save_file
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(int8, broken)
    (broken / "octavo.json").unlink()
    weights = load_file(broken / "model.safetensors")
    weights["model.layers.3.mlp.down_proj.weight_scale"][:64] *= 2
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    want = reference_logits(int8, sequences[:1])
    got = octavo_logits(broken, sequences[:1], tmp_path)
    assert relative_l2(got[0], want[0]) > 1e-3
