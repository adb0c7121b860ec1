#include "kernels/cpu.h"

#include <cstdint>

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace octavo::kernels {
namespace {

struct Registers {
  uint32_t a = 0;
  uint32_t b = 0;
  uint32_t c = 0;
  uint32_t d = 0;
};

Registers Cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d) == 0) return {};
  return r;
}

uint64_t EnabledState() {
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

// Linux gives the tiles' 8 KiB of state only to processes that ask (Documentation/x86/xstate).
bool AskForTiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// Bit numbers: Intel SDM volume 2A, CPUID.
CpuFeatures Detect() {
  CpuFeatures out;
  const Registers one = Cpuid(1, 0);
  const auto bit = [](uint32_t word, int n) { return ((word >> n) & 1U) != 0; };
  if (!bit(one.c, 27)) return out;  // OSXSAVE: without it XGETBV would fault
  const uint64_t state = EnabledState();
  const bool os_avx = (state & 0x6U) == 0x6U;
  const bool os_avx512 = (state & 0xE6U) == 0xE6U;
  const Registers seven = Cpuid(7, 0);
  const Registers seven_one = Cpuid(7, 1);
  out.avx2 = os_avx && bit(seven.b, 5) && bit(one.c, 12) && bit(one.c, 29);
  out.avx512 = os_avx512 && out.avx2 && bit(seven.b, 16) && bit(seven.b, 17) && bit(seven.b, 30) &&
               bit(seven.b, 31);
  out.avx512_vnni = out.avx512 && bit(seven.c, 11);
  out.avx512_bf16 = out.avx512 && bit(seven_one.a, 5);
  out.strands = out.avx512 && bit(seven.d, 23);  // AVX-512 FP16, which AMD's Zen 4 and 5 lack
  const bool tiles = (state & 0x60000U) == 0x60000U && bit(seven.d, 24) && AskForTiles();
  out.amx_int8 = tiles && out.avx512_vnni && bit(seven.d, 25);
  out.amx_bf16 = tiles && out.avx512_vnni && bit(seven.d, 22);
  return out;
}

}  // namespace

const CpuFeatures& HostCpu() {
  static const CpuFeatures features = Detect();
  return features;
}

}  // namespace octavo::kernels
