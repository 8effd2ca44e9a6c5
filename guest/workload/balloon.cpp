#include "guest/workload/balloon.hpp"

#include "guest/cpu/time.hpp"
#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr std::uint16_t kBalloonDevice = 0x1045;
constexpr std::uint64_t kHints = 1 << 3;
constexpr std::uint32_t kHintQueue = 2;
constexpr std::uint32_t kRunOffset = 8;  // of the configuration
constexpr std::uint32_t kStop = 0;
constexpr std::uint32_t kDone = 1;

constexpr std::uint64_t kBlockPages = 64;
constexpr std::uint64_t kBlocksPerMib = 4;
constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kPageWords = kPageBytes / 8;
constexpr std::uint64_t kWordStep = 73;  // of the words that are written
constexpr std::uint64_t kPeriodMs = 4;

}  // namespace

/// What the device reads.
struct Balloon::Words {
  std::uint32_t run;
  std::uint32_t stop;
};

Balloon::Balloon(const Options& options, Processor& cpu, MemoryMap& memory)
    : device_(kBalloonDevice, kHints, {.slots = kSlots, .count = kHintQueue + 1}, "hints",
              ExitCode::balloon_error, cpu, memory),
      count_(options.hints_mib * kBlocksPerMib),
      memory_(memory.take(count_ * kBlockPages * kPageBytes)),
      blocks_(reinterpret_cast<Block*>(memory.take(count_ * sizeof(Block)))),
      words_(reinterpret_cast<Words*>(memory.take(sizeof(Words)))) {
  if ((device_.features() & kHints) == 0) {
    fail(ExitCode::bad_options, Line() << "option hints: the device wants none");
  }
  if (memory_ == 0 || blocks_ == nullptr || words_ == nullptr) {
    fail(ExitCode::bad_options, Line() << "option hints needs more memory");
  }
  *words_ = {.run = kStop, .stop = kStop};
  // Half of them are free, with what they were used for still in them.
  for (std::uint64_t index = 0; index < count_; ++index) {
    blocks_[index] = {};
    use(index);
    if (index % 2 == 0) blocks_[index].stamp = 0;
  }
}

std::uint64_t Balloon::step(std::uint64_t now) {
  device_.look(now);
  for (VirtioAnswer answer; device_.take(answer, kHintQueue);) {
    if (answer.bytes != 0) device_.fail_with("writes to free memory");
  }
  look_for_run();
  if (!over_) go_on_with_run();
  if (now >= due_) {
    change_one();
    due_ = now + milliseconds(kPeriodMs);
  }
  const std::uint64_t look = device_.next_look(now);
  return look < due_ ? look : due_;
}

void Balloon::look_for_run() {
  const std::uint32_t run = device_.config(kRunOffset);
  if (run == kStop || run == words_->run) return;
  if (run == kDone) {
    over_ = true;
    return;
  }
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    if (device_.busy(slot, kHintQueue)) return;  // it may still read the word
  }
  words_->run = run;
  ++runs_;
  next_ = 0;
  begun_ = false;
  over_ = false;
  for (std::uint64_t index = 0; index < count_; ++index) blocks_[index].named = false;
}

void Balloon::go_on_with_run() {
  for (std::uint32_t slot = 0; slot < kSlots && !over_; ++slot) {
    if (device_.busy(slot, kHintQueue)) continue;
    if (!begun_) {
      post_word(slot, words_->run);
      begun_ = true;
      continue;
    }
    while (next_ < count_ && blocks_[next_].stamp != 0) ++next_;
    if (next_ < count_) {
      name(slot, next_++);
    } else {
      post_word(slot, words_->stop);
      over_ = true;
    }
  }
  device_.notify(kHintQueue);
}

void Balloon::post_word(std::uint32_t slot, std::uint32_t& word) {
  device_.post(slot, {{reinterpret_cast<std::uint64_t>(&word), sizeof(word), false}}, kHintQueue);
}

/// Some are in use again before the device hears of them, and some just then.
void Balloon::name(std::uint32_t slot, std::uint64_t index) {
  const std::uint64_t chance = random_.below(32);
  if (chance == 0) use(index);
  device_.post(slot,
               {{reinterpret_cast<std::uint64_t>(page(index, 0)),
                 static_cast<std::uint32_t>(kBlockPages * kPageBytes), true}},
               kHintQueue);
  blocks_[index].named = true;
  ++named_;
  if (chance == 1) device_.notify(kHintQueue);
  if (chance == 1 || chance == 2) use(index);
  if (chance <= 2) ++taken_back_;
}

void Balloon::change_one() {
  const std::uint64_t index = random_.below(count_);
  Block& block = blocks_[index];
  if (block.stamp == 0) {
    if (block.named) ++taken_back_;
    return use(index);
  }
  verify(index);
  if (random_.below(2) == 0) block.stamp = 0;
}

/// Most of its pages: what is in the others nobody can know.
void Balloon::use(std::uint64_t index) {
  const std::uint32_t stamp = ++next_stamp_;
  blocks_[index].stamp = stamp;
  for (std::uint64_t number = 0; number < kBlockPages; ++number) {
    if (mix(stamp + number) % 8 == 0) continue;
    std::uint64_t* const words = page(index, number);
    const std::uint64_t content = mix(reinterpret_cast<std::uint64_t>(words) + stamp);
    for (std::uint64_t at = 0; at < kPageWords; at += kWordStep) words[at] = content + at;
  }
}

void Balloon::verify(std::uint64_t index) const {
  const std::uint32_t stamp = blocks_[index].stamp;
  for (std::uint64_t number = 0; number < kBlockPages; ++number) {
    if (mix(stamp + number) % 8 == 0) continue;
    const std::uint64_t* const words = page(index, number);
    const std::uint64_t content = mix(reinterpret_cast<std::uint64_t>(words) + stamp);
    for (std::uint64_t at = 0; at < kPageWords; at += kWordStep) {
      if (words[at] == content + at) continue;
      Line line;
      line << "hints page ";
      line.hex(reinterpret_cast<std::uint64_t>(words)) << " got=";
      line.hex(words[at]) << " want=";
      line.hex(content + at) << " word=" << at;
      fail(ExitCode::balloon_error, line);
    }
  }
}

std::uint64_t* Balloon::page(std::uint64_t index, std::uint64_t number) const {
  return reinterpret_cast<std::uint64_t*>(memory_ + (index * kBlockPages + number) * kPageBytes);
}

}  // namespace guest
