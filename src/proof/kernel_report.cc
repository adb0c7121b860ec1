// The kernel report, from each layer's call counter and packed buffer.
#include "proof/kernel_report.h"

#include <string_view>

#include "core/version.h"

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

Json LayerJson(const model::Linear& linear) {
  return {{"name", linear.name()},
          {"stored", linear.stored()},
          {"scheme", tensor::SchemeName(linear.scheme())},
          {"kernel", TextOrNull(linear.kernel())},
          {"isa", TextOrNull(linear.isa())},
          {"weight_bytes", linear.weight().bytes()},
          {"calls", linear.calls()}};
}

}  // namespace

Json KernelReport(const model::Model& model, const std::string& artifact_digest) {
  Json layers = Json::array();
  Json fallbacks = Json::array();
  int64_t weights = 0;
  int64_t int8_weights = 0;
  for (const model::Linear* linear : model.linears()) {
    layers.push_back(LayerJson(*linear));
    const std::string_view packed = PackedType(*linear);
    if (packed != linear->stored()) {
      fallbacks.push_back({{"name", linear->name()},
                           {"stored", linear->stored()},
                           {"packed", std::string(packed)}});
    }
    if (model.config().tied_embeddings && linear == model.linears().back()) continue;
    weights += linear->n() * linear->k();
    if (packed == "I8") int8_weights += linear->n() * linear->k();
  }
  return {{"schema", kSchema},
          {"octavo_version", std::string(core::kVersion)},
          {"artifact_digest", TextOrNull(artifact_digest)},
          {"layers", std::move(layers)},
          {"fallbacks", std::move(fallbacks)},
          {"int8_fraction_of_linear_weights",
           weights == 0 ? 0.0 : static_cast<double>(int8_weights) / static_cast<double>(weights)}};
}

}  // namespace octavo::proof
