/* Included before everything in a unit test: cmocka wants these first. */
#ifndef WARP_TESTS_UNIT_H
#define WARP_TESTS_UNIT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#endif
