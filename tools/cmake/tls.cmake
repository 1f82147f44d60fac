# OpenSSL 3, for TLS in C programs. Python's servers have Python's ssl, so the
# wheel goes without.
find_package(OpenSSL 3 QUIET)
if(OPENSSL_FOUND AND NOT GCORE_PYTHON)
    set(gcore_tls_default ON)
else()
    set(gcore_tls_default OFF)
endif()
option(GCORE_TLS "TLS for streams (needs OpenSSL 3)" ${gcore_tls_default})
if(GCORE_TLS AND NOT OPENSSL_FOUND)
    message(FATAL_ERROR "GCORE_TLS is ON and OpenSSL 3 is missing; on Debian: "
                        "libssl-dev")
endif()

# For the build, for who links the installed archive, and for pkg-config.
if(GCORE_TLS)
    set(gcore_tls_libraries ${OPENSSL_LIBRARIES})
    set(gcore_tls_names ssl crypto)
    set(gcore_tls_flags "-lssl -lcrypto")
endif()
