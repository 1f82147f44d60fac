# The archive defines names of the library's own only, for others to link
# beside theirs.
#   cmake -Darchive= -Dnm= -P check-archive.cmake
cmake_minimum_required(VERSION 3.18)
include(${CMAKE_CURRENT_LIST_DIR}/archive-names.cmake)
archive_names(names)
list(LENGTH names count)
list(FILTER names EXCLUDE REGEX "^gcore_")
if(names OR count EQUAL 0)
    list(JOIN names "\n" names)
    message(FATAL_ERROR "foreign names in ${archive}:\n${names}")
endif()
message("${count} names, each the library's")
