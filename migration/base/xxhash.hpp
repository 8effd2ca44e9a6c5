#pragma once

/// XXH3 by the best vector instructions that the processor has, where the library can choose.
#ifdef FERRY_XXHASH_DISPATCH
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif
