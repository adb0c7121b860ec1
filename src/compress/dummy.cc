#include "compress/dummy.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "compress/layer_plan.h"
#include "compress/sharded_writer.h"
#include "core/file.h"
#include "core/json.h"
#include "core/random.h"
#include "core/version.h"
#include "format/compressed_tensors.h"
#include "model/config.h"

namespace octavo::compress {
namespace {

using format::TensorPlan;

constexpr uint64_t kMaxShardBytes = uint64_t{5000000000};
// Random bytes are made once, this many, and repeated: no kernel is the faster for it.
constexpr size_t kPoolValues = (size_t{4} << 20) + 7;

// How a tensor's bytes are made.
enum class Content : uint8_t { kFloats, kOnes, kCodes, kScales, kShape };

struct Piece {
  TensorPlan plan;
  Content content;
  int64_t k;  // inputs of the layer; for floats, 0 where there is none
};

Content ContentOf(const TensorPlan& plan) {
  if (plan.name.ends_with(".weight_scale")) return Content::kScales;
  if (plan.name.ends_with(".weight_shape")) return Content::kShape;
  return tensor::IsFloat(plan.dtype) ? Content::kFloats : Content::kCodes;
}

// The tensors of a model, layer by layer, as groups for the writer.
class Shapes {
 public:
  Shapes(const model::ModelConfig& config, const LayerPlan& plan, tensor::DType dtype)
      : dtype_(dtype) {
    const int64_t hidden = config.hidden_size;
    const int64_t q = config.heads * config.head_dim;
    const int64_t kv = config.kv_heads * config.head_dim;
    Float(std::string(kEmbeddingModule) + ".weight", {config.vocab_size, hidden}, hidden);
    for (int64_t i = 0; i < config.layers; ++i) {
      const std::string prefix = "model.layers." + std::to_string(i) + ".";
      const auto linear = [&](const char* name, int64_t n, int64_t k, bool bias) {
        Linear(prefix + name, n, k, plan.blocks);
        if (bias) Float(prefix + name + ".bias", {n}, 0);
      };
      Norm(prefix + "input_layernorm.weight", hidden);
      linear("self_attn.q_proj", q, hidden, config.qkv_bias);
      linear("self_attn.k_proj", kv, hidden, config.qkv_bias);
      linear("self_attn.v_proj", kv, hidden, config.qkv_bias);
      linear("self_attn.o_proj", hidden, q, config.o_bias);
      if (config.qk_norm) {
        Norm(prefix + "self_attn.q_norm.weight", config.head_dim);
        Norm(prefix + "self_attn.k_norm.weight", config.head_dim);
      }
      Norm(prefix + "post_attention_layernorm.weight", hidden);
      linear("mlp.gate_proj", config.intermediate_size, hidden, config.mlp_bias);
      linear("mlp.up_proj", config.intermediate_size, hidden, config.mlp_bias);
      linear("mlp.down_proj", hidden, config.intermediate_size, config.mlp_bias);
    }
    Norm("model.norm.weight", hidden);
    if (plan.head || !config.tied_embeddings) {
      Linear(kHeadModule, config.vocab_size, hidden,
             plan.head.value_or(tensor::Scheme{16, 0, tensor::Activations::kFloat}));
    }
  }
  const std::vector<Piece>& pieces() const { return pieces_; }
  // Quantized module -> its scheme.
  const core::Json& layers() const { return layers_; }

 private:
  void Float(std::string name, tensor::Shape shape, int64_t k) {
    pieces_.push_back({{std::move(name), dtype_, std::move(shape)}, Content::kFloats, k});
  }
  void Norm(std::string name, int64_t n) {
    pieces_.push_back({{std::move(name), dtype_, {n}}, Content::kOnes, 0});
  }
  void Linear(const std::string& module, int64_t n, int64_t k, const tensor::Scheme& scheme) {
    if (scheme.weight_bits == 16) return Float(module + ".weight", {n, k}, k);
    layers_[module] = tensor::SchemeName(scheme);
    for (TensorPlan& plan : format::PlanQuantizedLinear(module, n, k, scheme, dtype_)) {
      const Content content = ContentOf(plan);
      pieces_.push_back({std::move(plan), content, k});
    }
  }
  tensor::DType dtype_;
  std::vector<Piece> pieces_;
  core::Json layers_ = core::Json::object();
};

int64_t BytesOf(const TensorPlan& plan) {
  return tensor::ElementCount(plan.shape).value() *
         static_cast<int64_t>(tensor::DTypeSize(plan.dtype));
}

class Filler {
 public:
  explicit Filler(tensor::DType dtype) : dtype_(dtype), codes_(kPoolValues) {
    core::Random random(1);
    for (std::byte& code : codes_) code = static_cast<std::byte>(random.Next());
  }

  core::Status Fill(const Piece& piece, format::SafetensorsWriter& writer) {
    const auto bytes = static_cast<size_t>(BytesOf(piece.plan));
    switch (piece.content) {
      case Content::kShape: {
        // Of the codes, which lie two tensors before it and have the layer's K.
        const int64_t shape[2] = {rows_, piece.k};
        return writer.Append(std::as_bytes(std::span(shape)));
      }
      case Content::kCodes:
        rows_ = piece.plan.shape[0];
        return Repeat(codes_, bytes, writer);
      case Content::kOnes:
        return Repeat(Floats(std::vector<float>(4096, 1.0F)), bytes, writer);
      case Content::kScales:
        // Uniform codes of 8 bits have a standard deviation of 74.
        return Repeat(Floats(std::vector<float>(4096, 1.0F / (74.0F * RootOf(piece.k)))), bytes,
                      writer);
      case Content::kFloats:
        return Repeat(RandomFloats(1.0F / RootOf(piece.k)), bytes, writer);
    }
    OCTAVO_CHECK(false);
  }

 private:
  static float RootOf(int64_t k) { return std::sqrt(static_cast<float>(std::max<int64_t>(k, 1))); }

  std::vector<std::byte> Floats(const std::vector<float>& values) const {
    std::vector<std::byte> out(values.size() * tensor::DTypeSize(dtype_));
    tensor::ConvertFromFloat(values, dtype_, out);
    return out;
  }

  std::vector<std::byte> RandomFloats(float spread) const {
    core::Random random(2);
    std::vector<float> values((size_t{1} << 16) + 7);
    for (float& x : values) x = static_cast<float>(random.Normal()) * spread;
    return Floats(values);
  }

  static core::Status Repeat(const std::vector<std::byte>& pool, size_t bytes,
                             format::SafetensorsWriter& writer) {
    for (size_t at = 0; at < bytes; at += pool.size()) {
      OCTAVO_RETURN_IF_ERROR(
          writer.Append(std::span(pool).first(std::min(pool.size(), bytes - at))));
    }
    return {};
  }

  tensor::DType dtype_;
  std::vector<std::byte> codes_;
  int64_t rows_ = 0;
};

core::Result<tensor::DType> FloatType(const core::Json& config) {
  OCTAVO_TRY(const auto name, core::GetOptionalString(config, "torch_dtype"));
  if (name == "float16") return tensor::DType::kF16;
  if (name == "float32") return tensor::DType::kF32;
  return tensor::DType::kBF16;
}

}  // namespace

core::Result<core::Json> WriteDummy(const std::string& config_dir, const std::string& out_dir,
                                    const DummyOptions& options, core::Progress& progress,
                                    const core::CancelToken& cancel) {
  OCTAVO_TRY(const LayerPlan plan, PlanLayers(options.scheme, options.head_bits));
  const std::string path = core::JoinPath(config_dir, "config.json");
  OCTAVO_TRY(const core::Json config_json, core::ReadJsonFile(path));
  OCTAVO_TRY(const model::ModelConfig config,
             model::LoadModelConfig(config_json, config_dir).Context(path));
  OCTAVO_TRY(const tensor::DType dtype, FloatType(config_json).Context(path));

  const Shapes shapes(config, plan, dtype);
  std::vector<TensorGroup> groups;
  int64_t bytes = 0;
  for (const Piece& piece : shapes.pieces()) {
    groups.push_back({piece.plan});
    bytes += BytesOf(piece.plan);
  }
  ShardedWriter writer(out_dir, std::move(groups), kMaxShardBytes);
  Filler filler(dtype);
  progress.Begin("write dummy weights", bytes, "bytes");
  for (const Piece& piece : shapes.pieces()) {
    OCTAVO_RETURN_IF_ERROR(cancel.Check());
    OCTAVO_TRY(format::SafetensorsWriter * file, writer.NextGroup());
    OCTAVO_RETURN_IF_ERROR(filler.Fill(piece, *file));
    progress.Advance(BytesOf(piece.plan));
  }
  OCTAVO_RETURN_IF_ERROR(writer.Finish());
  progress.End();
  OCTAVO_RETURN_IF_ERROR(core::WriteFileAtomic(
      core::JoinPath(out_dir, "config.json"),
      core::DumpJson(PlannedConfig(config_json, plan, config.layers, plan.head.has_value()))));
  return core::Json{{"octavo_version", core::kVersion},
                    {"source", "random weights"},
                    {"scheme", tensor::SchemeName(plan.blocks)},
                    {"layers", shapes.layers()}};
}

}  // namespace octavo::compress
