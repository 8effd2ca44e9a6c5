# How tests are declared and chosen. Every test has labels, and those who choose among tests do so by
# label alone: `ctest --label-regex`, `ctest --label-exclude`.
#
#   what it is:     `unit` needs nothing; `kvm` needs /dev/kvm; `e2e` drives the ferry program; `linux`
#                   boots Linux, and needs its files.
#   what it needs:  `alone` looks at what was done by some time: nothing else may run meanwhile.
#                   `slow` takes minutes.
#                   `speed` judges how fast something goes: no sanitizer and no emulator may slow it.
#                   `disk` makes files without a name in a file system that is on a disk.
#                   `network` has a link between two network namespaces, by modules of the kernel.
#   what it is not worth:
#                   `no-asan`, `no-tsan`: that sanitizer has little to say of it. Mistakes about what
#                   others send or leave behind are of one thread: they are not for ThreadSanitizer.
#                   What breaks at a certain moment, while pages travel, is not for AddressSanitizer.
#                   `no-standard-kvm`: it has little to do with the KVM below, or waits long for a
#                   peer that is dead, and is not run on the emulated processor.
#
# The release build runs all of them, .ci/run some again with each sanitizer, scripts/on-standard-kvm
# some on an emulated processor. A test that cannot run here says why and shows as skipped.
#
# A test that hangs is ended by the time-out of the test preset, or of `ctest --timeout` where all
# is slower; slow tests, and unit tests, have a time-out of their own.
set(FERRY_TEST_LABELS unit kvm e2e linux alone slow speed disk network no-asan no-tsan no-standard-kvm)

find_package(GTest REQUIRED)
find_program(PYTHON3 python3 REQUIRED)
# The program itself: what is found may be the script of a version manager, which takes its time.
execute_process(COMMAND ${PYTHON3} -c "import sys; print(sys.executable)"
  OUTPUT_VARIABLE PYTHON3_PROGRAM OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)

# Sanitizers slow a test down by a factor of several.
set(FERRY_SLOW_TEST_TIMEOUT 400)
if(FERRY_SANITIZE)
  math(EXPR FERRY_SLOW_TEST_TIMEOUT "4 * ${FERRY_SLOW_TEST_TIMEOUT}")
endif()

set(FERRY_TEST_ENVIRONMENT
  FERRY=${PROJECT_BINARY_DIR}/ferry
  FERRY_GUEST=$<TARGET_FILE:guest_image>
  FERRY_SANITIZE=${FERRY_SANITIZE}
  # By default a process that has a second thread sleeps for a second at its end.
  TSAN_OPTIONS=halt_on_error=1:atexit_sleep_ms=0
  UBSAN_OPTIONS=print_stacktrace=1
)

# ferry_test_properties(<variable> <label>...): what ctest is told of a test with these labels.
function(ferry_test_properties variable)
  foreach(label IN LISTS ARGN)
    if(NOT label IN_LIST FERRY_TEST_LABELS)
      message(FATAL_ERROR "The label ${label} is none of: ${FERRY_TEST_LABELS}")
    endif()
  endforeach()
  # Escaped, so that a list of properties has the list of labels as one of its elements.
  string(REPLACE ";" "\\;" labels "${ARGN}")
  set(properties LABELS "${labels}")
  # Sanitized builds look less closely, and run such tests beside others.
  if("alone" IN_LIST ARGN AND NOT FERRY_SANITIZE)
    list(APPEND properties RUN_SERIAL ON)
  endif()
  if("slow" IN_LIST ARGN)
    list(APPEND properties TIMEOUT ${FERRY_SLOW_TEST_TIMEOUT})
  endif()
  if("unit" IN_LIST ARGN)
    list(APPEND properties TIMEOUT 30)
  endif()
  set(${variable} "${properties}" PARENT_SCOPE)
endfunction()

# ferry_test(NAME <name> LABEL <unit|kvm> [CASES <filter> <label>]... SOURCES <file>... LIBS <target>...)
#
# An executable of GoogleTest cases; each case is a test of ctest. CASES: those of a filter of GoogleTest
# have one more label; filters of one executable have no case in common.
#
# In sanitized builds, where to start a process takes longer than most unit tests do, an executable of
# those is one test; without the simulations, which take long and have neither threads nor input.
function(ferry_test)
  cmake_parse_arguments(PARSE_ARGV 0 ARG "" "NAME;LABEL" "CASES;SOURCES;LIBS")

  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_include_directories(${ARG_NAME} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${ARG_NAME} PRIVATE
    FERRY_GUEST_IMAGE="$<TARGET_FILE:guest_image>")
  # What is tested is optimised as the preset says; a test itself takes longer to optimise than to run.
  target_compile_options(${ARG_NAME} PRIVATE -O0)
  target_link_libraries(${ARG_NAME} PRIVATE ferry_warnings ferry_cold GTest::gtest_main ${ARG_LIBS})
  add_dependencies(${ARG_NAME} guest_image)
  if(FERRY_SANITIZE AND ARG_LABEL STREQUAL "unit")
    add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME} --gtest_filter=-*Simulation.*)
    # The longest begin first.
    set_tests_properties(${ARG_NAME} PROPERTIES LABELS unit TIMEOUT 600 COST 1000)
    return()
  endif()
  set(others "")
  while(ARG_CASES)
    list(POP_FRONT ARG_CASES filter label)
    ferry_discover_cases(${ARG_NAME} "${filter}" ${ARG_LABEL} ${label})
    list(APPEND others ${filter})
  endwhile()
  if(NOT "*" IN_LIST others)
    list(JOIN others ":" others)
    ferry_discover_cases(${ARG_NAME} "-${others}" ${ARG_LABEL})
  endif()
endfunction()

# ferry_discover_cases(<target> <filter> <label>...)
function(ferry_discover_cases target filter)
  ferry_test_properties(properties ${ARGN})
  string(MAKE_C_IDENTIFIER "${target}_${ARGN}" cases)
  # PRE_TEST: the list of cases is made by ctest and not by the build, which so runs nothing.
  gtest_discover_tests(${target} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    TEST_FILTER "${filter}" TEST_LIST ${cases})
  # Properties that are lists do not pass through it: ctest sets them of the cases that it has found.
  list(JOIN properties "\" \"" properties)
  set(script ${CMAKE_CURRENT_BINARY_DIR}/${cases}.cmake)
  file(WRITE ${script}
    "if(${cases})\n  set_tests_properties(\${${cases}} PROPERTIES \"${properties}\")\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${script})
endfunction()

# ferry_python_tests()
#
# The unittest cases of this folder's test_*.py; each method is a test of ctest, so that one that is
# skipped shows. labels.py gives them labels. All drive the program: those of Linux guests have the label
# `linux`, the others are labelled `e2e` and `kvm` besides.
function(ferry_python_tests)
  file(GLOB files CONFIGURE_DEPENDS *.py)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${files})
  execute_process(
    COMMAND ${PYTHON3_PROGRAM} -B list_tests.py . ${FERRY_TEST_LABELS}
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
    OUTPUT_VARIABLE tests OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "\n" ";" tests "${tests}")
  set(linux_tests "")
  foreach(test IN LISTS tests)
    string(REPLACE " " ";" labels "${test}")
    list(POP_FRONT labels method)
    if("linux" IN_LIST labels)
      list(APPEND linux_tests ${method})
    else()
      ferry_e2e_test(${method} e2e kvm ${labels})
    endif()
  endforeach()
  # A sanitized program cannot be static, as the one in the Linux guest must be.
  if(NOT FERRY_SANITIZE)
    ferry_linux_tests(${linux_tests})
  endif()
endfunction()

# ferry_e2e_test(<module>.<class>.<method> <label>...)
function(ferry_e2e_test method)
  ferry_test_properties(properties ${ARGN})
  string(REGEX REPLACE "^[^.]+" e2e name ${method})
  add_test(NAME ${name}
    COMMAND ${PYTHON3_PROGRAM} -B -m unittest -v ${method}
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES
    ${properties}
    ENVIRONMENT "${FERRY_TEST_ENVIRONMENT}"
    SKIP_REGULAR_EXPRESSION "OK \\(skipped="
  )
endfunction()

# ferry_linux_tests(<module>.<class>.<method>...)
#
# They need a KVM that runs Linux, and files that are not ours: ctest has these tests only where the
# environment names the files. One runs at a time.
function(ferry_linux_tests)
  set(tests "if(NOT DEFINED ENV{FERRY_LINUX_KERNEL})\n  return()\nendif()\n")
  foreach(method IN LISTS ARGN)
    string(REGEX REPLACE "^[^.]+" linux name ${method})
    string(APPEND tests
      "add_test(${name} \"${PYTHON3_PROGRAM}\" -B -m unittest -v ${method})\n"
      "set_tests_properties(${name} PROPERTIES LABELS linux RUN_SERIAL ON\n"
      "  WORKING_DIRECTORY \"${CMAKE_CURRENT_SOURCE_DIR}\"\n"
      "  ENVIRONMENT \"${FERRY_TEST_ENVIRONMENT};FERRY_PAGE_CHECKER=$<TARGET_FILE:page_checker>\")\n")
  endforeach()
  set(script ${CMAKE_CURRENT_BINARY_DIR}/linux_tests.cmake)
  file(GENERATE OUTPUT ${script} CONTENT "${tests}")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${script})
endfunction()

# ferry_fuzz_target(NAME <name> SOURCES <file>... LIBS <target>...)
#
# A libFuzzer program; all of them are built by the target `fuzz_targets` into <build>/fuzz.
function(ferry_fuzz_target)
  cmake_parse_arguments(PARSE_ARGV 0 ARG "" "NAME" "SOURCES;LIBS")
  if(NOT FERRY_FUZZ)
    return()
  endif()
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
  target_include_directories(${ARG_NAME} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_options(${ARG_NAME} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${ARG_NAME} PRIVATE ferry_warnings ${ARG_LIBS})
endfunction()
