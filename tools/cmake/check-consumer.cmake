# Installs the build into an empty prefix, then builds and runs each consumer
# program with nothing but what pkg-config says there, and the project
# `project` with nothing but what find_package finds there.
cmake_minimum_required(VERSION 3.19)
set(prefix ${build}/consumer)
file(REMOVE_RECURSE ${prefix})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${build} --prefix ${prefix}
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)

set(ENV{PKG_CONFIG_PATH} ${prefix}/${libdir}/pkgconfig)
set(ENV{LD_LIBRARY_PATH} ${prefix}/${libdir})
execute_process(COMMAND pkg-config --cflags --libs gcore
                OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE
                COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags)

if(NOT sources)
    message(FATAL_ERROR "no consumer programs")
endif()
foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    execute_process(
        COMMAND ${compiler} -o ${prefix}/${name} ${source} ${flags}
        COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND ${prefix}/${name} COMMAND_ERROR_IS_FATAL ANY)
endforeach()

set(work ${prefix}/find_package)
execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${project} -B ${work} -G "${generator}"
            -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_C_COMPILER=${compiler}
    OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${work}
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_CTEST_COMMAND} --output-on-failure
                --no-tests=error
                WORKING_DIRECTORY ${work} COMMAND_ERROR_IS_FATAL ANY)
