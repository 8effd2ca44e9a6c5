# What every target of the host program is compiled with. The guest image takes none of it: it is a
# program for another machine.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# `cmake --build <dir> --target all_verify_interface_header_sets` compiles each header on its own.
set(CMAKE_VERIFY_INTERFACE_HEADER_SETS ON)

find_program(CCACHE ccache)
if(CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# Each target links this privately; what it includes from elsewhere is not held to it.
add_library(ferry_warnings INTERFACE)
target_compile_options(ferry_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast
  -Woverloaded-virtual -Werror
)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # What vmm/os/thread_safety.hpp says.
  target_compile_options(ferry_warnings INTERFACE -Wthread-safety)
endif()
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc takes each source but the one it was called with for a header, where a coroutine that holds
  # something of an anonymous namespace would be a mistake.
  target_compile_options(ferry_warnings INTERFACE -Wno-subobject-linkage)
endif()

# For what takes little time to run and much to compile, and is no part of a fuzz target: a sanitized
# build need not be fast there. (Of what a file of the control API takes to compile, optimising it is
# two thirds.)
add_library(ferry_cold INTERFACE)

if(FERRY_SANITIZE)
  target_compile_options(ferry_cold INTERFACE -O0)
  add_compile_options(-fsanitize=${FERRY_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${FERRY_SANITIZE})
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # Its signature before each function cannot be assembled for a coroutine that was split
    # (LLVM issue 49689): "Cannot represent a difference across sections".
    add_compile_options(-fno-sanitize=function)
  elseif(FERRY_SANITIZE MATCHES "thread")
    # Asio has fences, which gcc's ThreadSanitizer cannot follow and warns of.
    add_compile_options(-Wno-tsan)
  endif()
endif()

if(FERRY_FUZZ)
  # The libraries are instrumented too: coverage of them is what guides the fuzzer.
  add_compile_options(-fsanitize=fuzzer-no-link)
  target_compile_options(ferry_cold INTERFACE -fno-sanitize=fuzzer-no-link)
endif()
