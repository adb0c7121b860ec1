#include "kernels/dispatch.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iterator>
#include <string>

#include "core/clock.h"

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
// Two of one name follow each other, the one with bf16 dots first.
constexpr const KernelTable* kTables[] = {&kAmxTable,     &kAvx512VnniBf16Table, &kAvx512VnniTable,
                                          &kAvx512Table,  &kAvx2Table,           &kScalarTable,
                                          &kAmxModelTable};

std::atomic<const KernelTable*> active_table{nullptr};

double Seconds(const PeakEntry& peak, int64_t rounds) {
  const core::Stopwatch watch;
  [[maybe_unused]] const volatile float kept = peak.run(rounds);
  return watch.Seconds();
}

// Whether bf16 dots do at least as many multiply-adds a second as f32 does. On an Intel Xeon with
// AMX VDPBF16PS runs at a quarter of the rate of an f32 multiply-add, for twice the inputs. Takes
// some 0.2 ms; by turns, and the best of them, so that what disturbs the machine does not decide.
bool Bf16DotsPay(const KernelTable& table) {
  constexpr int kTrials = 7;
  constexpr int64_t kRounds = 1000;
  const PeakEntry& bf16 = table.peaks[static_cast<int>(InputType::kBf16)];
  const PeakEntry& f32 = table.peaks[static_cast<int>(InputType::kF32)];
  double bf16_seconds = Seconds(bf16, kRounds);
  double f32_seconds = Seconds(f32, kRounds);
  for (int i = 1; i < kTrials; ++i) {
    bf16_seconds = std::min(bf16_seconds, Seconds(bf16, kRounds));
    f32_seconds = std::min(f32_seconds, Seconds(f32, kRounds));
  }
  return static_cast<double>(bf16.multiply_adds) * f32_seconds >=
         static_cast<double>(f32.multiply_adds) * bf16_seconds;
}

// Whether another table of the same name, further down, is the better one: it has no bf16 dots, and
// they do not pay.
bool YieldsToTwin(const KernelTable* const* place) {
  const KernelTable& table = **place;
  const KernelTable* const* next = place + 1;
  if (next == std::end(kTables) || std::string_view((*next)->isa) != table.isa) return false;
  static const bool pays = Bf16DotsPay(table);  // one pair of twins, measured once
  return !pays;
}

core::Result<const KernelTable*> Choose() {
  const char* forced = std::getenv("OCTAVO_ISA");
  if (forced != nullptr && *forced != '\0') return SelectTable(forced);
  for (const KernelTable* const& table : kTables) {
    if (table->supported(HostCpu()) && !YieldsToTwin(&table)) return table;
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
  for (const KernelTable* const& table : kTables) {
    if (!table->supported(HostCpu())) continue;
    if (table->isa == isa && !YieldsToTwin(&table)) return table;
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
