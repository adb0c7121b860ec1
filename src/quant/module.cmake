# Loops over whole matrices, which the compiler vectorises at -O3 only.
set_source_files_properties(${dir}/clip.cc ${dir}/gptq.cc ${dir}/refine.cc PROPERTIES COMPILE_OPTIONS "-O3")

# Debian's serial build of OpenBLAS, linked into the program: the pthread build would start a thread for each core
# in every command, and the alternatives system decides which of them a shared library would be.
find_library(OCTAVO_OPENBLAS libopenblas.a PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-serial NO_DEFAULT_PATH REQUIRED)
find_path(OCTAVO_CBLAS cblas.h PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-serial NO_DEFAULT_PATH REQUIRED)
set_source_files_properties(${dir}/blas.cc PROPERTIES INCLUDE_DIRECTORIES ${OCTAVO_CBLAS})
target_link_libraries(octavo_quant PRIVATE ${OCTAVO_OPENBLAS})
