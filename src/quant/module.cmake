# Loops over whole matrices, which the compiler vectorises at -O3 only.
set_source_files_properties(${dir}/clip.cc ${dir}/gptq.cc ${dir}/refine.cc ${dir}/rtn.cc PROPERTIES COMPILE_OPTIONS "-O3")

# Debian's pthread build of OpenBLAS, linked into the program: the serial and the OpenMP build hand one buffer to two threads
# that call at once (a few wrong products in 10,000). blas.cc keeps it from starting threads of its own.
find_library(OCTAVO_OPENBLAS libopenblas.a PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-pthread NO_DEFAULT_PATH REQUIRED)
find_path(OCTAVO_CBLAS cblas.h PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-pthread NO_DEFAULT_PATH REQUIRED)
target_include_directories(octavo_quant SYSTEM PRIVATE ${OCTAVO_CBLAS})
target_link_libraries(octavo_quant PRIVATE ${OCTAVO_OPENBLAS} pthread m)
# Nothing here parses: the fuzzer's counting of branches would only slow the tests down.
target_compile_options(octavo_quant PRIVATE $<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=fuzzer-no-link>)
