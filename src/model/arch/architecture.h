// What tells one architecture from another: its names and what its config.json leaves unsaid. One
// file and one line in registry.cc add one.
#pragma once

#include <span>
#include <string_view>

#include "core/json.h"
#include "core/result.h"
#include "model/config.h"

namespace octavo::model {

struct Architecture {
  const char* hf_class;  // `architectures[0]` of config.json
  // Fills in what is this architecture's own (biases, norms of Q and K, sliding windows); the
  // common fields are already set.
  core::Status (*configure)(const core::Json& json, ModelConfig& config);
};

// All of them.
std::span<const Architecture* const> AllArchitectures();
// nullptr if there is none of that class.
const Architecture* FindArchitecture(std::string_view hf_class);

}  // namespace octavo::model
