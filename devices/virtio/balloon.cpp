#include "devices/virtio/balloon.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

namespace devices::virtio {

namespace {

// Of the configuration.
constexpr std::size_t kTarget = 0;
constexpr std::size_t kActual = 4;
constexpr std::size_t kCommand = 8;
constexpr std::size_t kPoison = 12;

/// Of one request: a driver that gives more of them gives the rest in vain. Linux gives 256.
constexpr std::size_t kMostPages = 65536;

struct KnownPart {
  std::string_view host_part;
  Balloon::Offers offers;
};
/// The first and the third are those of peers that know of no hints.
constexpr std::array<KnownPart, 4> kParts = {{
    {"balloon", {.hints = false, .reporting = false}},
    {"balloon with free-page hints", {.hints = true, .reporting = false}},
    {"balloon with free-page reporting", {.hints = false, .reporting = true}},
    {"balloon with free-page hints and reporting", {.hints = true, .reporting = true}},
}};

std::vector<std::uint16_t> sizes_of(const Balloon::Offers& offers) {
  std::vector<std::uint16_t> sizes = {128, 128};
  if (offers.hints) sizes.push_back(256);
  if (offers.reporting) sizes.push_back(64);
  return sizes;
}

void put(std::span<std::byte> bytes, std::size_t at, std::uint32_t value) {
  std::memcpy(bytes.subspan(at, sizeof(value)).data(), &value, sizeof(value));
}

std::uint32_t get(std::span<const std::byte> bytes, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.subspan(at, sizeof(value)).data(), sizeof(value));
  return value;
}

/// The page frame numbers that a driver wrote, in whatever pieces.
std::vector<std::byte> numbers_of(const Request& request) {
  std::vector<std::byte> numbers;
  for (const auto& segment : request.readable) {
    const std::size_t room = kMostPages * sizeof(std::uint32_t) - numbers.size();
    const auto taken = segment.first(std::min(segment.size(), room));
    numbers.insert(numbers.end(), taken.begin(), taken.end());
  }
  return numbers;
}

/// None that is not RAM.
std::optional<vmm::PageIndex> page_of(const vmm::GuestMemory& memory, std::uint32_t number) {
  const std::uint64_t address = std::uint64_t{number} * vmm::kPageSize;
  for (const vmm::RamSlot& slot : memory.slots()) {
    if (address < slot.base.value || address - slot.base.value >= slot.size) continue;
    return slot.pages().first + (address - slot.base.value) / vmm::kPageSize;
  }
  return std::nullopt;
}

/// The whole pages of it: of the others something is in use.
vmm::PageRange pages_in(const vmm::GuestMemory& memory, std::span<const std::byte> bytes) {
  const std::size_t into = reinterpret_cast<std::uintptr_t>(bytes.data()) % vmm::kPageSize;
  const std::size_t before = (vmm::kPageSize - into) % vmm::kPageSize;
  if (bytes.size() < before + vmm::kPageSize) return {};
  return {memory.page_at(&bytes[before]), (bytes.size() - before) / vmm::kPageSize};
}

/// Runs that touch or overlap become one.
std::vector<vmm::PageRange> joined(std::vector<vmm::PageRange> ranges) {
  std::ranges::sort(ranges, {}, &vmm::PageRange::first);
  std::vector<vmm::PageRange> runs;
  for (const vmm::PageRange& range : ranges) {
    if (range.count == 0) continue;
    if (runs.empty() || runs.back().end() < range.first) {
      runs.push_back(range);
      continue;
    }
    vmm::PageRange& last = runs.back();
    last.count = std::max(last.end(), range.end()) - last.first;
  }
  return runs;
}

}  // namespace

Balloon::Balloon(Offers offers) : offers_(offers), sizes_(sizes_of(offers)) {}

std::optional<Balloon::Offers> Balloon::offers_of(std::string_view host_part) {
  const auto* const part = std::ranges::find(kParts, host_part, &KnownPart::host_part);
  return part == kParts.end() ? std::nullopt : std::optional(part->offers);
}

std::string Balloon::host_part() const {
  return std::string(std::ranges::find(kParts, offers_, &KnownPart::offers)->host_part);
}

Balloon::Size Balloon::size() const {
  const vmm::Lock lock(mutex_);
  return {.target = target_ * vmm::kPageSize, .actual = actual_ * vmm::kPageSize};
}

void Balloon::set_target(std::uint64_t bytes) {
  const std::uint64_t pages = bytes / vmm::kPageSize;
  if (pages > most_) {
    throw std::invalid_argument(
        fmt::format("a balloon of {} MiB leaves the guest too little: of its RAM it keeps {} MiB, "
                    "and can be asked for {} MiB",
                    bytes >> 20, kKept >> 20, most_ * vmm::kPageSize >> 20));
  }
  {
    const vmm::Lock lock(mutex_);
    if (std::exchange(target_, static_cast<std::uint32_t>(pages)) == pages) return;
  }
  tell_config_changed();
}

std::uint64_t Balloon::features() const {
  return kDeflateOnOom | kPagePoison | (offers_.hints ? kHints : 0) |
         (offers_.reporting ? kReporting : 0);
}

Balloon::Config Balloon::image() const {
  Config image{};
  put(image, kTarget, target_);
  put(image, kActual, actual_);
  put(image, kCommand, command_);
  put(image, kPoison, poison_);
  return image;
}

std::vector<std::byte> Balloon::config() const {
  const vmm::Lock lock(mutex_);
  const Config bytes = image();
  return {bytes.begin(), bytes.end()};
}

void Balloon::write_config(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (offset >= kConfigBytes) return;
  const vmm::Lock lock(mutex_);
  Config changed = image();
  const auto place = std::span(changed).subspan(offset);
  std::ranges::copy(bytes.first(std::min(bytes.size(), place.size())), place.begin());
  actual_ = get(changed, kActual);
  poison_ = get(changed, kPoison);
}

void Balloon::attached(vmm::DeviceHost& host) {
  host_ = &host;
  most_ = (host.memory().size() - kKept) / vmm::kPageSize;
}

/// A run of hints ends with the migration that it is for, before the state is saved: what travels
/// is how many there were, since the driver takes up none whose number it knows.
void Balloon::save(vmm::ByteWriter& out) const {
  const vmm::Lock lock(mutex_);
  out.u32(target_);
  out.u32(actual_);
  out.u32(poison_);
  if (offers_.hints) out.u32(run_);
}

void Balloon::load(vmm::ByteReader<std::invalid_argument>& from) {
  const vmm::Lock lock(mutex_);
  target_ = from.u32();
  actual_ = from.u32();
  poison_ = from.u32();
  if (target_ > most_) throw std::invalid_argument("a balloon that is larger than the guest's RAM");
  if (!offers_.hints) return;
  run_ = from.u32();
  if (run_ < kDone) throw std::invalid_argument("a run of free-page hints without a number");
  command_ = run_ == kDone ? kStop : kDone;
}

void Balloon::begin(std::uint64_t features) {
  takes_hints_ = (features & kHints) != 0;
  takes_reports_ = (features & kReporting) != 0;
  knows_poison_ = (features & kPagePoison) != 0;
  const vmm::Lock lock(hints_mutex_);
  answers_ = false;
}

void Balloon::serve(unsigned index, ServedQueue& queue) {
  while (const auto request = queue.take()) {
    if (index == inflate_queue) {
      inflate(*request);
    } else if (takes_hints_ && index == first_of_free_pages) {
      take_hint(*request);
    } else if (index >= first_of_free_pages) {
      take_reported(*request);
    }  // what it deflates by comes back as it is touched
    queue.complete(*request, 0);
  }
}

void Balloon::inflate(const Request& request) {
  const std::vector<std::byte> numbers = numbers_of(request);
  std::vector<vmm::PageRange> pages;
  for (std::size_t at = 0; at + sizeof(std::uint32_t) <= numbers.size();
       at += sizeof(std::uint32_t)) {
    if (const auto page = page_of(host_->memory(), get(numbers, at))) pages.push_back({*page, 1});
  }
  give_back(std::move(pages));
}

void Balloon::take_reported(const Request& request) {
  if (!takes_reports_ || keeps_content()) return;
  std::vector<vmm::PageRange> pages;
  for (const auto& segment : request.writable) {
    pages.push_back(pages_in(host_->memory(), segment));
  }
  give_back(std::move(pages));
}

bool Balloon::tells_free_pages() const { return takes_hints_ && !keeps_content(); }

void Balloon::ask_for_free_pages(vmm::FreePageListener& listener) {
  if (!tells_free_pages()) return;
  {
    const vmm::Lock hints(hints_mutex_);
    listener_ = &listener;
    answers_ = false;
    const vmm::Lock lock(mutex_);
    run_ = std::max(run_ + 1, kDone + 1);
    command_ = run_;
  }
  tell_config_changed();
}

void Balloon::end_free_pages() {
  {
    const vmm::Lock hints(hints_mutex_);
    if (std::exchange(listener_, nullptr) == nullptr) return;
    const vmm::Lock lock(mutex_);
    command_ = kDone;
  }
  tell_config_changed();
}

/// The driver puts in the number of the run that it answers, then memory that is free, then kStop.
/// What it has still from an earlier run comes before the number of this one.
void Balloon::take_hint(const Request& request) {
  const vmm::Lock hints(hints_mutex_);
  if (listener_ == nullptr) return;
  if (const auto command = numbers_of(request); command.size() >= sizeof(std::uint32_t)) {
    follow(get(command, 0));
  }
  if (!answers_ || keeps_content()) return;
  std::vector<vmm::PageRange> pages;
  for (const auto& segment : request.writable) {
    pages.push_back(pages_in(host_->memory(), segment));
  }
  pages = joined(std::move(pages));
  if (!pages.empty()) listener_->free(pages);
}

void Balloon::follow(std::uint32_t command) {
  const bool answered = answers_;
  {
    const vmm::Lock lock(mutex_);
    answers_ = command == command_;
  }
  if (answers_ && !answered) listener_->begins();
  if (answered && command == kStop) listener_->told_all();
}

/// The driver finds its poison in free pages, and not zeros.
bool Balloon::keeps_content() const {
  const vmm::Lock lock(mutex_);
  return knows_poison_ && poison_ != 0;
}

/// Before the request is complete: until then the guest touches none of them, and a machine that
/// pauses, to read the dirty log a last time, waits for that.
void Balloon::give_back(std::vector<vmm::PageRange> ranges) {
  // While pages are missing, one that is given back would be missing too, and nobody would bring
  // it: the guest would wait for it for ever. So they stay. (Whether pages are missing changes but
  // once while a guest runs, when the last one has come.)
  if (host_->lacks_pages()) return;
  host_->memory().give_back(joined(std::move(ranges)));
}

}  // namespace devices::virtio
