#pragma once

#include <cstddef>

/// The functions that a compiler may call of its own accord.
extern "C" {
void* memcpy(void* to, const void* from, std::size_t size);
void* memset(void* to, int value, std::size_t size);
}
