#pragma once

#include <sys/prctl.h>

namespace vmm {

/// As long as it is there, this process gets no huge pages.
class WithoutHugePages {
 public:
  WithoutHugePages() { ::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); }
  ~WithoutHugePages() { ::prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0); }
  WithoutHugePages(const WithoutHugePages&) = delete;
  WithoutHugePages& operator=(const WithoutHugePages&) = delete;
};

}  // namespace vmm
