// The tables of the registry.
#pragma once

#include "core/result.h"
#include "registry/database.h"

namespace octavo::registry {

inline constexpr int kSchemaVersion = 1;

// Creates the tables in an empty database and leaves those of version kSchemaVersion alone; a
// database of a later version or of another program is an Error. The caller holds the store's lock.
core::Status PrepareSchema(Database& database, const std::string& path);
// True when the tables are there, in this version.
core::Result<bool> HasSchema(Database& database, const std::string& path);

}  // namespace octavo::registry
