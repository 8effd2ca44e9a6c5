#include "migration/source/ownership.hpp"

#include <utility>

namespace migration::source {

Ownership::Stage Ownership::stage() const {
  const vmm::Lock lock(mutex_);
  return rules_.stage();
}

void Ownership::advance(Event event) {
  const vmm::Lock lock(mutex_);
  add_due(rules_.advance(event).actions);
}

std::optional<Ownership::Stage> Ownership::wish(Event event) {
  const vmm::Lock lock(mutex_);
  if (!rules_.allows(event)) return rules_.stage();
  granted_ = event;
  add_due(rules_.advance(event).actions);
  return std::nullopt;
}

std::optional<Ownership::Event> Ownership::granted() const {
  const vmm::Lock lock(mutex_);
  return granted_;
}

std::vector<handover::Action> Ownership::take_due() {
  const vmm::Lock lock(mutex_);
  return std::exchange(due_, {});
}

void Ownership::add_due(const handover::Actions& actions) {
  due_.insert(due_.end(), actions.begin(), actions.end());
}

}  // namespace migration::source
