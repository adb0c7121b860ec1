find_package(SQLite3 REQUIRED)
target_link_libraries(octavo_registry PRIVATE SQLite::SQLite3)
