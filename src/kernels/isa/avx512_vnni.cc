// AVX-512 with VNNI, and with BF16 where the CPU has it: two tables of one name, the better first.

#include <immintrin.h>

#include "kernels/table.h"

namespace octavo::kernels {
namespace {

#include "kernels/generic/avx512_vec.inc"

// VPDPBUSD takes one unsigned operand: the weights with 128 added, which adds 128 times the sum of
// the row's codes.
using CodeVec = __m512i;
inline CodeVec LoadCodes(const char* p) {
  return _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(-128));
}
inline IntVec DotCodes(IntVec sum, CodeVec w, int32_t four) {
  return _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(four));
}
inline IntVec RemoveOffset(IntVec sum, int32_t row_sum) {
  return _mm512_sub_epi32(sum, _mm512_set1_epi32(128 * row_sum));
}

// 32 registers: 24 sums, 4 weights and the broadcast input.
constexpr int kTileRows = 6;
constexpr int kTileBlocks = 4;
constexpr int kStreamBlocks = 4;
constexpr int kIntTileRows = 6;
constexpr int kIntTileBlocks = 4;

#include "kernels/generic/body.inc"

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
const KernelTable kAvx512VnniTable = OCTAVO_KERNEL_TABLE("avx512_vnni", HasVnni, nullptr, nullptr);
extern const KernelTable kAvx512VnniBf16Table;
const KernelTable kAvx512VnniBf16Table = OCTAVO_KERNEL_TABLE(
    "avx512_vnni", HasVnniAndBf16, Bf16MatMulBody<PairsFromBf16>, Bf16MatMulBody<PairsFromI8>);

}  // namespace octavo::kernels
