# The wheel's part: the Python files and the two extension modules, both in
# CPython's limited API and both linked to the libgcore.so.0 beside them.
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)

set(gcore_python ${CMAKE_CURRENT_SOURCE_DIR}/python)

function(gcore_add_module name)
    Python_add_library(${name} MODULE ${ARGN})
    target_compile_definitions(${name} PRIVATE
        Py_LIMITED_API=0x030A0000 _GNU_SOURCE)
    target_link_libraries(${name} PRIVATE gcore)
    set_target_properties(${name} PROPERTIES
        PREFIX "" SUFFIX ".abi3.so"
        BUILD_WITH_INSTALL_RPATH ON
        INSTALL_RPATH "$ORIGIN")
    install(TARGETS ${name} LIBRARY DESTINATION libgcore)
endfunction()

# ---- libgcore._binding: the whole of libgcore, by cffi ---------------------

file(GLOB_RECURSE headers CONFIGURE_DEPENDS
     ${CMAKE_CURRENT_SOURCE_DIR}/libgcore/include/*.h)
set(writer ${gcore_python}/libgcore/_build_binding.py)
add_custom_command(
    OUTPUT _binding.c
    COMMAND ${Python_EXECUTABLE} ${writer}
            --include ${CMAKE_CURRENT_SOURCE_DIR}/libgcore/include
            --output ${CMAKE_CURRENT_BINARY_DIR}/_binding.c
            --compiler ${CMAKE_C_COMPILER}
    DEPENDS ${writer} ${headers}
    COMMENT "Writing the binding from the public headers"
    VERBATIM)
gcore_add_module(_binding ${CMAKE_CURRENT_BINARY_DIR}/_binding.c)

# ---- libgcore._accel: what must be one step, or must keep the GIL ----------

execute_process(
    COMMAND ${Python_EXECUTABLE} -c
        "import greenlet, os; print(os.path.dirname(os.path.dirname(greenlet.__file__)))"
    OUTPUT_VARIABLE greenlet_include OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE status)
if(NOT status EQUAL 0)
    message(FATAL_ERROR "${Python_EXECUTABLE} has no greenlet")
endif()
file(GLOB accel CONFIGURE_DEPENDS ${gcore_python}/libgcore/accel/*.c)
gcore_add_module(_accel ${accel})
# Only greenlet's own header is wanted from that folder, as <greenlet/...>.
target_include_directories(_accel SYSTEM PRIVATE ${greenlet_include})
target_compile_options(_accel PRIVATE ${gcore_warnings})
set_target_properties(_accel PROPERTIES C_VISIBILITY_PRESET hidden)
if(GCORE_ASAN)
    # greenlet moves slices of the stack, marks around variables and all.
    if(CMAKE_C_COMPILER_ID MATCHES "Clang")
        target_compile_options(_accel PRIVATE "SHELL:-mllvm -asan-stack=0")
    else()
        target_compile_options(_accel PRIVATE "SHELL:--param asan-stack=0")
    endif()
endif()

# ---- the Python files ------------------------------------------------------

install(DIRECTORY ${gcore_python}/libgcore ${gcore_python}/gevent
        DESTINATION .
        FILES_MATCHING PATTERN "*.py" PATTERN "*.pyi" PATTERN "py.typed"
        PATTERN "_build_*" EXCLUDE
        PATTERN "accel" EXCLUDE
        PATTERN "__pycache__" EXCLUDE)

# The distribution's name and version stand in pyproject.toml alone.
set(project_file ${CMAKE_CURRENT_SOURCE_DIR}/pyproject.toml)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${project_file})
file(STRINGS ${project_file} settings REGEX "^(name|version) = ")
foreach(setting ${settings})
    if(setting MATCHES "^(name|version) = \"(.*)\"$")
        set(distribution_${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
    endif()
endforeach()
if(NOT distribution_version MATCHES "(^|[+]gcore[.])${PROJECT_VERSION}$")
    message(FATAL_ERROR "pyproject.toml's version ${distribution_version} does "
                        "not name libgcore ${PROJECT_VERSION}")
endif()
# In the build of another name, gevent still tells the version it claims.
if(NOT GCORE_GEVENT_VERSION)
    set(GCORE_GEVENT_VERSION ${distribution_version})
endif()
configure_file(${gcore_python}/libgcore/_distribution.py.in _distribution.py
               @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/_distribution.py
        DESTINATION libgcore)
