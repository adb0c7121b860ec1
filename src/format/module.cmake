# Unpacking loops, which the compiler vectorises at -O3 only.
set_source_files_properties(${dir}/compressed_tensors.cc PROPERTIES COMPILE_OPTIONS "-O3")
