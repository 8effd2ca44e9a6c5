# How tests are declared. Every test has a label: `unit` needs nothing, `kvm` needs /dev/kvm, `e2e`
# drives the ferry program, `linux` boots Linux, `slow` takes more than some seconds. A test that
# cannot run here says why and shows as skipped.
#
# A test that hangs is ended by the time-out of the test preset, or of `ctest --timeout` where all
# is slower; those few that take longer, and unit tests, have a time-out of their own.
find_package(GTest REQUIRED)
find_program(PYTHON3 python3 REQUIRED)
# The program itself: what is found may be the script of a version manager, which takes its time.
execute_process(COMMAND ${PYTHON3} -c "import sys; print(sys.executable)"
  OUTPUT_VARIABLE PYTHON3_PROGRAM OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)

# Sanitizers slow a test down by a factor of several.
set(FERRY_TEST_TIMEOUT_FACTOR 1)
set(FERRY_MEASURES_SERIAL ON)
if(FERRY_SANITIZE)
  set(FERRY_TEST_TIMEOUT_FACTOR 4)
  set(FERRY_MEASURES_SERIAL OFF)
endif()

set(FERRY_TEST_ENVIRONMENT
  FERRY=${PROJECT_BINARY_DIR}/ferry
  FERRY_GUEST=$<TARGET_FILE:guest_image>
  FERRY_SANITIZE=${FERRY_SANITIZE}
  # By default a process that has a second thread sleeps for a second at its end.
  TSAN_OPTIONS=halt_on_error=1:atexit_sleep_ms=0
  UBSAN_OPTIONS=print_stacktrace=1
)

# ferry_test(NAME <name> LABEL <unit|kvm> [MEASURES <filter>] SOURCES <file>... LIBS <target>...)
#
# An executable of GoogleTest cases; each case is a test of ctest. MEASURES: cases, as a filter of
# GoogleTest, that look at what a guest has done by some time, so nothing else runs meanwhile; in
# sanitized builds neither. There, where to start a process takes longer than most unit tests do, an
# executable of those is one test; without the simulations, which take long and have neither threads
# nor input.
function(ferry_test)
  cmake_parse_arguments(PARSE_ARGV 0 ARG "" "NAME;LABEL;MEASURES" "SOURCES;LIBS")
  set(properties LABELS ${ARG_LABEL})
  if(ARG_LABEL STREQUAL "unit")
    list(APPEND properties TIMEOUT 30)
  endif()

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
  # PRE_TEST: the list of cases is made by ctest and not by the build, which so runs nothing.
  set(discovery DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60)
  if(ARG_MEASURES)
    gtest_discover_tests(${ARG_NAME} ${discovery} TEST_FILTER "${ARG_MEASURES}"
      PROPERTIES ${properties} RUN_SERIAL ON)
    set(discovery ${discovery} TEST_FILTER "-${ARG_MEASURES}")
  endif()
  if(NOT ARG_MEASURES STREQUAL "*")
    gtest_discover_tests(${ARG_NAME} ${discovery} PROPERTIES ${properties})
  endif()
endfunction()

# ferry_test_methods(<file.py> <variable>): "<module>.<class>.<method>" of each unittest case in it.
function(ferry_test_methods file variable)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  cmake_path(GET file STEM module)
  set(class "")
  set(methods "")
  file(STRINGS ${file} lines REGEX "^(class [A-Za-z0-9_]+|    def test_)")
  foreach(line IN LISTS lines)
    if(line MATCHES "^class ([A-Za-z0-9_]+)")
      set(class ${CMAKE_MATCH_1})
    elseif(line MATCHES "^    def (test_[A-Za-z0-9_]+)")
      list(APPEND methods ${module}.${class}.${CMAKE_MATCH_1})
    endif()
  endforeach()
  set(${variable} ${methods} PARENT_SCOPE)
endfunction()

# ferry_e2e_test(<file.py> [MEASURES] [SLOW] [TIMEOUT <seconds per test method>])
#
# A module of unittest cases; each method is a test of ctest, so that one that is skipped shows.
# MEASURES: what the guest or a migration has done by some time is looked at, so nothing else runs
# meanwhile. Sanitized builds look less closely, and run these beside others too.
function(ferry_e2e_test file)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "MEASURES;SLOW" "TIMEOUT" "")
  set(serial OFF)
  if(ARG_MEASURES)
    set(serial ${FERRY_MEASURES_SERIAL})
  endif()
  set(timeout "")
  if(ARG_TIMEOUT)
    math(EXPR seconds "${ARG_TIMEOUT} * ${FERRY_TEST_TIMEOUT_FACTOR}")
    set(timeout TIMEOUT ${seconds})
  endif()
  set(labels e2e kvm)
  if(ARG_SLOW)
    list(APPEND labels slow)
  endif()

  ferry_test_methods(${file} methods)
  foreach(method IN LISTS methods)
    string(REGEX REPLACE "^[^.]+" e2e name ${method})
    add_test(NAME ${name}
      COMMAND ${PYTHON3_PROGRAM} -B -m unittest -v ${method}
      WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES
      LABELS "${labels}"
      RUN_SERIAL ${serial}
      ${timeout}
      ENVIRONMENT "${FERRY_TEST_ENVIRONMENT}"
      SKIP_REGULAR_EXPRESSION "OK \\(skipped="
    )
  endforeach()
endfunction()

# ferry_linux_test(<file.py>)
#
# The same for tests of Linux guests, which need a KVM that runs one and files that are not ours:
# ctest has these tests only where the environment names the files.
function(ferry_linux_test file)
  set(tests "if(NOT DEFINED ENV{FERRY_LINUX_KERNEL})\n  return()\nendif()\n")
  ferry_test_methods(${file} methods)
  foreach(method IN LISTS methods)
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
