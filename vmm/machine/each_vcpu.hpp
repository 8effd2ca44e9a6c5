#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "vmm/machine/vcpu.hpp"

namespace vmm {

/// Calls `work` once for each of a machine's vCPUs, none of which runs, with its index: for several
/// at a time, as far as there are processors for that. Some of the vCPUs' own threads help. What
/// `work` throws is thrown on, of several vCPUs the first one's, once all are done.
void for_each_vcpu(std::span<const std::unique_ptr<Vcpu>> vcpus,
                   const std::function<void(std::size_t)>& work);

}  // namespace vmm
