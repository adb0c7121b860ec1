# Each ISA is one file with flags of its own; nothing else of the program may be built with them.
# g++ 12 takes the length of an array that is a template's parameter for a conversion of its sign.
# Under sanitizers clang needs two minutes for one of the unrolled bodies, half of that where ASan's checks are calls and the
# fuzzer counts no branches; nothing here parses.
target_compile_options(octavo_kernels PRIVATE $<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=fuzzer-no-link>)
set(isa_options $<$<CXX_COMPILER_ID:GNU>:-Wno-sign-conversion> $<$<CONFIG:Release>:-O3>
  "$<$<CXX_COMPILER_ID:Clang>:-mllvm;-asan-instrumentation-with-call-threshold=0>")
set(avx2_options ${isa_options} -mavx2 -mfma -mf16c)
set(avx512_options ${avx2_options} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
# With partial redundancy elimination g++ 12 keeps the 24 sums of an integer tile in memory: half the speed.
list(APPEND avx512_options $<$<CXX_COMPILER_ID:GNU>:-fno-tree-pre>)
# g++ 12 warns about its own AVX-512 header (GCC bug 105593).
list(APPEND avx512_options $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
set(vnni_options ${avx512_options} -mavx512vnni -mavx512bf16)
set_source_files_properties(${dir}/isa/avx2.cc PROPERTIES COMPILE_OPTIONS "${avx2_options}")
set_source_files_properties(${dir}/isa/avx512.cc PROPERTIES COMPILE_OPTIONS "${avx512_options}")
set_source_files_properties(${dir}/isa/avx512_vnni.cc PROPERTIES COMPILE_OPTIONS "${vnni_options}")
set_source_files_properties(${dir}/isa/amx.cc PROPERTIES COMPILE_OPTIONS
  "${vnni_options};-mamx-tile;-mamx-int8;-mamx-bf16")
set_source_files_properties(${dir}/isa/amx_model.cc PROPERTIES COMPILE_OPTIONS "${avx2_options};-O2")
# Loops over whole matrices, which the compiler vectorises at -O3 only.
set_source_files_properties(${dir}/packed_matrix.cc PROPERTIES COMPILE_OPTIONS "-O3")
# The definition is slow enough.
set_property(SOURCE ${dir}/isa/scalar.cc ${dir}/isa/scalar_attention.cc APPEND PROPERTY COMPILE_OPTIONS
  $<$<CXX_COMPILER_ID:Clang>:-O2>)
