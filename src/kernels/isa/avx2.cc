// AVX2 with FMA and F16C.

#include <immintrin.h>

#include "kernels/table.h"

namespace octavo::kernels {
namespace {

#include "kernels/generic/avx2_vec.inc"
#include "kernels/generic/body.inc"

// elementwise.inc and int_products.inc build on body.inc; limits.inc and groups.inc on these.

#include "kernels/generic/elementwise.inc"
#include "kernels/generic/groups.inc"
#include "kernels/generic/hadamard.inc"
#include "kernels/generic/int_products.inc"
#include "kernels/generic/limits.inc"

// kv_store.inc builds on elementwise.inc and hadamard.inc.

#include "kernels/generic/kv_store.inc"

// attention.inc builds on kv_store.inc.

#include "kernels/generic/attention.inc"

bool Supported(const CpuFeatures& cpu) {
  return cpu.avx2;
}

}  // namespace

extern const KernelTable kAvx2Table;
const KernelTable kAvx2Table =
    OCTAVO_KERNEL_TABLE("avx2", Supported, kIntProducts, kNoProducts, VectorProducts);

}  // namespace octavo::kernels
