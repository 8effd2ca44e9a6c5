#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>

#include "migration/base/address.hpp"
#include "migration/forecast/forecast.hpp"

namespace migration::forecast {

/// What the link to a `ferry receive` carries: some MiB that mean nothing go over it, for a quarter
/// of a second, or up to two where it is slow. The receiver goes on waiting for its VM. `timeout`
/// is for all of it. Throws what says why that cannot be told.
[[nodiscard]] boost::asio::awaitable<LinkEstimate> probe_link(Address to,
                                                              std::chrono::milliseconds timeout);

}  // namespace migration::forecast
