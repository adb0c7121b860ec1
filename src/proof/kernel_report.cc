// The kernel report, from each layer's call counter and packed buffer.
#include "proof/kernel_report.h"

#include <string_view>

#include "core/file.h"
#include "core/version.h"
#include "format/manifest.h"

namespace octavo::proof {
namespace {

using core::Json;

constexpr int64_t kSchema = 1;  // raised when a field changes its meaning

std::string_view PackedType(const model::Linear& linear) {
  return kernels::kStorageLayouts[static_cast<size_t>(linear.weight().storage())].name;
}

Json TextOrNull(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

// How the input was rotated before the layer, and how often; null where it is not to be.
Json RotationJson(const model::Linear& linear) {
  const kernels::Hadamard* rotation = linear.input_rotation();
  if (rotation == nullptr) return nullptr;
  return {{"kind", "hadamard"},
          {"inputs", rotation->n()},
          {"order", rotation->order()},
          {"seed", rotation->seed()},
          {"calls", linear.rotations()}};
}

// Fewer rotations than calls of the kernel, which come after them.
bool SkippedRotation(const model::Linear& linear) {
  const int64_t calls = linear.calls();
  return linear.input_rotation() != nullptr && linear.rotations() < calls;
}

// Static codes ran as others, or the other way round.
bool ChangedInput(const model::Linear& linear) {
  constexpr std::string_view kStatic = "-static";
  const std::string kernel = linear.kernel();
  const bool ran_static =
      kernel.size() > kStatic.size() &&
      kernel.compare(kernel.size() - kStatic.size(), kStatic.size(), kStatic) == 0;
  const bool is_static = linear.scheme().activations == tensor::Activations::kStaticPerTensor;
  return !kernel.empty() && ran_static != is_static;
}

Json LayerJson(const model::Linear& linear) {
  return {{"name", linear.name()},
          {"stored", linear.stored()},
          {"scheme", tensor::SchemeName(linear.scheme())},
          {"kernel", TextOrNull(linear.kernel())},
          {"isa", TextOrNull(linear.isa())},
          {"input_scale", linear.input_scale() != 0 ? Json(linear.input_scale()) : Json()},
          {"input_rotation", RotationJson(linear)},
          {"weight_bytes", linear.weight().bytes()},
          {"calls", linear.calls()}};
}

// The layer's entry in `fallbacks`; null when it runs as it is stored and promised.
Json FallbackJson(const model::Linear& linear, const Promise& promise) {
  const auto promised = promise.schemes.find(linear.name());
  const bool kept =
      promised == promise.schemes.end() || promised->second == tensor::SchemeName(linear.scheme());
  const bool skipped = SkippedRotation(linear);
  if (kept && PackedType(linear) == linear.stored() && !skipped && !ChangedInput(linear))
    return nullptr;
  return {{"name", linear.name()},
          {"promised", promised == promise.schemes.end() ? Json() : Json(promised->second)},
          {"stored", linear.stored()},
          {"packed", std::string(PackedType(linear))},
          {"rotation_skipped", skipped},
          {"kernel", TextOrNull(linear.kernel())}};
}

}  // namespace

core::Result<Promise> ReadPromise(const std::string& folder) {
  Promise promise;
  OCTAVO_TRY(promise.digest, format::FolderDigest(folder));
  const std::string path = core::JoinPath(folder, format::kManifestName);
  if (!core::FileExists(path)) return promise;
  OCTAVO_TRY(const format::Manifest manifest, format::ReadManifest(folder));
  if (manifest.kind != "artifact") return promise;
  const Json* layers = core::Find(manifest.details, "layers");
  if (layers == nullptr || !layers->is_object()) {
    return core::Invalid(path + ": 'details' has no object 'layers'; quantize the model again");
  }
  for (const auto& [name, scheme] : layers->get_ref<const Json::object_t&>()) {
    if (!scheme.is_string()) {
      return core::Invalid(path + ": the scheme of layer '" + core::Printable(name) +
                           "' is no text; quantize the model again");
    }
    promise.schemes.emplace(name, scheme.get<std::string>());
  }
  return promise;
}

Json KernelReport(const model::Model& model, const Promise& promise) {
  Json layers = Json::array();
  Json fallbacks = Json::array();
  int64_t weights = 0;
  int64_t int8_weights = 0;
  for (const model::Linear* linear : model.linears()) {
    layers.push_back(LayerJson(*linear));
    Json fallback = FallbackJson(*linear, promise);
    if (!fallback.is_null()) fallbacks.push_back(std::move(fallback));
    if (model.config().tied_embeddings && linear == model.linears().back()) continue;
    weights += linear->n() * linear->k();
    if (PackedType(*linear) == "I8") int8_weights += linear->n() * linear->k();
  }
  return {{"schema", kSchema},
          {"octavo_version", std::string(core::kVersion)},
          {"artifact_digest", TextOrNull(promise.digest)},
          {"layers", std::move(layers)},
          {"fallbacks", std::move(fallbacks)},
          {"int8_fraction_of_linear_weights",
           weights == 0 ? 0.0 : static_cast<double>(int8_weights) / static_cast<double>(weights)}};
}

}  // namespace octavo::proof
