# archive_names(OUT): the names that the objects of `archive` define for
# others, by `nm`.
function(archive_names out)
    execute_process(COMMAND ${nm} -g --defined-only --format=posix ${archive}
                    OUTPUT_VARIABLE table RESULT_VARIABLE status ERROR_QUIET)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "${nm} could not read ${archive}")
    endif()
    string(REGEX MATCHALL "[^\n]+ [A-Z] [^\n]*" lines "${table}")
    list(TRANSFORM lines REPLACE " .*$" "")
    list(REMOVE_DUPLICATES lines)
    set(${out} ${lines} PARENT_SCOPE)
endfunction()
