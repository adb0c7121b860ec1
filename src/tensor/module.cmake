# Loops over whole tensors, which the compiler vectorises at -O3 only.
set_source_files_properties(${dir}/dtype.cc ${dir}/quant_spec.cc PROPERTIES COMPILE_OPTIONS "-O3")
