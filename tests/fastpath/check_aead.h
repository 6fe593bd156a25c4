/*
 * What is secret, told to valgrind where its header is installed; included before the kernels, too.
 */
#ifndef KUBESPAN_CHECK_AEAD_H
#define KUBESPAN_CHECK_AEAD_H

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define make_secret(p, n) VALGRIND_MAKE_MEM_UNDEFINED(p, n)
#define make_public(p, n) VALGRIND_MAKE_MEM_DEFINED(p, n)
#else
#define make_secret(p, n) ((void)(p), (void)(n))
#define make_public(p, n) ((void)(p), (void)(n))
#endif

#define AEAD_VERDICT(ok) make_public(&(ok), sizeof(ok))

#endif
