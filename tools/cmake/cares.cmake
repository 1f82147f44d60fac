# c-ares, which asks name servers: version 1.18 or newer. Its archive is taken
# where there is one, so that the library carries its own copy and shows
# none of it; else its shared library.
find_path(gcore_cares_include ares.h)
find_library(gcore_cares_library NAMES libcares.a libcares_static.a cares)
if(NOT gcore_cares_include OR NOT gcore_cares_library)
    message(FATAL_ERROR "c-ares is missing; on Debian: libc-ares-dev")
endif()
file(STRINGS ${gcore_cares_include}/ares_version.h gcore_cares_version
     REGEX "^#define ARES_VERSION_STR ")
string(REGEX REPLACE ".*\"([0-9.]+).*" "\\1" gcore_cares_version
       "${gcore_cares_version}")
if(gcore_cares_version VERSION_LESS 1.18)
    message(FATAL_ERROR "c-ares ${gcore_cares_version} is too old: 1.18 or "
                        "newer is needed")
endif()
set(gcore_cares_definitions)
if(gcore_cares_library MATCHES "[.]a$")
    set(gcore_cares_definitions GCORE_CARES_OWN)
    find_file(gcore_cares_license
              NAMES libc-ares-dev/copyright c-ares/LICENSE.md c-ares/copyright
              PATH_SUFFIXES doc licenses
              HINTS ${gcore_cares_include}/../share)
endif()
find_path(gcore_idn2_include idn2.h)
if(NOT gcore_idn2_include)
    message(FATAL_ERROR "libidn2's header is missing; on Debian: libidn2-dev")
endif()
