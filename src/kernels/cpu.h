// Which instruction sets this CPU and operating system let a program use.
#pragma once

namespace octavo::kernels {

struct CpuFeatures {
  bool avx2 = false;    // AVX2, FMA and F16C
  bool avx512 = false;  // AVX-512 F, BW, DQ and VL
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool strands = false;   // a thread reads faster at four places side by side than at one: Intel's
                          // cores since Golden Cove (docs/adr/0016)
  bool amx_int8 = false;  // and the system lets this process use tiles
  bool amx_bf16 = false;
};

// Asked from CPUID and XGETBV once. Thread-safe.
const CpuFeatures& HostCpu();

}  // namespace octavo::kernels
