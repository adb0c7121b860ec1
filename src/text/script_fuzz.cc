// Features of texts: any bytes have counts that add up and shares in [0, 1].
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string_view>

#include "core/check.h"
#include "text/code_share.h"
#include "text/script.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const octavo::text::ScriptCounts counts = octavo::text::CountScripts(text);
  OCTAVO_CHECK(std::accumulate(counts.begin(), counts.end(), int64_t{0}) <=
               static_cast<int64_t>(size));
  const double share = octavo::text::CodeShare(text);
  OCTAVO_CHECK(share >= 0 && share <= 1);
  OCTAVO_CHECK(!octavo::text::ContainsCode(text) || share > 0);
  return 0;
}
