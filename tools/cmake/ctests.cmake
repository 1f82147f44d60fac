# C tests, benchmarks and fuzz targets: one executable a file.
set(gcore_ctests ${CMAKE_CURRENT_SOURCE_DIR}/ctests)

# Instrumented builds test the archive, so that every frame is instrumented
# alike; the others test the shared library, its exported names included.
if(TARGET gcore AND NOT GCORE_ASAN AND NOT GCORE_TSAN AND NOT GCORE_FUZZ
   AND NOT GCORE_COVERAGE)
    set(gcore_tested gcore)
else()
    set(gcore_tested gcore_static)
endif()

file(GLOB gcore_support CONFIGURE_DEPENDS ${gcore_ctests}/support/*.c)

function(gcore_add_program name source)
    add_executable(${name} ${source})
    target_include_directories(${name} PRIVATE
        ${gcore_ctests} ${gcore_ctests}/support)
    target_compile_definitions(${name} PRIVATE _GNU_SOURCE)
    target_compile_options(${name} PRIVATE ${gcore_warnings})
    target_link_libraries(${name} PRIVATE ${gcore_tested} Threads::Threads m)
endfunction()

# The reader of DNS messages is fuzzed by itself: it is inside the library,
# whose shared form does not show it.
function(gcore_add_fuzz_sources target name)
    if(NOT name STREQUAL "dns")
        return()
    endif()
    set(source ${CMAKE_CURRENT_SOURCE_DIR}/libgcore/src)
    target_include_directories(${target} PRIVATE ${source})
    target_sources(${target} PRIVATE
        ${source}/dns/message.c ${source}/dns/answer.c ${source}/dns/name.c
        ${source}/dns/address.c ${source}/dns/shared.c
        ${source}/util/arena.c ${source}/util/alloc.c)
endfunction()

if(GCORE_TESTS)
    enable_testing()
    find_package(PkgConfig REQUIRED)
    pkg_check_modules(cmocka REQUIRED IMPORTED_TARGET cmocka)

    set(gcore_test_seconds 120)
    if(GCORE_TEST_LAUNCHER OR GCORE_TSAN OR GCORE_ASAN)
        set(gcore_test_seconds 600)
    endif()
    file(GLOB tests CONFIGURE_DEPENDS ${gcore_ctests}/test_*.c)
    foreach(source ${tests})
        get_filename_component(name ${source} NAME_WE)
        gcore_add_program(${name} ${source})
        target_sources(${name} PRIVATE ${gcore_support})
        target_link_libraries(${name} PRIVATE PkgConfig::cmocka)
        if(GCORE_TLS)
            target_compile_definitions(${name} PRIVATE GCORE_WITH_TLS)
            target_link_libraries(${name} PRIVATE ${gcore_tls_libraries})
        endif()
        string(REPLACE "test_" "" label ${name})
        add_test(NAME ${label}
                 COMMAND ${GCORE_TEST_LAUNCHER} $<TARGET_FILE:${name}>)
        if(label MATCHES "^(address|stream|listen|sendfile|udp|tls)")
            set_tests_properties(${label} PROPERTIES LABELS net)
        elseif(label MATCHES "^http")
            set_tests_properties(${label} PROPERTIES LABELS http)
        elseif(label MATCHES "^dns")
            set_tests_properties(${label} PROPERTIES LABELS dns)
        endif()
        set_tests_properties(${label} PROPERTIES
            TIMEOUT ${gcore_test_seconds}
            ENVIRONMENT
            "TSAN_OPTIONS=suppressions=${gcore_ctests}/tsan.supp:atexit_sleep_ms=0")
    endforeach()

    # The fuzz targets' corpora, without a fuzzer.
    file(GLOB corpora CONFIGURE_DEPENDS ${gcore_ctests}/fuzz/corpus/*)
    foreach(corpus ${corpora})
        get_filename_component(name ${corpus} NAME)
        gcore_add_program(corpus_${name} ${gcore_ctests}/fuzz/${name}.c)
        target_sources(corpus_${name} PRIVATE
            ${gcore_ctests}/fuzz/replay/main.c)
        gcore_add_fuzz_sources(corpus_${name} ${name})
        add_test(NAME corpus_${name}
                 COMMAND ${GCORE_TEST_LAUNCHER}
                         $<TARGET_FILE:corpus_${name}> ${corpus})
        set_tests_properties(corpus_${name} PROPERTIES
            LABELS ${name} TIMEOUT ${gcore_test_seconds})
    endforeach()

    if(TARGET gcore)
        add_test(NAME symbols
            COMMAND ${CMAKE_COMMAND}
                -Dlibrary=$<TARGET_FILE:gcore> -Dnm=${CMAKE_NM}
                -Dheaders=${CMAKE_CURRENT_SOURCE_DIR}/libgcore/include
                -Dinventory=${gcore_ctests}/symbols.txt
                -P ${CMAKE_CURRENT_SOURCE_DIR}/tools/cmake/check-symbols.cmake)
    endif()
    if(TARGET gcore_static AND CMAKE_OBJCOPY AND NOT GCORE_ASAN
       AND NOT GCORE_TSAN AND NOT GCORE_COVERAGE)
        add_test(NAME archive
            COMMAND ${CMAKE_COMMAND}
                -Darchive=$<TARGET_FILE:gcore_static> -Dnm=${CMAKE_NM}
                -P ${CMAKE_CURRENT_SOURCE_DIR}/tools/cmake/check-archive.cmake)
    endif()
    if(gcore_tested STREQUAL "gcore" AND NOT GCORE_TEST_LAUNCHER)
        file(GLOB consumers CONFIGURE_DEPENDS
             ${gcore_ctests}/consumer/*.c
             ${CMAKE_CURRENT_SOURCE_DIR}/libgcore/examples/*.c)
        add_test(NAME consumer
            COMMAND ${CMAKE_COMMAND}
                -Dbuild=${CMAKE_CURRENT_BINARY_DIR}
                -Dlibdir=${CMAKE_INSTALL_LIBDIR}
                -Dcompiler=${CMAKE_C_COMPILER}
                "-Dsources=${consumers}"
                -Dproject=${gcore_ctests}/consumer
                "-Dgenerator=${CMAKE_GENERATOR}"
                -P ${CMAKE_CURRENT_SOURCE_DIR}/tools/cmake/check-consumer.cmake)
    endif()
endif()

if(GCORE_BENCH)
    # Peers: libev and llhttp, whose sources a benchmark may include, libuv
    # and libevent.
    find_package(PkgConfig REQUIRED)
    pkg_check_modules(libuv REQUIRED IMPORTED_TARGET libuv)
    pkg_check_modules(libevent REQUIRED IMPORTED_TARGET libevent)
    file(GLOB benches CONFIGURE_DEPENDS ${gcore_ctests}/bench/*.c)
    foreach(source ${benches})
        get_filename_component(name ${source} NAME_WE)
        gcore_add_program(${name} ${source})
        target_include_directories(${name} SYSTEM PRIVATE
            ${gcore_libev_source} ${gcore_llhttp_source})
        target_sources(${name} PRIVATE ${gcore_llhttp_files})
        target_link_libraries(${name} PRIVATE
            PkgConfig::libuv PkgConfig::libevent)
        if(GCORE_TLS AND name STREQUAL "http")
            target_compile_definitions(${name} PRIVATE GCORE_WITH_TLS)
            target_link_libraries(${name} PRIVATE ${gcore_tls_libraries})
        endif()
        if(name STREQUAL "dns")
            target_include_directories(${name} SYSTEM PRIVATE
                ${gcore_cares_include})
            target_link_libraries(${name} PRIVATE ${gcore_cares_library})
        endif()
        set_target_properties(${name} PROPERTIES
            RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/bench)
    endforeach()
endif()

if(GCORE_FUZZ)
    file(GLOB fuzzers CONFIGURE_DEPENDS ${gcore_ctests}/fuzz/*.c)
    foreach(source ${fuzzers})
        get_filename_component(name ${source} NAME_WE)
        gcore_add_program(${name} ${source})
        gcore_add_fuzz_sources(${name} ${name})
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    endforeach()
endif()
