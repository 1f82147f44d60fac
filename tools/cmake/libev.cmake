# Where libev's sources are: the folder that was named, or build/libev-4.33 of
# the source tree (an sdist carries it), filled by tools/fetch-libev if absent.
if(GCORE_LIBEV_SOURCE)
    set(gcore_libev_source ${GCORE_LIBEV_SOURCE})
else()
    set(gcore_libev_source ${CMAKE_CURRENT_SOURCE_DIR}/build/libev-4.33)
    if(NOT EXISTS ${gcore_libev_source}/ev.c)
        message(STATUS "Fetching libev 4.33's sources")
        execute_process(
            COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tools/fetch-libev
                    ${gcore_libev_source}
            RESULT_VARIABLE status)
        if(NOT status EQUAL 0)
            message(FATAL_ERROR
                "libev's sources could not be fetched. Unpack libev 4.33 and "
                "name its folder: -DGCORE_LIBEV_SOURCE=FOLDER")
        endif()
    endif()
endif()
if(NOT EXISTS ${gcore_libev_source}/ev.c)
    message(FATAL_ERROR "${gcore_libev_source} holds no ev.c")
endif()
