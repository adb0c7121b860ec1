// AVX-512 with VNNI, and with BF16 where the CPU has it: two tables of one name, the better first.

#include <immintrin.h>

#include "kernels/table.h"

namespace octavo::kernels {
namespace {

#include "kernels/generic/avx512_vnni_vec.inc"
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

// bf16.inc builds on body.inc.

#include "kernels/generic/bf16.inc"

bool HasVnni(const CpuFeatures& cpu) {
  return cpu.avx512_vnni;
}
bool HasVnniAndBf16(const CpuFeatures& cpu) {
  return cpu.avx512_vnni && cpu.avx512_bf16;
}

}  // namespace

extern const KernelTable kAvx512VnniTable;
const KernelTable kAvx512VnniTable =
    OCTAVO_KERNEL_TABLE("avx512_vnni", HasVnni, kIntProducts, kNoProducts, VectorProducts);
extern const KernelTable kAvx512VnniBf16Table;
const KernelTable kAvx512VnniBf16Table =
    OCTAVO_KERNEL_TABLE("avx512_vnni", HasVnniAndBf16, kIntProducts, kBf16Products, VectorProducts);

}  // namespace octavo::kernels
