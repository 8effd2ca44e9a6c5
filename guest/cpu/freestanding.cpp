#include "guest/cpu/freestanding.hpp"

extern "C" {

void* memcpy(void* to, const void* from, std::size_t size) {
  void* cursor = to;
  asm volatile("rep movsb" : "+D"(cursor), "+S"(from), "+c"(size) : : "memory");
  return to;
}

void* memset(void* to, int value, std::size_t size) {
  void* cursor = to;
  asm volatile("rep stosb" : "+D"(cursor), "+c"(size) : "a"(value) : "memory");
  return to;
}
}
