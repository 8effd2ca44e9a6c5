#include "migration/reuse/room_ledger.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <exception>
#include <system_error>
#include <utility>

namespace migration {

namespace {

constexpr std::string_view kSuffix = ".room";
constexpr std::size_t kDigits = 20;  // of the largest number
constexpr std::uint64_t kMostBytes = 64 << 10;
constexpr std::chrono::seconds kPatience{5};

std::string new_name() {
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof(number), 0) != sizeof(number)) {
    throw std::system_error(errno, std::generic_category(), "getrandom");
  }
  return fmt::format("{:016x}{}", number, kSuffix);
}

/// Takes a line off the front; nullopt when no line ends there.
std::optional<std::string_view> take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

std::optional<std::uint64_t> take_number(std::string_view& text) {
  const auto line = take_line(text);
  if (!line || line->size() != kDigits) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(line->data(), line->data() + line->size(), number);
  if (error != std::errc{} || end != line->data() + line->size()) return std::nullopt;
  return number;
}

}  // namespace

std::string encode(const Promised& promised) {
  std::string text =
      fmt::format("{:0{}}\n{:0{}}\n", promised.bytes, kDigits, promised.taken, kDigits);
  for (const std::string& of : promised.of) text += of + '\n';
  return text;
}

std::optional<Promised> decode_promised(std::string_view text) {
  Promised promised;
  const auto bytes = take_number(text);
  const auto taken = take_number(text);
  if (!bytes || !taken) return std::nullopt;
  promised.bytes = *bytes;
  promised.taken = *taken;
  while (!text.empty()) {
    const auto of = take_line(text);
    if (!of) return std::nullopt;
    promised.of.emplace_back(*of);
  }
  return promised;
}

std::uint64_t promised_of(std::span<const Promised> all, std::string_view of) {
  std::uint64_t total = 0;
  for (const Promised& promised : all) {
    if (std::ranges::count(promised.of, of) == 0) continue;
    const std::uint64_t left = promised.bytes - std::min(promised.bytes, promised.taken);
    total += std::min(left, ~std::uint64_t{0} - total);
  }
  return total;
}

RoomLedger::RoomLedger(const std::filesystem::path& directory)
    : directory_(std::make_shared<const store::Directory>(directory, "the ledger of promised room",
                                                          O_NOFOLLOW)) {}

std::unique_ptr<RoomLedger::Promise> RoomLedger::promise(
    Promised wanted, const std::function<void(std::span<const Promised>)>& check) const {
  const vmm::UniqueFd guard = directory_->lock(kPatience);
  check(all());
  return std::unique_ptr<Promise>(new Promise(directory_, std::move(wanted)));
}

/// Wants the lock. What cannot be read is nobody's.
std::vector<Promised> RoomLedger::all() const {
  std::vector<Promised> all;
  for (const std::string& name : directory_->names()) {
    if (!name.ends_with(kSuffix)) continue;
    try {
      const auto file = directory_->open(name);
      if (!file) continue;
      if (::flock(file->get(), LOCK_EX | LOCK_NB) == 0) {
        directory_->remove(name);  // its process has ended
        continue;
      }
      const wire::Bytes bytes = store::read_all(file->get(), kMostBytes);
      const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      if (auto promised = decode_promised(text)) all.push_back(std::move(*promised));
    } catch (const std::exception&) {
      continue;
    }
  }
  return all;
}

RoomLedger::Promise::Promise(std::shared_ptr<const store::Directory> directory, Promised promised)
    : directory_(std::move(directory)),
      promised_(std::move(promised)),
      name_(new_name()),
      file_(directory_->make(name_)) {
  const std::string text = encode(promised_);
  store::write_at(file_.get(), 0, std::as_bytes(std::span(text)));
  if (::flock(file_.get(), LOCK_EX | LOCK_NB) < 0) {
    throw std::system_error(errno, std::generic_category(),
                            "flock of " + directory_->path_of(name_));
  }
}

RoomLedger::Promise::~Promise() {
  try {
    directory_->remove(name_);
  } catch (const std::exception&) {
    return;  // it is unlocked from now on, and the next to look removes it
  }
}

void RoomLedger::Promise::consume(std::uint64_t bytes) {
  if (bytes == promised_.taken) return;
  promised_.taken = bytes;
  try {
    const std::string text = encode(promised_);
    store::write_at(file_.get(), 0, std::as_bytes(std::span(text)));
  } catch (const std::exception&) {
    return;  // the others leave more room than they need to
  }
}

}  // namespace migration
