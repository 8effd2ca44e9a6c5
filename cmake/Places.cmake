# Where what is installed goes.
include(GNUInstallDirs)

# Users run `ferry plan`, which finds this from where ferry is: an installation may be moved as a whole.
set(FERRY_PLAN_DIR ${CMAKE_INSTALL_LIBEXECDIR}/ferry)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBEXECDIR BASE_DIRECTORY ${CMAKE_INSTALL_FULL_BINDIR}
  OUTPUT_VARIABLE FERRY_PLAN_FROM_BIN)
string(APPEND FERRY_PLAN_FROM_BIN /ferry)
