// A GGUF file as a Hugging Face folder.
#include <map>

#include <fmt/format.h>

#include "core/file.h"
#include "core/hash.h"
#include "format/gguf.h"
#include "hub/gguf_config.h"
#include "hub/gguf_tokenizer.h"
#include "hub/gguf_weights.h"
#include "hub/sources.h"
#include "text/tokenizer.h"

namespace octavo::hub {
namespace {

// The type that most of the weights have, which is the one that the model computes in.
tensor::DType MainType(const std::vector<WeightImport>& imports) {
  std::map<tensor::DType, int64_t> elements;
  tensor::DType most = tensor::DType::kF16;
  for (const WeightImport& import : imports) {
    elements[import.plan.dtype] += *tensor::ElementCount(import.plan.shape);
  }
  for (const auto& [dtype, count] : elements) {
    if (count > elements[most]) most = dtype;
  }
  return most;
}

core::Status RefuseSplit(const format::GgufFile& file) {
  const auto parts = file.GetInt("split.count");
  if (!parts.ok() || parts.value() <= 1) return {};
  return core::Unsupported(fmt::format(
      "one of {} parts of a model (metadata key 'split.count'); join them with llama-gguf-split "
      "--merge",
      parts.value()));
}

core::Status Import(const format::GgufFile& file, const std::string& staging,
                    const PullOptions& options, core::Progress& progress,
                    const core::CancelToken& cancel) {
  OCTAVO_RETURN_IF_ERROR(RefuseSplit(file));
  OCTAVO_TRY(GgufModel model, ReadGgufModel(file));
  OCTAVO_TRY(const TokenizerFiles tokenizer, ReadGgufTokenizer(file, model));
  const std::string tokenizer_json = core::DumpJson(tokenizer.tokenizer);
  const auto usable = text::Tokenizer::FromJson(tokenizer_json, model.vocab_size);
  if (!usable.ok()) return core::Error(usable.error()).Context("its tokenizer");
  OCTAVO_TRY(const auto imports, PlanWeights(file, model, options.dtype));
  model.config["torch_dtype"] = TorchName(MainType(imports));
  const std::pair<const char*, std::string> files[] = {
      {"config.json", core::DumpJson(model.config)},
      {"generation_config.json", core::DumpJson(model.generation_config)},
      {"tokenizer.json", tokenizer_json},
      {"tokenizer_config.json", core::DumpJson(tokenizer.config)}};
  for (const auto& [name, content] : files) {
    OCTAVO_RETURN_IF_ERROR(core::WriteFileAtomic(core::JoinPath(staging, name), content));
  }
  return WriteWeights(file, imports, core::JoinPath(staging, "model.safetensors"), progress,
                      cancel);
}

}  // namespace

core::Result<Origin> PullGguf(const std::string& source, const std::string& staging,
                              const PullOptions& options, core::Progress& progress,
                              const core::CancelToken& cancel) {
  OCTAVO_TRY(const format::GgufFile file, format::GgufFile::Open(source));
  OCTAVO_RETURN_IF_ERROR(
      Import(file, staging, options, progress, cancel).Context(core::PrintablePath(source)));
  OCTAVO_TRY(const std::string hash, core::Sha256File(source));
  Origin origin;
  origin.details = {
      {"source", {{"format", "gguf"}, {"file", core::BaseName(source)}, {"sha256", hash}}},
      {"revision", nullptr},
      {"dtype", DTypeOption(options)}};
  return origin;
}

}  // namespace octavo::hub
