// The list of architectures.

#include "model/arch/architecture.h"

namespace octavo::model {

extern const Architecture kLlama;
extern const Architecture kMistral;
extern const Architecture kQwen2;
extern const Architecture kQwen3;

namespace {
constexpr const Architecture* kArchitectures[] = {&kLlama, &kMistral, &kQwen2, &kQwen3};
}  // namespace

std::span<const Architecture* const> AllArchitectures() {
  return kArchitectures;
}

const Architecture* FindArchitecture(std::string_view hf_class) {
  for (const Architecture* architecture : kArchitectures) {
    if (architecture->hf_class == hf_class) return architecture;
  }
  return nullptr;
}

}  // namespace octavo::model
