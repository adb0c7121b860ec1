"""Every kind of artifact in Hugging Face transformers with compressed-tensors, float32.  Where activations stay floats its
logits are octavo's; where they become INT8 it decompresses the weights, and those are compared."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from conftest import ARTIFACTS
from folders import dequantize, is_quantized, mix, read
from test_transformers import octavo_logits, reference_logits, relative_l2, sequences  # noqa: F401 (a fixture)

INT8_ACTIVATIONS = {name for name in ARTIFACTS if "a8" in name}


@pytest.mark.parametrize("name", sorted(set(ARTIFACTS) - INT8_ACTIVATIONS))
def test_logits(name, artifact, sequences, tmp_path):  # noqa: F811
    check_logits(artifact(name), sequences[:2], tmp_path)


def check_logits(folder, sequences, scratch):  # noqa: F811
    want = reference_logits(folder, sequences)
    got = octavo_logits(folder, sequences, scratch)
    worst = max(relative_l2(g, w) for g, w in zip(got, want))
    print(f"{folder.name}: relative L2 of the logits at most {worst:.2e}")
    assert worst <= 1e-3


def test_logits_of_a_mixed_artifact(artifact, base, sequences, tmp_path):  # noqa: F811
    """INT8 and INT4 weights in groups and per channel, and 16-bit layers, in one folder."""
    folder = mix(tmp_path / "mixed", base, {"self_attn": artifact("w8a16"), "gate_proj": artifact("w4a16-g32"),
                                            "up_proj": artifact("w4a16-g32"), "layers.1.mlp": artifact("w8a16-g64")})
    check_logits(folder, sequences[:2], tmp_path)


@pytest.mark.parametrize("name", sorted(INT8_ACTIVATIONS))
def test_weights(name, artifact):
    check_weights(artifact(name))


def test_weights_of_a_mixed_artifact(artifact, base, tmp_path):
    """Both layouts in one folder, "mixed-precision"."""
    check_weights(mix(tmp_path / "mixed", base, {"self_attn": artifact("w8a8"), "up_proj": artifact("w4a16-g32"),
                                                 "gate_proj": artifact("w4a16-g32")}))


def check_weights(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        model(torch.tensor([[1, 2, 3]]))  # the first forward decompresses
    tensors, _ = read(folder)
    quantized = 0
    for name, module in model.named_modules():
        if is_quantized(name, tensors):
            quantized += 1
            assert torch.equal(module.weight.float(), dequantize(name, tensors)), name
    assert quantized >= 90, f"only {quantized} layers are quantized"
