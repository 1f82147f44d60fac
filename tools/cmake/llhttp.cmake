# Where llhttp's sources are: the folder that was named, or build/llhttp of
# the source tree (an sdist carries it), filled by tools/fetch-llhttp if
# absent.
if(GCORE_LLHTTP_SOURCE)
    set(gcore_llhttp_source ${GCORE_LLHTTP_SOURCE})
else()
    set(gcore_llhttp_source ${CMAKE_CURRENT_SOURCE_DIR}/build/llhttp)
    if(NOT EXISTS ${gcore_llhttp_source}/llhttp.c)
        message(STATUS "Fetching llhttp's sources")
        execute_process(
            COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tools/fetch-llhttp
                    ${gcore_llhttp_source}
            RESULT_VARIABLE status)
        if(NOT status EQUAL 0)
            message(FATAL_ERROR
                "llhttp's sources could not be fetched. Unpack llhttp 8 or "
                "newer and name its folder: -DGCORE_LLHTTP_SOURCE=FOLDER")
        endif()
    endif()
endif()
if(NOT EXISTS ${gcore_llhttp_source}/llhttp.c)
    message(FATAL_ERROR "${gcore_llhttp_source} holds no llhttp.c")
endif()

# Its strict form; the loose one lets chunks end anyhow.
set(gcore_llhttp_files
    ${gcore_llhttp_source}/api.c ${gcore_llhttp_source}/http.c
    ${gcore_llhttp_source}/llhttp.c)
set_source_files_properties(${gcore_llhttp_files} PROPERTIES
    COMPILE_DEFINITIONS LLHTTP_STRICT_MODE=1 COMPILE_OPTIONS -w)
