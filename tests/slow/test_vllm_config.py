"""vLLM's own reader of compressed-tensors on the artifact: it takes its weight-only INT8 scheme for every linear layer of
the blocks, its loaders put the file's tensors, by name, shape and type, into the parameters that it made for them, and
what it unpacks is the base's weights, rounded.

vLLM's CPU build has no kernel for 8-bit weights (its GPU builds do; the first test holds it to that), so the choice of a
kernel, which comes between the scheme and the parameters, is answered by a stand-in.  Nothing else of vLLM is replaced."""

import json
import re
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vllm.config import VllmConfig, set_current_vllm_config
from vllm.distributed import parallel_state
from vllm.model_executor.kernels.linear import choose_mp_linear_kernel
from vllm.model_executor.layers.linear import MergedColumnParallelLinear, QKVParallelLinear, RowParallelLinear
from vllm.model_executor.layers.quantization.compressed_tensors import compressed_tensors
from vllm.model_executor.layers.quantization.compressed_tensors.schemes import (
    CompressedTensorsWNA16, compressed_tensors_wNa16)
from vllm.model_executor.layers.quantization.utils.quant_utils import unpack_quantized_values_into_int32
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

# What vLLM's Llama fuses (vllm/model_executor/models/llama.py, packed_modules_mapping).
FUSED = {"qkv_proj": ["q_proj", "k_proj", "v_proj"], "gate_up_proj": ["gate_proj", "up_proj"]}
LAYER = "model.layers.3.mlp.down_proj"


class Kernel:
    """Stands for the GPU kernel; remembers what was asked of it."""

    asked = []

    def __init__(self, config, **parameter_names):
        Kernel.asked.append(config)


@pytest.fixture(scope="module")
def vllm_config(tmp_path_factory):
    """vLLM builds no layer without its groups of processes: here one of each, of this process alone."""
    config = VllmConfig()
    with set_current_vllm_config(config):
        parallel_state.init_distributed_environment(
            world_size=1, rank=0, local_rank=0, backend="gloo",
            distributed_init_method=f"file://{tmp_path_factory.mktemp('group')}/rendezvous")
        parallel_state.ensure_model_parallel_initialized(1, 1)
    yield config
    parallel_state.destroy_model_parallel()
    parallel_state.destroy_distributed_environment()


@pytest.fixture(autouse=True)
def vllm_context(monkeypatch, vllm_config):
    monkeypatch.setattr(compressed_tensors_wNa16, "choose_mp_linear_kernel", lambda config: Kernel)
    Kernel.asked = []
    with set_current_vllm_config(vllm_config):
        yield


def read_config(folder):
    return json.loads((folder / "config.json").read_text())


def read_quantization(config):
    parsed = compressed_tensors.CompressedTensorsConfig.from_config(dict(config["quantization_config"]))
    parsed.packed_modules_mapping = FUSED
    return parsed


def block_layers(config, prefix, quantization):
    """The linear layers of one block as vLLM builds them: (layer, its modules in the file, their loader's names)."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head = config.get("head_dim") or hidden // heads
    common = dict(bias=False, params_dtype=torch.float16, quant_config=quantization)
    attention, mlp = prefix + ".self_attn.", prefix + ".mlp."
    yield (QKVParallelLinear(hidden, head, heads, kv_heads, prefix=attention + "qkv_proj", **common),
           [attention + name for name in FUSED["qkv_proj"]], ["q", "k", "v"])
    yield (RowParallelLinear(heads * head, hidden, prefix=attention + "o_proj", **common), [attention + "o_proj"], [None])
    yield (MergedColumnParallelLinear(hidden, [inner, inner], prefix=mlp + "gate_up_proj", **common),
           [mlp + name for name in FUSED["gate_up_proj"]], [0, 1])
    yield (RowParallelLinear(inner, hidden, prefix=mlp + "down_proj", **common), [mlp + "down_proj"], [None])


def load(layer, modules, shards, tensors):
    """Puts the file's tensors into the layer by vLLM's loaders; returns the names that were used."""
    used = set()
    for name, parameter in layer.named_parameters():
        for module, shard in zip(modules, shards):
            assert f"{module}.{name}" in tensors, f"{module}.{name} is missing"
            stored = tensors[f"{module}.{name}"]
            assert stored.dtype == parameter.dtype, f"{module}.{name} is {stored.dtype}, vLLM expects {parameter.dtype}"
            arguments = (parameter, stored) if shard is None else (parameter, stored, shard)
            layer.weight_loader_v2(*arguments)
            used.add(f"{module}.{name}")
    return used


def weights(layer):
    """What the layer's parameters stand for, unpacked as vLLM unpacks: f32, and the scale of each output."""
    codes = unpack_quantized_values_into_int32(layer.weight_packed.data, layer.scheme.quant_type, packed_dim=1)
    scales = layer.weight_scale.data.float()
    return (codes - layer.scheme.quant_type.bias) * scales, scales


def check(folder, base):
    """Loads every linear layer of every block into vLLM and compares what it holds with the base's weights."""
    config = read_config(folder)
    quantization = read_quantization(config)
    used = set()
    with safe_open(folder / "model.safetensors", "pt") as file, safe_open(base / "model.safetensors", "pt") as floats:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        for index in range(config["num_hidden_layers"]):
            for layer, modules, shards in block_layers(config, f"model.layers.{index}", quantization):
                scheme = type(getattr(layer, "scheme", None))
                assert scheme is CompressedTensorsWNA16, f"{modules} have {scheme}"
                assert (layer.scheme.num_bits, layer.scheme.strategy, layer.scheme.symmetric) == (8, "channel", True)
                used |= load(layer, modules, shards, tensors)
                got, scales = weights(layer)
                want = torch.cat([floats.get_tensor(f"{module}.weight").float() for module in modules])
                # Rounding to the nearest code moves a weight by half a scale; the scale itself was rounded to F16
                # (2^-11 of it), which at code 127 is another 127 / 2048 of a scale.
                assert ((got - want).abs() <= (0.5 + 127 / 2048) * scales).all(), f"{modules} are other weights"
    linears = {name for name in tensors if ".self_attn." in name or ".mlp." in name}
    assert used == linears, sorted(used ^ linears)[:5]
    return config["num_hidden_layers"]


def test_no_kernel_of_this_build_takes_8_bit_weights(int8, monkeypatch):
    """Else the stand-in would be one where the real thing runs."""
    monkeypatch.setattr(compressed_tensors_wNa16, "choose_mp_linear_kernel", choose_mp_linear_kernel)
    config = read_config(int8)
    with pytest.raises(ValueError, match="Failed to find a kernel"):
        list(block_layers(config, "model.layers.0", read_quantization(config)))


def test_every_linear_gets_the_weight_only_int8_scheme_and_its_weights(int8, base):
    blocks = check(int8, base)
    assert len(Kernel.asked) == 4 * blocks
    assert {str(asked.weight_type) for asked in Kernel.asked} == {"uint8b128"}


def test_lm_head_stays_as_it_is(int8):
    head = ParallelLMHead.__new__(ParallelLMHead)
    assert read_quantization(read_config(int8)).get_scheme(head, "lm_head") is None


def lose_a_row(tensors, config):
    tensors[LAYER + ".weight_packed"] = tensors[LAYER + ".weight_packed"][:-1].clone()


def widen_the_scales(tensors, config):
    tensors[LAYER + ".weight_scale"] = tensors[LAYER + ".weight_scale"].float()


def lose_the_scales(tensors, config):
    del tensors[LAYER + ".weight_scale"]


def turn_the_words(tensors, config):
    packed = tensors[LAYER + ".weight_packed"]
    tensors[LAYER + ".weight_packed"] = packed.view(torch.uint8).view(*packed.shape, 4).flip(-1).contiguous().view(
        torch.int32).view(packed.shape)


def shift_a_scale(tensors, config):
    tensors[LAYER + ".weight_scale"][7] *= 1.01


def ignore_the_layer(tensors, config):
    config["quantization_config"]["ignore"].append(LAYER)


def say_four_bits(tensors, config):
    config["quantization_config"]["config_groups"]["group_0"]["weights"]["num_bits"] = 4


@pytest.mark.parametrize("damage, message", [
    (lose_a_row, ""),  # by an assertion of vLLM's loader, which says nothing
    (widen_the_scales, "weight_scale is torch.float32, vLLM expects torch.float16"),
    (lose_the_scales, "weight_scale is missing"),
    (turn_the_words, "down_proj'] are other weights"),
    (shift_a_scale, "down_proj'] are other weights"),
    (ignore_the_layer, "down_proj'] have <class 'NoneType'>"),
    (say_four_bits, r"(4, 'channel', True)"),
])
def test_a_broken_file_is_seen(damage, message, int8, base, tmp_path):
    """The comparison can fail: each of these files is refused by vLLM's loaders or holds other weights."""
    broken = tmp_path / "broken"
    shutil.copytree(int8, broken)
    tensors, config = load_file(broken / "model.safetensors"), read_config(broken)
    damage(tensors, config)
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(AssertionError, match=re.escape(message)):
        check(broken, base)
