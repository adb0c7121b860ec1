// Which kernel table runs: the best that this CPU supports, or the one that OCTAVO_ISA names.
#pragma once

#include <span>
#include <string_view>

#include "core/result.h"
#include "kernels/table.h"

namespace octavo::kernels {

// All tables built into this binary, best first.
std::span<const KernelTable* const> AllTables();
// The definition of all others.
const KernelTable& ScalarTable();
// The table of that name if this CPU runs it; else an Error that lists the ones it does.
core::Result<const KernelTable*> SelectTable(std::string_view isa);
// The table in use: chosen at the first call from OCTAVO_ISA or the CPU. Call CheckIsaOverride
// first: a wrong OCTAVO_ISA ends the program here.
const KernelTable& ActiveTable();
// An Error when OCTAVO_ISA names no table, or one that this CPU does not run.
core::Status CheckIsaOverride();
// Makes another table the active one, until the process ends or the next call; for tests.
void ForceTable(const KernelTable& table);

}  // namespace octavo::kernels
