// Queries that reading and changing the registry share.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "registry/database.h"
#include "registry/registry.h"

namespace octavo::registry {

inline constexpr char kLockName[] = "registry.lock";

// To be followed by WHERE; ReadHistory reads the rows.
inline constexpr char kSelectHistory[] =
    "SELECT id, at, who, action, channel, from_digest, to_digest, eval_digest, policy_digest, "
    "gate_report FROM history";
core::Result<std::vector<HistoryEntry>> ReadHistory(Statement& statement);

}  // namespace octavo::registry
