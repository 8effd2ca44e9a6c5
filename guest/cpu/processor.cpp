#include "guest/cpu/processor.hpp"

#include "guest/cpu/atomic.hpp"
#include "guest/cpu/freestanding.hpp"
#include "guest/cpu/lapic.hpp"
#include "guest/cpu/time.hpp"

extern "C" {
extern std::uint8_t cpu_pages[];
extern std::uint8_t user_stacks[];
extern const std::uint8_t trampoline_begin[];
extern const std::uint8_t trampoline_end[];
}

namespace guest {
namespace {

Atomic<std::uint32_t> up;

}  // namespace

Processor& processor(std::uint32_t id) {
  return *reinterpret_cast<Processor*>(cpu_pages + std::size_t{id} * GUEST_CPU_PAGE);
}

std::uint32_t processors_up() { return up.load(); }

void announce_processor(std::uint32_t id) {
  Processor& self = processor(id);
  self.id = id;
  self.user_stack = reinterpret_cast<std::uint64_t>(user_stacks) +
                    (std::uint64_t{id} + 1) * GUEST_USER_STACK_SIZE - 8;
  up.fetch_add(1);
}

void start_other_processors() {
  memcpy(reinterpret_cast<void*>(GUEST_TRAMPOLINE), trampoline_begin,
         static_cast<std::size_t>(trampoline_end - trampoline_begin));
  lapic_start_others(GUEST_TRAMPOLINE);
}

}  // namespace guest
