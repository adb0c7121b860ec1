// What the tests of kernels share: random inputs, the tables to compare, equality of bits.
#pragma once

#include <bit>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"
#include "kernels/cpu.h"
#include "kernels/dispatch.h"

namespace octavo::kernels {

inline std::vector<float> RandomFloats(core::Random& random, int64_t count, float spread = 1.0F) {
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = static_cast<float>(random.Normal()) * spread;
  return out;
}

// Those that this CPU can run.
inline std::vector<const KernelTable*> RunnableTables() {
  std::vector<const KernelTable*> out;
  for (const KernelTable* table : AllTables()) {
    if (table->supported(HostCpu())) out.push_back(table);
  }
  return out;
}

inline void ExpectSameBits(const std::vector<float>& got, const std::vector<float>& want,
                           const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want[i]))
        << what << " at " << i << ": " << got[i] << " against " << want[i];
  }
}

// Takes back what ForceTable did.
class TableGuard {
 public:
  ~TableGuard() { ForceTable(*RunnableTables().front()); }
};

}  // namespace octavo::kernels
