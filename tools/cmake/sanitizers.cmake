# The instrumented builds, for every target at once.
if(GCORE_ASAN AND GCORE_TSAN)
    message(FATAL_ERROR "GCORE_ASAN and GCORE_TSAN exclude each other")
endif()

if(GCORE_ASAN)
    set(instrument -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(GCORE_TSAN)
    set(instrument -fsanitize=thread)
    # The runtime cannot map its shadow under a widely randomised layout.
    if(NOT GCORE_TEST_LAUNCHER)
        execute_process(COMMAND setarch -R true RESULT_VARIABLE status
                        OUTPUT_QUIET ERROR_QUIET)
        if(status EQUAL 0)
            set(GCORE_TEST_LAUNCHER setarch -R)
        endif()
    endif()
endif()
if(instrument)
    add_compile_options(${instrument} -fno-omit-frame-pointer)
    add_link_options(${instrument})
endif()

if(GCORE_COVERAGE)
    add_compile_options(--coverage -O0)
    add_link_options(--coverage)
endif()

if(GCORE_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "GCORE_FUZZ needs clang: -DCMAKE_C_COMPILER=clang")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
