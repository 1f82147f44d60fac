# Gives the names in an archive that are not the library's a prefix of the
# library's own, so that a program that has the same code of its own (llhttp)
# can be linked with it.
#   cmake -Darchive= -Dnm= -Dobjcopy= -P hide-symbols.cmake
cmake_minimum_required(VERSION 3.18)
include(${CMAKE_CURRENT_LIST_DIR}/archive-names.cmake)
archive_names(names)
list(FILTER names EXCLUDE REGEX "^gcore_")
if(NOT names)
    return()
endif()
list(TRANSFORM names REPLACE "^(.+)$" "\\1 gcore__\\1")
list(JOIN names "\n" names)
file(WRITE ${archive}.names "${names}\n")
execute_process(COMMAND ${objcopy} --redefine-syms=${archive}.names ${archive}
                RESULT_VARIABLE status)
if(NOT status EQUAL 0)
    message(FATAL_ERROR "${objcopy} could not rename symbols of ${archive}")
endif()
