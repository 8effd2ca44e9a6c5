find_package(Threads REQUIRED)
find_package(Boost 1.81 CONFIG REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(OpenSSL 3 REQUIRED COMPONENTS Crypto)
find_package(PkgConfig REQUIRED)
pkg_check_modules(lz4 REQUIRED IMPORTED_TARGET liblz4)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
# Its header alone: the library is loaded by whoever needs it (devices/storage/nbd_library.hpp).
pkg_check_modules(libnbd REQUIRED libnbd>=1.12)
add_library(ferry_libnbd INTERFACE)
target_include_directories(ferry_libnbd SYSTEM INTERFACE ${libnbd_INCLUDE_DIRS})
# Built for all processors of amd64, XXH3 uses SSE2. Where the library can choose at run time, by what
# the processor has, a page takes a fifth of that.
include(CheckCXXSourceCompiles)
set(CMAKE_REQUIRED_LIBRARIES PkgConfig::xxhash)
check_cxx_source_compiles("
  #include <xxh_x86dispatch.h>
  int main(int, char** argv) { return XXH3_64bits(argv, 1) + XXH3_128bits(argv, 1).low64 == 0; }"
  FERRY_XXHASH_DISPATCH)
unset(CMAKE_REQUIRED_LIBRARIES)
if(FERRY_XXHASH_DISPATCH)
  target_compile_definitions(PkgConfig::xxhash INTERFACE FERRY_XXHASH_DISPATCH)
endif()

# Asio and Beast are header-only by default, and slow to compile. Here their non-template parts are
# compiled once, into this library.
add_library(ferry_asio STATIC cmake/asio.cpp)
target_compile_definitions(ferry_asio PUBLIC
  BOOST_ASIO_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED
  BOOST_BEAST_SEPARATE_COMPILATION
)
target_link_libraries(ferry_asio PRIVATE ferry_cold PUBLIC Boost::headers Threads::Threads)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # A coroutine's frame comes from Asio's own allocator and goes back to it, which gcc 12 does not
  # follow through aligned_alloc() at -O2.
  target_compile_options(ferry_asio PUBLIC -Wno-mismatched-new-delete)
endif()
