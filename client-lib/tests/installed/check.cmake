# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Installs the library into a prefix of its own, moves that elsewhere, and builds a program against
# it in the two ways that others will: by pkg-config and by CMake. Run by ctest.
cmake_minimum_required(VERSION 3.25)

function(run)
    execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE out ERROR_VARIABLE out RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        list(JOIN ARGN " " command)
        message(FATAL_ERROR "${command}: ${status}\n${out}")
    endif()
    set(output "${out}" PARENT_SCOPE)
endfunction()

function(expect_output)
    if(NOT output MATCHES "^CONNECTED 1\n$")
        message(FATAL_ERROR "The program says: ${output}")
    endif()
endfunction()

set(work ${build}/client-lib/installed)
file(REMOVE_RECURSE ${work})
foreach(component client client-dev)
    run(${CMAKE_COMMAND} --install ${build} --prefix ${work}/first --component ${component})
endforeach()
file(RENAME ${work}/first ${work}/prefix)
set(prefix ${work}/prefix)
set(source ${CMAKE_CURRENT_LIST_DIR})
if(sanitize)
    set(flags -fsanitize=address,undefined)
endif()

set(ENV{DBUS_SYSTEM_BUS_ADDRESS} unix:path=/nonexistent)

# pkg-config
set(ENV{PKG_CONFIG_PATH} ${prefix}/${libdir}/pkgconfig)
run(pkg-config --exact-version=${version} libimpnet-client)
run(pkg-config --cflags --libs libimpnet-client)
string(STRIP "${output}" arguments)
separate_arguments(arguments UNIX_COMMAND "${arguments}")
run(${compiler} -std=c++20 ${flags} ${source}/program.cpp ${arguments} -o ${work}/program)
set(ENV{LD_LIBRARY_PATH} ${prefix}/${libdir})
run(${work}/program)
expect_output()
unset(ENV{LD_LIBRARY_PATH})

# CMake
run(${CMAKE_COMMAND} -S ${source} -B ${work}/build -G ${generator} -D version=${version}
    -D CMAKE_CXX_COMPILER=${compiler} -D CMAKE_PREFIX_PATH=${prefix} -D CMAKE_CXX_FLAGS=${flags})
run(${CMAKE_COMMAND} --build ${work}/build)
run(${work}/build/program)
expect_output()

# Every header compiles by itself, and without a warning.
file(GLOB headers RELATIVE ${prefix}/${includedir} ${prefix}/${includedir}/impnet/*.hpp)
foreach(header IN LISTS headers)
    file(WRITE ${work}/header.cpp "#include <${header}>\n")
    run(${compiler} -std=c++20 -Wall -Wextra -Wpedantic -Werror -fsyntax-only
        -I${prefix}/${includedir} ${work}/header.cpp)
endforeach()
