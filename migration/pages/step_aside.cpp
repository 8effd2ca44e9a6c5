#include "migration/pages/step_aside.hpp"

#include <sys/resource.h>

namespace migration {

namespace {

constexpr int kNice = 10;

}  // namespace

/// Linux: of the thread alone. Anybody may lower it, and where it is lower still it stays so.
void step_aside() {
  if (::getpriority(PRIO_PROCESS, 0) < kNice) ::setpriority(PRIO_PROCESS, 0, kNice);
}

}  // namespace migration
