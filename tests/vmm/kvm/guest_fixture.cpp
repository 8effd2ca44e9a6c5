#include "tests/vmm/kvm/guest_fixture.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <future>
#include <sstream>
#include <vector>

#include "devices/standard.hpp"
#include "vmm/boot/boot.hpp"

namespace vmm {

namespace {

constexpr std::size_t kShown = 1000;  // bytes, in messages
constexpr std::string_view kTickLine = "# tick ";

/// Letters are counted as docs/guest.md says: without the lines that begin with '#'.
std::string letters_of(const std::string& text) {
  std::string letters;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('#')) letters += line;
  }
  return letters;
}

/// Complete lines only.
std::vector<std::string> tick_lines_of(const std::string& text) {
  std::vector<std::string> found;
  std::istringstream lines(text.substr(0, text.rfind('\n') + 1));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(kTickLine)) found.push_back(line);
  }
  return found;
}

int slowdown() {
  const char* factor = std::getenv("FERRY_TEST_SLOWDOWN");
  return factor == nullptr ? 1 : std::max(1, std::atoi(factor));
}

}  // namespace

const std::chrono::seconds kDeadline{20 * slowdown()};

void GuestOutput::attach(Machine& machine) {
  const auto serial = devices::attach_devices(machine);
  serial->on_output([this, weak = std::weak_ptr(serial)] {
    const auto port = weak.lock();
    if (!port) return;
    port->drain([this](std::span<const std::byte> bytes) {
      const std::lock_guard lock(mutex_);
      text_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      grown_.notify_all();
      return bytes.size();
    });
  });
}

::testing::AssertionResult GuestOutput::wait(const std::function<bool()>& arrived,
                                             std::string_view what) {
  std::unique_lock lock(mutex_);
  if (grown_.wait_for(lock, kDeadline, arrived)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "waited for " << what << "; the guest printed, at last:\n"
         << text_.substr(text_.size() - std::min(text_.size(), kShown));
}

::testing::AssertionResult GuestOutput::wait_for(std::string_view text) {
  return wait([&] { return text_.find(text) != std::string::npos; }, text);
}

::testing::AssertionResult GuestOutput::wait_for_ticks(std::size_t more) {
  const std::size_t wanted = ticks().size() + more;
  return wait([&] { return letters_of(text_).size() >= wanted; }, "ticks");
}

::testing::AssertionResult GuestOutput::wait_for_tick_lines(std::size_t more) {
  const std::size_t wanted = tick_lines_of(text()).size() + more;
  return wait([&] { return tick_lines_of(text_).size() >= wanted; }, "lines of ticks");
}

std::string GuestOutput::text() const {
  const std::lock_guard lock(mutex_);
  return text_;
}

std::string GuestOutput::ticks() const { return letters_of(text()); }

::testing::AssertionResult GuestOutput::ticks_in_order() const {
  const std::string letters = ticks();
  if (letters.empty()) return ::testing::AssertionFailure() << "no ticks in:\n" << text();
  for (std::size_t i = 0; i < letters.size(); ++i) {
    if (letters[i] == static_cast<char>('a' + i % 26)) continue;
    const std::size_t from = i < 20 ? 0 : i - 20;
    return ::testing::AssertionFailure()
           << "tick " << i << " is wrong, amid " << letters.substr(from, 40);
  }
  return ::testing::AssertionSuccess();
}

std::vector<std::uint64_t> GuestOutput::values(std::string_view name) const {
  std::vector<std::uint64_t> found;
  const std::string key = " " + std::string(name) + "=";
  for (const std::string& line : tick_lines_of(text())) {
    const std::size_t at = line.find(key);
    if (at == std::string::npos) continue;
    std::uint64_t value = 0;
    std::from_chars(line.data() + at + key.size(), line.data() + line.size(), value);
    found.push_back(value);
  }
  return found;
}

void GuestTest::SetUp() {
  try {
    const Kvm kvm;
  } catch (const KvmUnavailable& error) {
    GTEST_SKIP() << error.what();
  }
}

std::unique_ptr<Machine> GuestTest::make_guest(const std::string& cmdline, std::uint32_t cpus,
                                               std::uint64_t memory_bytes) {
  MachineConfig config;
  config.id = make_uuid();
  config.name = "test";
  config.memory_bytes = memory_bytes;
  config.cpus = cpus;
  auto machine = make_empty(config);
  load_kernel(*machine, BootFiles({FERRY_GUEST_IMAGE, {}, cmdline}), devices::platform());
  return machine;
}

std::unique_ptr<Machine> GuestTest::make_empty(const MachineConfig& config) {
  auto machine = std::make_unique<Machine>(Kvm(), config);
  output_.attach(*machine);
  return machine;
}

std::optional<GuestEnd> wait_end(Machine& machine) {
  const auto ended = std::make_shared<std::promise<void>>();
  machine.on_end([ended] { ended->set_value(); });
  const auto status = ended->get_future().wait_for(kDeadline);
  machine.on_end(nullptr);
  return status == std::future_status::ready ? machine.ended() : std::nullopt;
}

void copy_memory(Machine& from, Machine& to) {
  PageSet pages(from.memory().page_count());
  from.memory().add_populated({0, pages.pages()}, pages);
  for (const PageRange& range : pages.ranges()) {
    std::ranges::copy(from.memory().pages(range), to.memory().pages(range).begin());
  }
}

}  // namespace vmm
