# Builds src/text/bridge (tokenizers and minijinja behind a C ABI) once for all build folders and gives it as the
# imported library octavo_text_bridge.  cargo itself decides what is up to date.
find_program(CARGO cargo REQUIRED)
set(bridge_dir ${CMAKE_SOURCE_DIR}/src/text/bridge)
set(bridge_target_dir ${CMAKE_SOURCE_DIR}/build/rust)
set(bridge_lib ${bridge_target_dir}/release/liboctavo_text_bridge.a)
file(GLOB bridge_sources CONFIGURE_DEPENDS ${bridge_dir}/src/*.rs ${bridge_dir}/Cargo.toml ${bridge_dir}/Cargo.lock)

add_custom_command(
  OUTPUT ${bridge_lib}
  COMMAND ${CARGO} build --release --locked --quiet --target-dir ${bridge_target_dir}
  COMMAND ${CMAKE_COMMAND} -E touch ${bridge_lib}
  WORKING_DIRECTORY ${bridge_dir}
  DEPENDS ${bridge_sources}
  COMMENT "Building the Rust text bridge (about three minutes the first time)"
  VERBATIM)
add_custom_target(octavo_text_bridge_build DEPENDS ${bridge_lib})
add_library(octavo_text_bridge STATIC IMPORTED)
set_target_properties(octavo_text_bridge PROPERTIES IMPORTED_LOCATION ${bridge_lib}
  INTERFACE_LINK_LIBRARIES "pthread;dl;m")
add_dependencies(octavo_text_bridge octavo_text_bridge_build)
