#include "kernels/dispatch.h"

#include <atomic>
#include <cstdlib>
#include <string>

namespace octavo::kernels {

extern const KernelTable kScalarTable;
extern const KernelTable kAvx2Table;
extern const KernelTable kAvx512Table;
extern const KernelTable kAvx512VnniTable;
extern const KernelTable kAvx512VnniBf16Table;
extern const KernelTable kAmxTable;
extern const KernelTable kAmxModelTable;

namespace {

// The software model comes after `scalar`, which every CPU runs: it is never the best.
constexpr const KernelTable* kTables[] = {&kAmxTable,     &kAvx512VnniBf16Table, &kAvx512VnniTable,
                                          &kAvx512Table,  &kAvx2Table,           &kScalarTable,
                                          &kAmxModelTable};

std::atomic<const KernelTable*> active_table{nullptr};

core::Result<const KernelTable*> Choose() {
  const char* forced = std::getenv("OCTAVO_ISA");
  if (forced != nullptr && *forced != '\0') return SelectTable(forced);
  for (const KernelTable* table : kTables) {
    if (table->supported(HostCpu())) return table;
  }
  OCTAVO_CHECK(false);
}

}  // namespace

std::span<const KernelTable* const> AllTables() {
  return kTables;
}

const KernelTable& ScalarTable() {
  return kScalarTable;
}

core::Result<const KernelTable*> SelectTable(std::string_view isa) {
  std::string runnable;
  std::string_view last;
  for (const KernelTable* table : kTables) {
    if (!table->supported(HostCpu())) continue;
    if (table->isa == isa) return table;
    if (table->isa == last) continue;
    last = table->isa;
    runnable += (runnable.empty() ? "" : ", ") + std::string(table->isa);
  }
  return core::Usage("OCTAVO_ISA=" + std::string(isa) +
                     ": no such kernels for this CPU; it runs: " + runnable);
}

core::Status CheckIsaOverride() {
  const auto table = Choose();
  if (!table.ok()) return table.error();
  return {};
}

const KernelTable& ActiveTable() {
  const KernelTable* table = active_table.load(std::memory_order_acquire);
  if (table == nullptr) {
    table = Choose().value();
    active_table.store(table, std::memory_order_release);
  }
  return *table;
}

void ForceTable(const KernelTable& table) {
  OCTAVO_CHECK(table.supported(HostCpu()));
  active_table.store(&table, std::memory_order_release);
}

}  // namespace octavo::kernels
