#include "format/loader_notes.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/file.h"
#include "core/json.h"
#include "format/manifest.h"

namespace octavo::format {
namespace {

using tensor::Activations;
using tensor::Scheme;

struct Rule {
  bool (*applies)(const Scheme& scheme);
  const char* sentence;  // "{}" stands for the name of the scheme
};

bool IsWeightOnly(const Scheme& scheme) {
  return scheme.activations == Activations::kFloat;
}

constexpr Rule kRules[] = {
    {[](const Scheme& s) { return IsWeightOnly(s) && s.per_tensor; },
     "{}: vLLM refuses one scale for a whole weight in pack-quantized folders; transformers and "
     "octavo load them"},
    {[](const Scheme& s) { return IsWeightOnly(s) && s.weight_bits == 8 && !s.per_tensor; },
     "{}: vLLM on CPU has no kernel for weight-only INT8 and refuses the folder; vLLM on GPUs runs "
     "it"},
    {[](const Scheme& s) { return !IsWeightOnly(s) && s.weight_bits == 8; },
     "{}: vLLM has no int8 kernel for Blackwell GPUs (compute capability 10.0 and later); there, "
     "serve a weight-only scheme"},
    {[](const Scheme& s) { return !IsWeightOnly(s) && s.weight_bits == 4; },
     "{}: vLLM runs INT4 weights with INT8 activations on Arm CPUs only; elsewhere only octavo "
     "and, "
     "as a check, transformers do"},
};

}  // namespace

std::vector<std::string> LoaderNotes(const std::vector<LayerScheme>& layers, bool online_rotation) {
  if (online_rotation) {
    return {
        "online rotation: only octavo rotates activations at run time; the folder says "
        "quant_method 'octavo', so that vLLM and transformers refuse it, and it has no GGUF form"};
  }
  std::vector<std::string> notes;
  for (const LayerScheme& layer : layers) {
    if (layer.scheme.weight_bits == 16) continue;
    for (const Rule& rule : kRules) {
      if (!rule.applies(layer.scheme)) continue;
      std::string note = fmt::format(fmt::runtime(rule.sentence), SchemeName(layer.scheme));
      if (std::find(notes.begin(), notes.end(), note) == notes.end())
        notes.push_back(std::move(note));
    }
  }
  return notes;
}

core::Result<std::vector<std::string>> ArtifactLoaderNotes(const std::string& folder) {
  OCTAVO_TRY(const Manifest manifest, ReadManifest(folder));
  OCTAVO_TRY(const core::Json config, core::ReadJsonFile(core::JoinPath(folder, "config.json")));
  std::vector<LayerScheme> layers;
  const core::Json* named = core::Find(manifest.details, "layers");
  if (named == nullptr || !named->is_object())
    return core::Invalid(folder + ": octavo.json names no layers");
  for (const auto& [module, scheme] : named->get_ref<const core::Json::object_t&>()) {
    if (!scheme.is_string()) return core::Invalid(folder + ": octavo.json: a scheme is no text");
    OCTAVO_TRY(const Scheme parsed, tensor::ParseScheme(scheme.get_ref<const std::string&>()));
    layers.push_back({module, parsed});
  }
  const core::Json* quantization = core::Find(config, "quantization_config");
  const core::Json* method =
      quantization == nullptr ? nullptr : core::Find(*quantization, "quant_method");
  return LoaderNotes(layers, method != nullptr && *method == "octavo");
}

}  // namespace octavo::format
