#include "migration/policy/answer_choice.hpp"

#include <algorithm>

namespace migration {

namespace {

constexpr unsigned kTrials = 3;
constexpr unsigned kOtherEvery = 32;
constexpr double kWeight = 1.0 / 8;  // of a new time
constexpr double kMost = 4;          // times the mean, that a time may count

}  // namespace

bool AnswerChoice::ask_compressed() {
  for (Kind* kind : {&raw_, &compressed_}) {
    if (kind->asked < kTrials) {
      ++kind->asked;
      return kind == &compressed_;
    }
  }
  if (++since_other_ < kOtherEvery) return prefers_compressed();
  since_other_ = 0;
  return !prefers_compressed();
}

bool AnswerChoice::prefers_compressed() const {
  return raw_.answered > 0 && compressed_.answered > 0 && compressed_.mean < raw_.mean;
}

void AnswerChoice::answered(bool compressed, double microseconds) {
  Kind& kind = compressed ? compressed_ : raw_;
  if (kind.answered < kTrials) {
    kind.mean = kind.answered == 0 ? microseconds : std::min(kind.mean, microseconds);
    ++kind.answered;
    return;
  }
  const double counts = std::min(microseconds, kMost * kind.mean);
  kind.mean += kWeight * (counts - kind.mean);
}

}  // namespace migration
