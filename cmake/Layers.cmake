# ferry_layer(<name> [USES <layer>...] [PUBLIC_LIBS <target>...] [LIBS <target>...]
#             SOURCES <file>... [HEADERS <file>...])
#
# One folder of the host program: a library that links the layers which its files may include, and
# no others. scripts/check-layers holds every #include to USES, and USES to a graph without circles.
function(ferry_layer name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "USES;PUBLIC_LIBS;LIBS;SOURCES;HEADERS")
  add_library(${name} STATIC ${ARG_SOURCES})
  target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}
    FILES ${ARG_HEADERS})
  target_link_libraries(${name}
    PUBLIC ${ARG_USES} ${ARG_PUBLIC_LIBS}
    PRIVATE ferry_warnings ${ARG_LIBS}
  )
endfunction()
