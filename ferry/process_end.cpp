#include "ferry/process_end.hpp"

#include "ferry/signals.hpp"

namespace ferry {

bool ProcessEnd::wished(TimePoint now) {
  if (last_wish_ && now < *last_wish_ + kSameWish) return false;
  last_wish_ = now;
  return true;
}

bool ProcessEnd::begin(int status) {
  if (status_) return false;
  status_ = status;
  return true;
}

}  // namespace ferry
