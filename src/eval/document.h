// What the JSON documents of this module begin with.
#pragma once

#include <cstdint>
#include <string>

#include "core/json.h"
#include "core/version.h"
#include "stats/interval.h"

namespace octavo::eval {

// Raised when a field changes its meaning; added fields do not raise it.
inline constexpr int64_t kEvalSchema = 1;

inline core::Json NewDocument() {
  return core::Json{{"schema", kEvalSchema}, {"octavo_version", std::string(core::kVersion)}};
}

// `name` and its 95 % interval `name`_ci95, null when there is none.
inline void PutEstimate(core::Json& object, const std::string& name,
                        const stats::Estimate& estimate) {
  object[name] = estimate.value;
  object[name + "_ci95"] =
      estimate.interval ? core::Json::array({estimate.interval->lower, estimate.interval->upper})
                        : core::Json();
}

}  // namespace octavo::eval
