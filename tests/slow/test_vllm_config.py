"""vLLM's own reader of compressed-tensors on the artifact: it takes its weight-only INT8 scheme for every linear layer of
the blocks, and its loaders put the file's tensors, by name, shape and type, into the parameters that it made for them.

vLLM's CPU build has no kernel for 8-bit weights (its GPU builds do), so the choice of a kernel, which comes between the
scheme and the parameters, is answered by a stand-in.  Nothing else of vLLM is replaced."""

import json

import pytest
import torch
from safetensors import safe_open

from vllm.config import VllmConfig, set_current_vllm_config
from vllm.distributed import parallel_state
from vllm.model_executor.layers.linear import MergedColumnParallelLinear, QKVParallelLinear, RowParallelLinear
from vllm.model_executor.layers.quantization.compressed_tensors import compressed_tensors
from vllm.model_executor.layers.quantization.compressed_tensors.schemes import (
    CompressedTensorsWNA16, compressed_tensors_wNa16)
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

# What vLLM's Llama fuses (vllm/model_executor/models/llama.py, packed_modules_mapping).
FUSED = {"qkv_proj": ["q_proj", "k_proj", "v_proj"], "gate_up_proj": ["gate_proj", "up_proj"]}


class Kernel:
    """Stands for the GPU kernel; remembers what was asked of it."""

    asked = []

    def __init__(self, config, **parameter_names):
        Kernel.asked.append(config)


@pytest.fixture(autouse=True)
def vllm_context(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(compressed_tensors_wNa16, "choose_mp_linear_kernel", lambda config: Kernel)
    Kernel.asked = []
    with set_current_vllm_config(VllmConfig()):
        if not parallel_state.model_parallel_is_initialized():
            parallel_state.init_distributed_environment(
                world_size=1, rank=0, local_rank=0, backend="gloo",
                distributed_init_method=f"file://{tmp_path_factory.mktemp('group')}/rendezvous")
            parallel_state.ensure_model_parallel_initialized(1, 1)
        yield


@pytest.fixture
def config(int8):
    return json.loads((int8 / "config.json").read_text())


@pytest.fixture
def quantization(config):
    parsed = compressed_tensors.CompressedTensorsConfig.from_config(dict(config["quantization_config"]))
    parsed.packed_modules_mapping = FUSED
    return parsed


@pytest.fixture
def tensors(int8):
    with safe_open(int8 / "model.safetensors", "pt") as file:
        yield {name: file.get_tensor(name) for name in file.keys()}


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
            stored = tensors[f"{module}.{name}"]
            assert stored.dtype == parameter.dtype, f"{module}.{name} is {stored.dtype}, vLLM expects {parameter.dtype}"
            arguments = (parameter, stored) if shard is None else (parameter, stored, shard)
            layer.weight_loader_v2(*arguments)
            used.add(f"{module}.{name}")
    return used


def test_every_linear_gets_the_weight_only_int8_scheme_and_its_tensors(config, quantization, tensors):
    linears = {name for name in tensors if ".self_attn." in name or ".mlp." in name}
    used = set()
    for index in range(config["num_hidden_layers"]):
        for layer, modules, shards in block_layers(config, f"model.layers.{index}", quantization):
            assert type(layer.scheme) is CompressedTensorsWNA16
            assert (layer.scheme.num_bits, layer.scheme.strategy, layer.scheme.symmetric) == (8, "channel", True)
            used |= load(layer, modules, shards, tensors)
            for name in ("weight_packed", "weight_scale"):
                want = torch.cat([tensors[f"{module}.{name}"] for module in modules])
                assert torch.equal(getattr(layer, name).data, want), f"{modules}: {name}"
    assert used == linears, sorted(used ^ linears)[:5]
    assert len(Kernel.asked) == 4 * config["num_hidden_layers"]
    assert {str(asked.weight_type) for asked in Kernel.asked} == {"uint8b128"}


def test_lm_head_stays_as_it_is(config, quantization):
    head = ParallelLMHead.__new__(ParallelLMHead)
    assert quantization.get_scheme(head, "lm_head") is None


def test_a_wrong_shape_is_seen(config, quantization, tensors):
    """The comparison can fail: a tensor without its last row is refused by vLLM's loader."""
    layer, modules, shards = next(iter(block_layers(config, "model.layers.0", quantization)))
    name = modules[0] + ".weight_packed"
    broken = dict(tensors, **{name: tensors[name][:-1]})
    with pytest.raises((AssertionError, RuntimeError)):
        load(layer, modules, shards, broken)
