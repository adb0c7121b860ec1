# Boost.Asio and Beast are header-only; server.cc and client.cc are the files that include them.
find_package(Boost 1.74 REQUIRED)
find_package(Threads REQUIRED)
target_link_libraries(octavo_net PRIVATE Boost::headers PUBLIC Threads::Threads)
target_compile_definitions(octavo_net PRIVATE BOOST_BEAST_USE_STD_STRING_VIEW)
