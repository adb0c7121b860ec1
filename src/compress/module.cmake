# Loops over all inputs of a layer, which the compiler vectorises at -O3 only.
set_source_files_properties(${dir}/observer.cc PROPERTIES COMPILE_OPTIONS "-O3")
