# What `cmake --install` lays down: the library, its header, a CMake package and a pkg-config file.

include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/norma)

install(TARGETS norma EXPORT normaTargets
    FILE_SET HEADERS)
install(EXPORT normaTargets NAMESPACE norma:: DESTINATION ${package_dir})

set(pc_cflags)
set(pc_libs "-lm -pthread")
if(NORMA_OPENMP)
    string(APPEND pc_libs " ${OpenMP_C_FLAGS}")
endif()
if(norma_type STREQUAL SHARED_LIBRARY)
    set(pc_libs_private ${pc_libs})
    set(pc_libs)
else()
    # There is no other library, so that `pkg-config --libs` must do without --static.
    set(pc_cflags " -DNORMA_STATIC")
    string(PREPEND pc_libs " ")
    set(pc_libs_private)
endif()

configure_package_config_file(cmake/normaConfig.cmake.in ${PROJECT_BINARY_DIR}/normaConfig.cmake
    INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/normaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/normaConfig.cmake ${PROJECT_BINARY_DIR}/normaConfigVersion.cmake
    DESTINATION ${package_dir})

# Paths relative to the .pc file, so that an installed tree may be moved.
cmake_path(IS_ABSOLUTE CMAKE_INSTALL_LIBDIR absolute)
if(absolute)
    set(pc_prefix ${CMAKE_INSTALL_PREFIX})
else()
    file(RELATIVE_PATH pc_up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
    set(pc_prefix "\${pcfiledir}/${pc_up}")
    string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
endif()
cmake_path(APPEND pc_libdir "\${prefix}" ${CMAKE_INSTALL_LIBDIR})
cmake_path(APPEND pc_includedir "\${prefix}" ${CMAKE_INSTALL_INCLUDEDIR})
configure_file(cmake/norma.pc.in ${PROJECT_BINARY_DIR}/norma.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/norma.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
